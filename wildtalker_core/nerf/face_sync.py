"""Face-Sync Controller: what the face is told, by speech and by expression, and where it listens.

``AudioNet`` turns one frame's window of audio features into a code, ``AudioAttention`` calms it
over eight neighbouring frames; ``RegionAttention`` decides at each position how much each channel
matters there (SyncTalk Sec. 3.1, WildTalker Sec. 3.4).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from wildtalker_core.mouth.blinks import BLINK_CHANNELS
from wildtalker_core.nerf.layers import MLP

#: Frames that the audio attention sees: [i - 4, i + 4).
ATTENTION_FRAMES = 8
_LEAK = 0.02


class AudioNet(nn.Module):
    """Window of audio features -> code: four strided convolutions."""

    def __init__(self, n_features: int, window: int, n_code: int) -> None:
        super().__init__()
        if window != 16:
            raise ValueError(f"AudioNet halves its window four times: it must be 16, not {window}")
        widths = (n_features, 32, 32, 64, 64)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel_size=3, stride=2, padding=1)
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.hidden, self.out = nn.Linear(64, 64), nn.Linear(64, n_code)

    def forward(self, windows: Float[Tensor, "n features 16"]) -> Float[Tensor, "n n_code"]:
        values = windows
        for convolution in self.convolutions:
            values = F.leaky_relu(convolution(values), _LEAK)
        return self.out(F.leaky_relu(self.hidden(values.squeeze(-1)), _LEAK))


class AudioAttention(nn.Module):
    """Codes of eight neighbouring frames -> their weighted mean."""

    def __init__(self, n_code: int) -> None:
        super().__init__()
        widths = (n_code, 16, 8, 4, 2, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel_size=3, padding=1)
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.mix = nn.Linear(ATTENTION_FRAMES, ATTENTION_FRAMES)

    def weights(self, codes: Float[Tensor, "n 8 n_code"]) -> Float[Tensor, "n 8"]:
        """Positive, summing to 1."""
        values = codes.transpose(1, 2)
        for convolution in self.convolutions:
            values = F.leaky_relu(convolution(values), _LEAK)
        return self.mix(values.squeeze(1)).softmax(-1)

    def forward(self, codes: Float[Tensor, "n 8 n_code"]) -> Float[Tensor, "n n_code"]:
        return (self.weights(codes)[..., None] * codes).sum(1)


class AudioEncoder(nn.Module):
    """Audio windows of a whole clip -> one code per asked frame, with attention over neighbours."""

    mean: Float[Tensor, "features 1"]
    scale: Float[Tensor, "features 1"]

    def __init__(self, n_features: int, window: int, n_code: int) -> None:
        super().__init__()
        self.net = AudioNet(n_features, window, n_code)
        self.attention = AudioAttention(n_code)
        self.register_buffer("mean", torch.zeros(n_features, 1))
        self.register_buffer("scale", torch.ones(n_features, 1))

    def standardise(self, audio_features: Float[Tensor, "frames features window"]) -> None:
        """Take mean and spread of each feature as the unit."""
        self.mean.copy_(audio_features.mean((0, 2))[:, None])
        self.scale.copy_(audio_features.std((0, 2)).clamp_min(1e-3)[:, None])

    def forward(
        self, audio_features: Float[Tensor, "frames features window"], frames: Int64[Tensor, "k"]
    ) -> Float[Tensor, "k n_code"]:
        """
        Args:
            audio_features: of the whole clip.
            frames: frame numbers; beyond the clip's ends its last window is repeated.
        """
        around = torch.arange(ATTENTION_FRAMES, device=frames.device) - ATTENTION_FRAMES // 2
        neighbours = (frames[:, None] + around).clamp(0, len(audio_features) - 1)
        # Each window goes through the network once, however many frames look at it.
        needed, where = neighbours.unique(return_inverse=True)
        windows = (audio_features[needed] - self.mean) / self.scale
        return self.attention(self.net(windows)[where])


class RegionAttention(nn.Module):
    """How strongly each channel of a condition acts at a position.

    It multiplies the condition channel by channel; there is no squashing, as in SyncTalk's code,
    unless ``is_gate`` (a sigmoid, ER-NeRF's eye attention).
    """

    def __init__(
        self, n_features: int, n_channels: int, n_hidden: int = 64, is_gate: bool = False
    ) -> None:
        super().__init__()
        self.is_gate = is_gate
        self.mlp = MLP(n_features, n_hidden, n_channels, n_layers=2)

    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n channels"]:
        weights = self.mlp(features)
        return weights.sigmoid() if self.is_gate else weights


#: What the field may be told of the upper face, and how many numbers that is of seven.
EXPRESSIONS = {"upper_face": 7, "blink": 1, "none": 0}


def told_expression(expression: Float[Tensor, "n 7"], name: str) -> Float[Tensor, "n told"]:
    """The part of expressions that the field is told.

    ASSUME ``blink`` is the mean of both blink channels: RAD-NeRF measures the area of the eyes and
    ER-NeRF OpenFace's AU45, one number each for how far the lids are closed.
    """
    if name == "upper_face":
        return expression
    if name == "blink":
        return expression[:, list(BLINK_CHANNELS)].mean(-1, keepdim=True)
    if name == "none":
        return expression[:, :0]
    raise ValueError(f"expression is one of {', '.join(EXPRESSIONS)}, not {name!r}")
