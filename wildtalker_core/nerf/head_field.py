"""The head as a field: position, direction, speech and expression -> density and colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wildtalker_core.nerf.encodings import spherical_harmonics
from wildtalker_core.nerf.face_sync import RegionAttention
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.tri_plane import TriPlane

N_GEOMETRY, N_HARMONICS = 64, 16
# The sigmoid is widened a hair so that black and white are reached (ER-NeRF, SyncTalk).
_COLOUR_MARGIN = 0.001


class _BoundedExp(torch.autograd.Function):
    """exp whose gradient stops growing at exp(15): one wild sample must not blow up the tables."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.clamp(max=15).exp()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return gradient * values.clamp(-15, 15).exp()


@dataclass(frozen=True)
class Condition:
    """What a frame tells the field; one row per frame.

    Attributes:
        lip_feature: [frames, n_lip] f_l.
        expression_feature: [frames, n_expression] f_e.
        frame_code: [frames, n_code] appearance of the single frame.
    """

    lip_feature: Tensor
    expression_feature: Tensor
    frame_code: Tensor

    def of(self, frame_index: Tensor | None) -> Condition:
        """One row per sample: row ``frame_index[i]`` for sample i (None: one frame for all)."""
        if frame_index is None:
            return self
        return Condition(
            self.lip_feature[frame_index],
            self.expression_feature[frame_index],
            self.frame_code[frame_index],
        )


@dataclass(frozen=True)
class HeadShape:
    """Sizes of the head's networks; defaults are SyncTalk's.

    Attributes:
        half_extents: of the box around the head's origin, head units.
        n_lip, n_expression, n_code: lengths of f_l, f_e and of the frame code.
        n_hidden: width of density and colour networks.
        n_attention: width of the region attentions.
    """

    grid: HashGridShape
    half_extents: tuple[float, float, float] = (0.30, 0.36, 0.30)
    n_lip: int = 32
    n_expression: int = 7
    n_code: int = 4
    n_hidden: int = 64
    n_attention: int = 64


class HeadField(nn.Module):
    """Tri-plane features, modulated conditions, density and colour (WildTalker Eq. 3's sigma, c).

    Density is per half box depth, so that the same initial weights look equally thin whatever the
    unit of length.
    """

    def __init__(self, shape: HeadShape, encoder: str = "torch") -> None:
        super().__init__()
        self.shape = shape
        self.planes = TriPlane(shape.grid, encoder)
        n = self.planes.n_features
        self.lip_attention = RegionAttention(n, shape.n_lip, shape.n_attention)
        self.expression_attention = RegionAttention(n, shape.n_expression, shape.n_attention)
        self.density_net = MLP(
            n + shape.n_lip + shape.n_expression, shape.n_hidden, 1 + N_GEOMETRY, n_layers=3
        )
        self.colour_net = MLP(N_HARMONICS + N_GEOMETRY + shape.n_code, shape.n_hidden, 3, 2)
        self.register_buffer("half_extents", torch.tensor(shape.half_extents), persistent=False)

    def density(self, positions: Tensor, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            positions: [n, 3] head units.
            condition: one row, or n rows.

        Returns:
            sigmas [n] per head unit, geometry [n, 64] for the colour network, and the strength of
            the lip attention [n] (norm over channels).
        """
        features = self.planes((positions / self.half_extents + 1) / 2)
        lips = self.lip_attention(features)
        expression = self.expression_attention(features)
        inputs = torch.cat(
            (features, lips * condition.lip_feature, expression * condition.expression_feature), -1
        )
        out = self.density_net(inputs)
        sigmas = _BoundedExp.apply(out[:, 0]) / self.shape.half_extents[2]
        return sigmas, out[:, 1:], lips.norm(dim=-1)

    def forward(
        self, positions: Tensor, directions: Tensor, condition: Condition
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`density`, with unit directions [n, 3]: sigmas, rgbs [n, 3] and strength."""
        sigmas, geometry, strength = self.density(positions, condition)
        code = condition.frame_code.expand(len(positions), -1)
        inputs = torch.cat((spherical_harmonics(directions), geometry, code), -1)
        rgbs = self.colour_net(inputs).sigmoid() * (1 + 2 * _COLOUR_MARGIN) - _COLOUR_MARGIN
        return sigmas, rgbs, strength
