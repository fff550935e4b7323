"""FuxiCTR's AutoInt and MaskNet, whole models with their logits, fed with embedded fields.

Releases of the package from 2.0 on leave these models to the repository. Release 1.2.2 is the last that holds them, and
what they compute has not changed since. It declares Python 3.6, hence the option of pip among the requirements.
"""

from types import SimpleNamespace
from typing import Any

import torch
from fuxictr.pytorch.models import AutoInt, MaskNet

from .formula import array, case, fill

ENVIRONMENT = "fuxictr_zoo"
REQUIREMENTS = (
    "torch==2.13.0",
    "numpy",
    "pandas",
    "scikit-learn",
    "h5py",
    "pyyaml",
    "tqdm",
    "--no-deps --ignore-requires-python",
    "--no-deps fuxictr==1.2.2",
)

ROWS, NUM_FIELDS, WIDTH = 6, 3, 4
FIELDS = {"fields": {"shape": [ROWS, NUM_FIELDS, WIDTH], "start": 0.0}}
# What every model of FuxiCTR asks for; "regression" leaves out the sigmoid.
COMMON = {
    "task": "regression",
    "embedding_dim": WIDTH,
    "optimizer": "adam",
    "loss": "binary_crossentropy",
    "model_root": ".",
    "metrics": ["AUC"],
    "verbose": 0,
}


def outputs() -> dict[str, Any]:
    """Logits."""
    return {
        "autoint": _autoint(num_layers=2, num_heads=2, head_dim=3, use_scale=False, units=[]),
        "autoint_plus": _autoint(num_layers=1, num_heads=2, head_dim=2, use_scale=True, units=[5, 3]),
        "masknet_serial": _serial_masknet(block_units=[5, 4], reduction_ratio=2),
        "masknet_parallel": _parallel_masknet(num_blocks=4, block_dim=8, reduction_ratio=1.5, units=[7, 4]),
    }


def _autoint(num_layers: int, num_heads: int, head_dim: int, use_scale: bool, units: list[int]) -> dict[str, Any]:
    model = AutoInt(
        _feature_map(),
        dnn_hidden_units=units,
        attention_layers=num_layers,
        num_heads=num_heads,
        attention_dim=num_heads * head_dim,
        use_scale=use_scale,
        **COMMON,
    )
    settings = {"num_layers": num_layers, "num_heads": num_heads, "head_dim": head_dim, "use_scale": use_scale}
    return _case(model, **settings, units=units)


def _serial_masknet(block_units: list[int], reduction_ratio: float) -> dict[str, Any]:
    model = MaskNet(
        _feature_map(),
        model_type="SerialMaskNet",
        dnn_hidden_units=block_units,
        reduction_ratio=reduction_ratio,
        **COMMON,
    )
    return _case(model, structure="serial", block_units=block_units, reduction_ratio=reduction_ratio)


def _parallel_masknet(num_blocks: int, block_dim: int, reduction_ratio: float, units: list[int]) -> dict[str, Any]:
    model = MaskNet(
        _feature_map(),
        model_type="ParallelMaskNet",
        parallel_num_blocks=num_blocks,
        parallel_block_dim=block_dim,
        dnn_hidden_units=units,
        reduction_ratio=reduction_ratio,
        **COMMON,
    )
    block_units = [block_dim] * num_blocks
    return _case(model, structure="parallel", block_units=block_units, reduction_ratio=reduction_ratio, units=units)


def _feature_map() -> Any:
    """A table without columns of its own: the embedding layer is replaced."""
    return SimpleNamespace(dataset_id="peer", num_fields=NUM_FIELDS, feature_specs={})


def _case(model: torch.nn.Module, **settings: Any) -> dict[str, Any]:
    model.embedding_layer = torch.nn.Identity()
    weights = fill(model)
    with torch.no_grad():
        output = model.eval()([torch.from_numpy(array(FIELDS["fields"])), torch.zeros(ROWS)])["y_pred"]
    return case(FIELDS, weights, output, **settings)
