"""DeepCTR's DCN with matrix crosses, DCNv2, under its own `predict`."""

import functools
from typing import Any

from deepctr.feature_column import SparseFeat
from deepctr.models import DCN

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
    # No linear part, as in the others.
    model = DCN([], columns, cross_num=3, cross_parameterization="matrix", dnn_hidden_units=(256, 128), seed=0)
    ids, _ = next(data.stream())
    inputs = dict(zip(data.field_names, ids[:candidates].T.copy(), strict=True))
    if whole:
        call = functools.partial(model.predict, inputs, batch_size=candidates, verbose=0)
    else:
        call = functools.partial(model.predict_on_batch, inputs)
    return Prepared(functools.partial(timed_calls, call), {"weights": int(model.count_params())})
