"""TorchRec's fused collection: FBGEMM applies the optimizer to the touched rows in the backward pass."""

import time
from typing import Any

import torch
from torchrec.modules.embedding_configs import EmbeddingBagConfig
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from ..support.prepared import Prepared
from .torch_network import TorchNetwork
from .workload import Workload

OPTIMIZERS = {"adagrad": torch.optim.Adagrad, "rowwise_adagrad": RowWiseAdagrad, "sgd": torch.optim.SGD}


def prepare(work: dict[str, Any], optimizer: str = "adagrad", learning_rate: float = 1e-2) -> Prepared:
    """DCNv2 over `FusedEmbeddingBagCollection`, in a plain training loop.

    Args:
        work: arguments of `Workload`.
        optimizer: the tables' optimizer: what FBGEMM has for CPUs. Defaults to `"adagrad"`.
        learning_rate: its rate. Defaults to `0.01`.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"FBGEMM has {sorted(OPTIMIZERS)} for CPUs. Received: optimizer={optimizer!r}.")
    data = Workload.of(work)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tables = [
        EmbeddingBagConfig(name=name, embedding_dim=data.embedding_dim, num_embeddings=size, feature_names=[name])
        for name, size in zip(data.field_names, data.vocabulary_sizes, strict=True)
    ]
    embedding = FusedEmbeddingBagCollection(tables, OPTIMIZERS[optimizer], {"lr": learning_rate}, device=device)
    network = TorchNetwork(data.fields * data.embedding_dim).to(device)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = torch.nn.BCEWithLogitsLoss()
    lengths = torch.ones(data.fields * data.batch_size, dtype=torch.int32)
    stream = data.stream()

    def step() -> None:
        ids, labels = next(stream)
        values = torch.from_numpy(ids.T.copy()).reshape(-1)
        features = KeyedJaggedTensor(keys=data.field_names, values=values, lengths=lengths).to(device)
        logits = network(embedding(features).values())
        loss = loss_of(logits, torch.from_numpy(labels).to(device))
        adam.zero_grad(set_to_none=True)
        # The tables are updated here.
        loss.backward()
        adam.step()
        # Waits for an accelerator, too.
        if not torch.isfinite(loss.detach()).item():
            raise ValueError(f"The loss is {loss.item()}.")
        if device.type == "cuda":
            torch.cuda.synchronize()

    def run(steps: int) -> list[float]:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return seconds

    return Prepared(run, {"embedding optimizer": optimizer})
