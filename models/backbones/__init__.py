"""Feature interaction networks by name."""

from typing import Any

import keras

from ...schema import Schema
from .autoint import AutoInt
from .backbone import Backbone
from .concatenation import Concatenation
from .dcn_v2 import DCNv2
from .deepfm import DeepFM
from .dhen import DHEN
from .dlrm import DLRM
from .final_mlp import FinalMLP
from .fm import FM
from .gdcn import GDCN
from .hstu import HSTUBackbone
from .inter_former import InterFormer
from .lr import LR
from .masknet import MaskNet
from .mlp import MLPBackbone
from .ncf import NCF
from .one_trans import OneTrans
from .pepnet import PEPNet
from .rank_mixer import RankMixer
from .user_once_dcn import UserOnceDCN
from .wukong import Wukong

# Like the others, it has the usual name here. `MLPBackbone` distinguishes it from the layer where both are imported.
MLP = MLPBackbone

BACKBONES: dict[str, type[Backbone]] = {
    "autoint": AutoInt,
    "concatenation": Concatenation,
    "dcn_v2": DCNv2,
    "deepfm": DeepFM,
    "dhen": DHEN,
    "dlrm": DLRM,
    "final_mlp": FinalMLP,
    "fm": FM,
    "gdcn": GDCN,
    "hstu": HSTUBackbone,
    "inter_former": InterFormer,
    "lr": LR,
    "masknet": MaskNet,
    "mlp": MLPBackbone,
    "ncf": NCF,
    "one_trans": OneTrans,
    "pepnet": PEPNet,
    "rank_mixer": RankMixer,
    "user_once_dcn": UserOnceDCN,
    "wukong": Wukong,
}


def get(identifier: str | dict[str, Any] | Backbone, schema: Schema, **arguments: Any) -> Backbone:
    """The backbone of a name, made for a table with `arguments`; of a Keras config; or the given instance."""
    if isinstance(identifier, Backbone):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in BACKBONES:
        return BACKBONES[identifier].from_schema(schema, **arguments)
    raise ValueError(
        f"`backbone` must be one of {sorted(BACKBONES)} or an instance of a `grouprank.models.Backbone` subclass. "
        f"Received: backbone={identifier!r}."
    )


__all__ = [
    "BACKBONES",
    "DHEN",
    "DLRM",
    "FM",
    "GDCN",
    "LR",
    "MLP",
    "NCF",
    "AutoInt",
    "Backbone",
    "Concatenation",
    "DCNv2",
    "DeepFM",
    "FinalMLP",
    "HSTUBackbone",
    "InterFormer",
    "MLPBackbone",
    "MaskNet",
    "OneTrans",
    "PEPNet",
    "RankMixer",
    "UserOnceDCN",
    "Wukong",
    "get",
]
