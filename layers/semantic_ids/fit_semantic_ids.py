"""From item vectors to semantic ids."""

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from ..residual_quantizer import ResidualQuantizer
from .semantic_ids import SemanticIds


def fit_semantic_ids(
    vectors: ArrayLike,
    num_levels: int = 3,
    codebook_size: int = 256,
    epochs: int = 5,
    batch_size: int = 1024,
    seed: int | None = None,
) -> SemanticIds:
    """Quantizes the content vectors of items into tuples of codes.

    Call it once, offline, before a ranking model is trained. `SemanticIdEmbedding`
    then looks items up by their codes. The vectors (of a text or image encoder,
    or of an earlier model) are standardised and quantized by a `ResidualQuantizer`
    that starts from k-means and follows the data by moving averages.

    Args:
        vectors: floats of shape `(items, dim)`; row `i` is the vector of item id `i`.
            Row 0 belongs to the out-of-vocabulary id and is not read. A row of NaN is
            an item without a vector; it gets no codes.
        num_levels: number of codes of an item. Defaults to `3`.
        codebook_size: number of codes of a level. Defaults to `256`.
        epochs: passes over the items after k-means. They gain little where the sample of
            50,000 rows that k-means reads holds all items. Defaults to `5`.
        batch_size: items of a step. Defaults to `1024`.
        seed: integer seed of k-means, of the order and of dead codes' new places.
            Defaults to `None`.

    Raises:
        ValueError: on vectors of another shape, rows that are infinite or partly NaN, or
            no vector at all.

    Example:

    >>> import numpy as np
    >>> vectors = np.random.default_rng(0).normal(size=(100, 8))
    >>> ids = fit_semantic_ids(vectors, num_levels=2, codebook_size=4, epochs=2, seed=0)
    >>> ids.codes.shape
    (100, 2)

    Reference:
        Singh et al., *Better Generalization with Semantic IDs*,
        [arXiv:2306.08121](https://arxiv.org/abs/2306.08121), §3.
    """
    items, known = _standardised(vectors)
    quantizer = ResidualQuantizer(num_levels, codebook_size, commitment_weight=0.0, seed=seed)
    quantizer.adapt(items)
    generator = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
    for _ in range(epochs):
        order = generator.permutation(len(items))
        # A short last batch would move the averages as far as a full one.
        for step in range(max(1, len(items) // batch_size)):
            quantizer(items[order[step * batch_size : (step + 1) * batch_size]], training=True)
    codes = np.full((len(known), num_levels), -1, "int32")
    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    codes[known] = np.concatenate([ops.convert_to_numpy(quantizer.encode(batch)) for batch in batches])
    return SemanticIds(codes, codebook_size)


def _standardised(vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have a vector, each column of mean 0 and variance 1, and which rows these are."""
    vectors = np.asarray(vectors, "float32")
    if vectors.ndim != 2:
        raise ValueError(f"`vectors` must be of shape (items, dim). Received: shape {vectors.shape}.")
    known = ~np.isnan(vectors).all(axis=1)
    known[:1] = False
    broken = np.flatnonzero(known & ~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise ValueError(
            "`vectors` must be finite, except that the row of an item without a vector is all NaN. "
            f"Received: {len(broken)} rows that are infinite or partly NaN; the first is row {broken[0]}."
        )
    if not known.any():
        raise ValueError("`vectors` holds no vector. Row 0 belongs to the out-of-vocabulary id; items start at row 1.")
    items = vectors[known]
    items -= items.mean(axis=0, dtype="float64").astype("float32")
    spread = np.sqrt(np.mean(np.square(items), axis=0, dtype="float64")).astype("float32")
    return items / np.where(spread > 0, spread, 1.0), known
