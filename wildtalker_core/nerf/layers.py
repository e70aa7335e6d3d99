"""The small fully connected network that every field is made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        n_layers: linear layers in all, the last one included.
        has_biases: without them (the default) as in ER-NeRF and SyncTalk.
        skip: number of the layer, from 0, that sees the network's input once more beside what
            comes out of the layer before (NeRF: 5); 0 for none.

    Attributes:
        compute_dtype: half precision that the layers compute in, or None; weights and what comes
            out are float32 all the same. Only here: positions, rays and sums along them need all
            their digits. See :func:`set_compute_dtype`.
    """

    compute_dtype: torch.dtype | None = None

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_out: int,
        n_layers: int,
        has_biases: bool = False,
        skip: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= skip < n_layers:
            raise ValueError(f"a network of {n_layers} layers has no layer {skip} to skip to")
        self.skip = skip
        widths = [n_in, *[n_hidden] * (n_layers - 1)]
        if skip:
            widths[skip] += n_in
        outputs = [*[n_hidden] * (n_layers - 1), n_out]
        self.layers = nn.ModuleList(
            nn.Linear(a, b, bias=has_biases) for a, b in zip(widths, outputs, strict=True)
        )

    def forward(self, values: Float[Tensor, "n n_in"]) -> Float[Tensor, "n n_out"]:
        if self.compute_dtype is None:
            return self._layers(values)
        with torch.autocast(values.device.type, dtype=self.compute_dtype):
            return self._layers(values).float()

    def _layers(self, values: Tensor) -> Tensor:
        inputs = values
        for number, layer in enumerate(self.layers):
            if number:
                values = F.relu(values)
            if number and number == self.skip:
                values = torch.cat((values, inputs), -1)
            values = layer(values)
        return values


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Let all :class:`MLP` inside a module compute in this precision; None for float32."""
    for part in module.modules():
        if isinstance(part, MLP):
            part.compute_dtype = dtype
