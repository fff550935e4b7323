"""FuxiCTR's FinalMLP with its logit.

The package's own FinalMLP is one for long behaviour sequences, which holds the gates but does not use them. Its parts
are put together here as FuxiCTR's model zoo puts them together, without the last sigmoid. FuxiCTR gives the gates'
contexts embedding tables of their own; here they hold the same values as those of the features.
"""

from collections import OrderedDict
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from model_zoo.LongCTR.FinalMLP.FinalMLP import FeatureSelection, InteractionAggregation

from .formula import Recipe, array, case, fill

ENVIRONMENT = "fuxictr"
REQUIREMENTS = ("torch==2.13.0", "fuxictr==2.3.10")

ROWS, WIDTH = 6, 4
SIZES = {"ad": 5, "hour": 3, "user": 7}
IDS = {name: {"shape": [ROWS], "start": index, "size": size} for index, (name, size) in enumerate(SIZES.items())}
UNITS = {"first_units": [5, 4], "second_units": [6, 2], "gate_units": [3]}


def outputs() -> dict[str, Any]:
    """Logits."""
    return {
        "contexts": _case(first_context=["user", "hour"], second_context=["ad"], num_heads=2),
        "no_context": _case(first_context=[], second_context=[], num_heads=1),
    }


class _FinalMLP(torch.nn.Module):
    def __init__(self, feature_map: FeatureMap, contexts: list[list[str]], num_heads: int) -> None:
        super().__init__()
        width = feature_map.sum_emb_out_dim()
        first, second = UNITS["first_units"], UNITS["second_units"]
        self.embedding = FeatureEmbedding(feature_map, WIDTH)
        self.fs_module = FeatureSelection(feature_map, width, WIDTH, UNITS["gate_units"], *contexts)
        self.mlp1 = MLP_Block(input_dim=width, output_dim=None, hidden_units=first)
        self.mlp2 = MLP_Block(input_dim=width, output_dim=None, hidden_units=second)
        self.fusion_module = InteractionAggregation(first[-1], second[-1], num_heads=num_heads)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        first, second = self.fs_module(inputs, self.embedding(inputs, flatten_emb=True))
        return self.fusion_module(self.mlp1(first), self.mlp2(second))


def _case(first_context: list[str], second_context: list[str], num_heads: int) -> dict[str, Any]:
    feature_map = FeatureMap("peer", ".")
    feature_map.features = OrderedDict(
        (name, {"source": "", "type": "categorical", "vocab_size": size}) for name, size in SIZES.items()
    )
    feature_map.num_fields = len(SIZES)
    feature_map.default_emb_dim = WIDTH
    model = _FinalMLP(feature_map, [first_context, second_context], num_heads)
    weights = _share_tables(model, fill(model))
    with torch.no_grad():
        output = model.eval()({name: torch.from_numpy(array(recipe)) for name, recipe in IDS.items()})
    contexts = {"first_context": first_context, "second_context": second_context}
    return case(IDS, weights, output, **UNITS, **contexts, num_heads=num_heads)


def _share_tables(model: torch.nn.Module, weights: dict[str, Recipe]) -> dict[str, Recipe]:
    """Give the contexts' tables the values of the features' own; the recipes of all weights."""
    shared = dict(weights)
    parameters = dict(model.named_parameters())
    for name in weights:
        if "_ctx_emb." in name:
            own = f"embedding.{name.split('_ctx_emb.')[1]}"
            shared[name] = weights[own]
            parameters[name].detach().copy_(parameters[own].detach())
    return shared
