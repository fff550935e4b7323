"""RecBole's NeuMF."""

from typing import Any

import torch
from recbole.model.general_recommender.neumf import NeuMF

from .formula import array, case, fill

ENVIRONMENT = "recbole"
REQUIREMENTS = (
    "torch==2.13.0",
    "numpy",
    "pandas",
    "scipy",
    "tqdm",
    "pyyaml",
    "colorlog",
    "colorama",
    "texttable",
    "tensorboard",
    "scikit-learn",
    # RecBole asks for much that NeuMF does not need.
    "--no-deps recbole==1.2.1",
)

SIZES = {"user": 7, "ad": 5}
UNITS = [6, 3]


class _Sizes:
    """All that NeuMF asks of a dataset."""

    def num(self, field: str) -> int:
        return SIZES[field]


def outputs() -> dict[str, Any]:
    """Logits of the fused model, and of its two parts."""
    return {
        "neumf": _case(mf_train=True, mlp_train=True),
        "gmf": _case(mf_train=True, mlp_train=False),
        "mlp": _case(mf_train=False, mlp_train=True),
    }


def _case(**parts: bool) -> dict[str, Any]:
    config = {
        "USER_ID_FIELD": "user",
        "ITEM_ID_FIELD": "ad",
        "NEG_PREFIX": "negative_",
        "LABEL_FIELD": "label",
        "device": "cpu",
        "mf_embedding_size": 4,
        "mlp_embedding_size": 4,
        "mlp_hidden_size": UNITS,
        "dropout_prob": 0.0,
        "use_pretrain": False,
        "mf_pretrain_path": None,
        "mlp_pretrain_path": None,
        **parts,
    }
    model = NeuMF(config, _Sizes())
    recipes = {name: {"shape": [6], "start": index, "size": size} for index, (name, size) in enumerate(SIZES.items())}
    weights = fill(model)
    with torch.no_grad():
        output = model.eval()(*(torch.from_numpy(array(recipe)) for recipe in recipes.values()))
    return case(recipes, weights, output, units=UNITS, **parts)
