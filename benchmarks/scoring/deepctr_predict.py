"""DeepCTR's layers as DCNv2, under Keras' `predict`."""

import functools
from typing import Any

from deepctr.feature_column import SparseFeat, build_input_features, input_from_feature_columns
from deepctr.layers.core import DNN, PredictionLayer
from deepctr.layers.interaction import CrossNet
from deepctr.layers.utils import combined_dnn_input

# The Keras inside TensorFlow that its layers are made of.
from tensorflow.python.keras.layers import Concatenate, Dense
from tensorflow.python.keras.models import Model

from ..dcn.workload import Workload
from ..support.prepared import Prepared
from .timed_calls import timed_calls


def prepare(work: dict[str, Any], candidates: int, whole: bool) -> Prepared:
    """A request is one batch, arrays in and an array out.

    Args:
        work: arguments of `Workload`.
        candidates: ads of the request.
        whole: `predict`, Keras' loop over batches; False is `predict_on_batch`, one compiled call.
    """
    data = Workload.of(work)
    columns = [
        SparseFeat(name, size, embedding_dim=data.embedding_dim)
        for name, size in zip(data.field_names, data.vocabulary_sizes, strict=True)
    ]
    # As `deepctr.models.DCN` connects them, without its linear part, which the others do not have.
    inputs = build_input_features(columns)
    x0 = combined_dnn_input(*input_from_feature_columns(inputs, columns, 0.0, 0))
    both = [CrossNet(3, parameterization="matrix")(x0), DNN((256, 128))(x0)]
    logit = Dense(1)(Concatenate()(both))
    model = Model(list(inputs.values()), PredictionLayer("binary")(logit))
    ids, _ = next(data.stream())
    request = dict(zip(data.field_names, ids[:candidates].T.copy(), strict=True))
    if whole:
        call = functools.partial(model.predict, request, batch_size=candidates, verbose=0)
    else:
        call = functools.partial(model.predict_on_batch, request)

    def run(steps: int) -> list[float]:
        # `predict` takes a fifth of a second, whatever the request: a tenth of the calls tell as much.
        return timed_calls(call, max(1, steps // 10) if whole else steps)

    return Prepared(run, {"weights": int(model.count_params())})
