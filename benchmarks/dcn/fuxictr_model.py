"""FuxiCTR's layers in a model of its own kind, trained by its own loop."""

import itertools
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import CrossNetV2, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel

from ..support.prepared import Prepared
from .workload import Workload


class DCNv2(BaseModel):
    """DCNv2 with parallel dense layers, as FuxiCTR's users define models.

    The package on the index holds `DCNv2` only for long behaviour sequences; this one has the same layers without
    them.

    Args:
        feature_map: FuxiCTR's description of the columns.
        embedding_dim: width of an embedding.
        **kwargs: arguments of `BaseModel`.
    """

    def __init__(self, feature_map: FeatureMap, embedding_dim: int, **kwargs: Any) -> None:
        super().__init__(feature_map, model_id="DCNv2", **kwargs)
        width = feature_map.sum_emb_out_dim()
        self.embedding_layer = FeatureEmbedding(feature_map, embedding_dim)
        self.crossnet = CrossNetV2(width, 3)
        self.deep = MLP_Block(input_dim=width, output_dim=None, hidden_units=[256, 128], hidden_activations="ReLU")
        self.logit = torch.nn.Linear(width + 128, 1)
        self.compile("adam", "binary_crossentropy", 1e-3)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Probabilities under `y_pred`."""
        x0 = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
        logit = self.logit(torch.cat([self.crossnet(x0), self.deep(x0)], dim=-1))
        return {"y_pred": self.output_activation(logit)}


def prepare(work: dict[str, Any]) -> Prepared:
    """FuxiCTR's DCNv2 under `train_epoch`, which has one Adam for tables and network and clips all gradients.

    Args:
        work: arguments of `Workload`.
    """
    data = Workload.of(work)
    model = make_model(data)
    # What `BaseModel.fit` sets before it calls `train_epoch`.
    model._max_gradient_norm = 10.0
    model._stop_training = False
    model._total_steps = 0
    stream = data.stream()

    def run(steps: int) -> list[float]:
        ends: list[float] = []

        def batches() -> Iterator[dict[str, torch.Tensor]]:
            for _ in range(steps):
                ends.append(time.perf_counter())
                ids, labels = next(stream)
                columns = torch.from_numpy(ids.T.copy())
                yield {**dict(zip(data.field_names, columns, strict=True)), "label": torch.from_numpy(labels)}
            ends.append(time.perf_counter())

        model.train_epoch(batches())
        return [after - before for before, after in itertools.pairwise(ends)]

    return Prepared(run, {"embedding optimizer": "adam"})


def make_model(data: Workload) -> DCNv2:
    """The model over a workload's fields."""
    feature_map = FeatureMap("benchmark", ".")
    feature_map.features = OrderedDict(
        (name, {"source": "", "type": "categorical", "vocab_size": size})
        for name, size in zip(data.field_names, data.vocabulary_sizes, strict=True)
    )
    feature_map.labels = ["label"]
    feature_map.num_fields = data.fields
    feature_map.total_features = data.rows
    feature_map.default_emb_dim = data.embedding_dim
    gpu = 0 if torch.cuda.is_available() else -1
    return DCNv2(
        feature_map, data.embedding_dim, gpu=gpu, model_root=".", metrics=["AUC"], verbose=0, eval_steps=10**12
    )
