"""The network above the embeddings in plain torch."""

import torch


class TorchNetwork(torch.nn.Module):
    """Three full-rank cross layers beside dense layers of 256 and 128, and a logit.

    Args:
        width: width of the concatenated embeddings.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.crosses = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(3))
        self.deep = torch.nn.Sequential(
            torch.nn.Linear(width, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128), torch.nn.ReLU()
        )
        self.logit = torch.nn.Linear(width + 128, 1)

    def forward(self, x0: torch.Tensor) -> torch.Tensor:
        """Logits of shape `(batch,)`."""
        crossed = x0
        for cross in self.crosses:
            crossed = x0 * cross(crossed) + crossed
        return self.logit(torch.cat([crossed, self.deep(x0)], dim=1)).squeeze(1)
