"""The small fully connected network that every field is made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers without biases, ReLU between them (ER-NeRF's and SyncTalk's choice)."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, n_layers: int) -> None:
        super().__init__()
        widths = (n_in, *[n_hidden] * (n_layers - 1), n_out)
        self.layers = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, values: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            values = F.relu(layer(values))
        return self.layers[-1](values)
