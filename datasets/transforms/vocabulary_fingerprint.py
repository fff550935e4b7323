"""A short name for a vocabulary's contents."""

import hashlib
from collections.abc import Iterable

import numpy as np

_TOKENS_AT_A_TIME = 100_000


def vocabulary_fingerprint(tokens: np.ndarray, unknown_id: int = 0) -> str:
    """Sixteen hex digits that differ where an id stands for another token.

    Args:
        tokens: the vocabulary in the order of its ids, strings or integers.
        unknown_id: the id before the first token's, which says where the others begin. Defaults to 0.

    Example:
    >>> vocabulary_fingerprint(np.array(["a", "b"], dtype=object))
    '0bfbaa59380ad112'
    """
    parts = (tokens[start : start + _TOKENS_AT_A_TIME] for start in range(0, len(tokens), _TOKENS_AT_A_TIME))
    found = fingerprint("\n".join(map(str, part.tolist())) + "\n" for part in parts)
    return fingerprint([found, str(unknown_id)]) if unknown_id else found


def fingerprint(parts: Iterable[str]) -> str:
    """Sixteen hex digits of some text.

    Example:
    >>> fingerprint(["a"]) == fingerprint(["b"])
    False
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.encode())
    return digest.hexdigest()
