"""Requests to a SavedModel through TensorFlow's C library, as a server written in C++ runs it."""

import functools
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ...serving.c_session import CSession
from ..support.prepared import Prepared
from .timed_calls import timed_calls

_OPEN: list[Any] = []


def prepare(saved_model: str, signature: str, candidates: int) -> Prepared:
    """A request for the ads of a user; the tensors are handed to the library once, the scores copied each time.

    Args:
        saved_model: the version folder, with `requests.pickle` beside it.
        signature: `"rank"` sends the user's columns once, others send them once per ad.
        candidates: ads of the request.
    """
    folder = Path(saved_model)
    session = CSession(folder)
    columns, of_ads = pickle.loads((folder.parent / "requests.pickle").read_bytes())
    bound = session.bound(signature, request(columns, of_ads, signature, candidates))
    call = bound.__enter__()
    # Freed with its context, which therefore lives as long as the process.
    _OPEN.append(bound)
    variables = folder / "variables" / "variables.data-00000-of-00001"
    return Prepared(functools.partial(timed_calls, call), {"variables": variables.stat().st_size})


def request(columns: dict[str, np.ndarray], of_ads: tuple[str, ...], signature: str, candidates: int) -> dict[str, Any]:
    """A signature's columns: of the first row's user and of as many rows' ads.

    Args:
        columns: rows, one ad each.
        of_ads: the columns that differ between a user's ads; empty if all do.
        signature: see `prepare`.
        candidates: see `prepare`.
    """
    ads = {name: values[:candidates] for name, values in columns.items() if name in of_ads or not of_ads}
    user = {name: values[:1] for name, values in columns.items() if name not in ads}
    if signature == "rank":
        return user | {name: values[np.newaxis] for name, values in ads.items()}
    return ads | {name: np.repeat(values, candidates, axis=0) for name, values in user.items()}
