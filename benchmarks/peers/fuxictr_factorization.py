"""FuxiCTR's LR, FM, DeepFM, DCNv2 and DLRM.

The package on the index holds the layers, not these models; they are put together here as FuxiCTR's model zoo puts them
together, without the last sigmoid.
"""

from collections import OrderedDict
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import (
    CrossNetV2,
    FactorizationMachine,
    FeatureEmbedding,
    InnerProductInteraction,
    LogisticRegression,
    MLP_Block,
)

from .formula import array, case, fill

ENVIRONMENT = "fuxictr"
REQUIREMENTS = ("torch==2.13.0", "fuxictr==2.3.10")

ROWS, WIDTH = 6, 4
SIZES = {"ad": 5, "hour": 3, "user": 7}
NUMBERS = ("age", "bid")
IDS = {name: {"shape": [ROWS], "start": index, "size": size} for index, (name, size) in enumerate(SIZES.items())}
VALUES = {name: {"shape": [ROWS], "start": 10.0 + index} for index, name in enumerate(NUMBERS)}


def outputs() -> dict[str, Any]:
    """Logits, and the representations of DCNv2."""
    return {
        "lr": _case(_LR(_feature_map())),
        "fm": _case(_FM(_feature_map())),
        "deepfm": _case(_DeepFM(_feature_map(), [5, 3]), units=[5, 3]),
        "dcn_v2_parallel": _case(_DCNv2(_feature_map(), "parallel", 2, [5, 3]), num_cross_layers=2, units=[5, 3]),
        "dcn_v2_stacked": _case(_DCNv2(_feature_map(), "stacked", 3, [5]), num_cross_layers=3, units=[5]),
        "dlrm": _case(
            _DLRM(_feature_map(NUMBERS), [6], [5, 3]), dense_fields=NUMBERS, bottom_units=[6], top_units=[5, 3]
        ),
        "dlrm_without_dense_fields": _case(_DLRM(_feature_map(), [], [5]), dense_fields=[], top_units=[5]),
    }


class _LR(torch.nn.Module):
    def __init__(self, feature_map: FeatureMap) -> None:
        super().__init__()
        self.lr = LogisticRegression(feature_map)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.lr(inputs)


class _FM(torch.nn.Module):
    def __init__(self, feature_map: FeatureMap) -> None:
        super().__init__()
        self.embedding = FeatureEmbedding(feature_map, WIDTH)
        self.fm = FactorizationMachine(feature_map)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.fm(inputs, self.embedding(inputs))


class _DeepFM(torch.nn.Module):
    def __init__(self, feature_map: FeatureMap, units: list[int]) -> None:
        super().__init__()
        self.embedding = FeatureEmbedding(feature_map, WIDTH)
        self.fm = FactorizationMachine(feature_map)
        self.mlp = MLP_Block(input_dim=feature_map.sum_emb_out_dim(), output_dim=1, hidden_units=units)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        embedded = self.embedding(inputs)
        return self.fm(inputs, embedded) + self.mlp(embedded.flatten(start_dim=1))


class _DCNv2(torch.nn.Module):
    def __init__(self, feature_map: FeatureMap, structure: str, num_cross_layers: int, units: list[int]) -> None:
        super().__init__()
        width = feature_map.sum_emb_out_dim()
        self.structure = structure
        self.embedding = FeatureEmbedding(feature_map, WIDTH)
        self.crossnet = CrossNetV2(width, num_cross_layers)
        self.dnn = MLP_Block(input_dim=width, output_dim=None, hidden_units=units)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        x0 = self.embedding(inputs, flatten_emb=True)
        crossed = self.crossnet(x0)
        return self.dnn(crossed) if self.structure == "stacked" else torch.cat([crossed, self.dnn(x0)], dim=-1)


class _DLRM(torch.nn.Module):
    def __init__(self, feature_map: FeatureMap, bottom_units: list[int], top_units: list[int]) -> None:
        super().__init__()
        numbers = [name for name, spec in feature_map.features.items() if spec["type"] == "numeric"]
        self.numbers = numbers
        self.embedding = FeatureEmbedding(feature_map, WIDTH, not_required_feature_columns=numbers)
        num_fields = feature_map.num_fields - len(numbers) + bool(numbers)
        if numbers:
            self.bottom_mlp = MLP_Block(
                input_dim=len(numbers), output_dim=WIDTH, hidden_units=bottom_units, output_activation="ReLU"
            )
        self.interact = InnerProductInteraction(num_fields=num_fields, output="inner_product")
        width = num_fields * (num_fields - 1) // 2 + WIDTH * bool(numbers)
        self.top_mlp = MLP_Block(input_dim=width, output_dim=1, hidden_units=top_units)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        embedded = self.embedding(inputs)
        if not self.numbers:
            return self.top_mlp(self.interact(embedded))
        dense = self.bottom_mlp(torch.stack([inputs[name] for name in self.numbers], dim=-1))
        products = self.interact(torch.cat([embedded, dense.unsqueeze(1)], dim=1))
        return self.top_mlp(torch.cat([products, dense], dim=-1))


def _feature_map(numbers: tuple[str, ...] = ()) -> FeatureMap:
    feature_map = FeatureMap("peer", ".")
    ids = ((name, {"source": "", "type": "categorical", "vocab_size": size}) for name, size in SIZES.items())
    feature_map.features = OrderedDict([*ids, *((name, {"source": "", "type": "numeric"}) for name in numbers)])
    feature_map.num_fields = len(feature_map.features)
    feature_map.default_emb_dim = WIDTH
    return feature_map


def _case(model: torch.nn.Module, **settings: Any) -> dict[str, Any]:
    recipes = {**IDS, **(VALUES if getattr(model, "numbers", ()) else {})}
    weights = fill(model)
    with torch.no_grad():
        output = model.eval()({name: torch.from_numpy(array(recipe)) for name, recipe in recipes.items()})
    return case(recipes, weights, output, **settings)
