"""Whisper's encoder (Radford et al. 2022), as far as one of its layers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Width of an attention head in every Whisper.
_HEAD_WIDTH = 64
#: Of its slowest position, in steps.
_LONGEST = 10000.0


class WhisperEncoder(nn.Module):
    """Mel spectra [batch, n_mels, 2 * steps] -> hidden states [batch, steps, width], NumPy arrays.

    Tensors have transformers' names. Positions are sinusoids, as Whisper was made: they are no
    tensors, and any number of steps can be heard.

    Args:
        width, n_mels: of the checkpoint.
        n_layers: that are run.
        is_whole: whether these are all layers; the last one's states are published normalised.
    """

    def __init__(self, width: int, n_mels: int, n_layers: int, is_whole: bool) -> None:
        super().__init__()
        self.width, self.n_mels = width, n_mels
        self.conv1 = nn.Conv1d(n_mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(n_layers))
        if is_whole:
            self.layer_norm = nn.LayerNorm(width)
        self._is_whole = is_whole

    @torch.inference_mode()
    def forward(self, mel: np.ndarray, n_last: int | None = None) -> np.ndarray:
        """States of all steps, or of the last ``n_last``, which take less time."""
        spectra = torch.from_numpy(np.ascontiguousarray(mel, np.float32))
        states = F.gelu(self.conv2(F.gelu(self.conv1(spectra)))).transpose(1, 2)
        states = states + sinusoids(states.shape[1], self.width)
        n = states.shape[1] if n_last is None else n_last
        for i, layer in enumerate(self.layers):
            # What is asked for last is all that the last layer has to tell.
            states = layer(states, n if i + 1 == len(self.layers) else states.shape[1])
        states = states[:, -n:]
        return (self.layer_norm(states) if self._is_whole else states).numpy()

    def to_dict(self) -> dict[str, int | bool]:
        """Arguments that make one of the same sizes."""
        return {"width": self.width, "n_mels": self.n_mels, "n_layers": len(self.layers),
                "is_whole": self._is_whole}  # fmt: skip


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states: Tensor, n_last: int) -> Tensor:
        """What the last ``n_last`` steps see in all of them."""

        def heads(projected: Tensor) -> Tensor:
            return projected.unflatten(2, (-1, _HEAD_WIDTH)).transpose(1, 2)

        seen = F.scaled_dot_product_attention(
            heads(self.q_proj(states[:, -n_last:])),
            heads(self.k_proj(states)),
            heads(self.v_proj(states)),
        )
        return self.out_proj(seen.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, n_last: int) -> Tensor:
        """The last ``n_last`` steps of what comes out."""
        seen = self.self_attn(self.self_attn_layer_norm(states), n_last)
        states = states[:, -n_last:] + seen
        return states + self.fc2(F.gelu(self.fc1(self.final_layer_norm(states))))


def sinusoids(n_steps: int, width: int) -> Tensor:
    """Whisper's positions [n_steps, width]: sines, then cosines of ever longer waves."""
    n = width // 2
    rates = torch.exp(-np.log(_LONGEST) / (n - 1) * torch.arange(n))
    angles = torch.arange(n_steps)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), 1)
