"""FuxiCTR's DCNv2 under its own `predict`."""

import functools
from typing import Any

import torch

from ..dcn.fuxictr_model import make_model
from ..dcn.workload import Workload
from ..support.prepared import Prepared
from .timed_calls import timed_calls


def prepare(work: dict[str, Any], candidates: int) -> Prepared:
    """A request is one batch of `BaseModel.predict`, tensors in and an array out.

    Args:
        work: arguments of `Workload`.
        candidates: ads of the request.
    """
    data = Workload.of(work)
    model = make_model(data)
    ids, _ = next(data.stream())
    columns = dict(zip(data.field_names, torch.from_numpy(ids[:candidates].T.copy()), strict=True))
    return Prepared(functools.partial(timed_calls, lambda: model.predict([columns])))
