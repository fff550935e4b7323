"""vector-quantize-pytorch's `ResidualVQ`; needs nothing of ours but `benchmarks.support`."""

import time

import torch
from vector_quantize_pytorch import ResidualVQ

from ..support.prepared import Prepared
from .vectors import make_vectors


def prepare(rows: int, dim: int, levels: int, codes: int) -> Prepared:
    """Their quantizer with the settings of ours.

    Moving averages of decay 0.99, a commitment weight of 1, a plain straight-through estimator in place of the
    rotation trick, no k-means at the start, and codes dead below 3 % of the mean usage. (They look for dead codes at
    every step, ours at every 20th.)

    Args:
        rows: rows of a batch.
        dim: width of a row.
        levels: number of codebooks.
        codes: codes of each.
    """
    torch.manual_seed(0)
    layer = ResidualVQ(
        dim=dim,
        num_quantizers=levels,
        codebook_size=codes,
        decay=0.99,
        commitment_weight=1.0,
        kmeans_init=False,
        threshold_ema_dead_code=0.03 * rows / codes,
        rotation_trick=False,
    ).train()
    pairs = [tuple(torch.from_numpy(part)[None] for part in batch) for batch in make_vectors(rows, dim)]
    done = 0

    def run(steps: int) -> list[float]:
        nonlocal done
        times = []
        for _ in range(steps):
            z, given = pairs[done % len(pairs)]
            start = time.perf_counter()
            z = z.detach().requires_grad_()
            outputs, _, commitment = layer(z)
            (commitment.sum() + (outputs * given).sum()).backward()
            times.append(time.perf_counter() - start)
            done += 1
        return times

    return Prepared(run)
