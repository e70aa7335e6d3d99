"""How speech and expression reach the field, in one of three ways.

Each is a module with ``n_features`` that is called with features of positions and the conditions
of the samples, f_l and f_e (one row, or one for each), and returns a :class:`Conditioned`:
``region_attention`` (ER-NeRF, SyncTalk, WildTalker Sec. 3.4), ``ambient`` (RAD-NeRF),
``concatenate`` (AD-NeRF).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wildtalker_core.nerf.face_sync import RegionAttention
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.tri_plane import HashGrids


@dataclass(frozen=True)
class Conditioned:
    """What the density network is told at each sample.

    Attributes:
        lip_attention, expression_attention: how strongly speech and expression act there.
    """

    inputs: Float[Tensor, "n features"]
    lip_attention: Float[Tensor, "n"]
    expression_attention: Float[Tensor, "n"]


@dataclass(frozen=True)
class ConditioningShape:
    """Sizes of a conditioning.

    Attributes:
        n_position: features of a position.
        n_lip, n_expression: lengths of f_l and f_e.
        n_hidden, n_expression_hidden: widths of its networks for speech and for expression.
        grid: of ``ambient``; its ``n_dims`` is ``n_ambient``.
        n_ambient: dimensions of the ambient space.
    """

    n_position: int
    n_lip: int
    n_expression: int
    n_hidden: int
    n_expression_hidden: int
    grid: HashGridShape
    n_ambient: int


class AttendedConditioning(nn.Module):
    """Position features, and each channel of f_l and f_e times its own weight at the position.

    ASSUME an expression of one number is weighted by a sigmoid and a vector is not: so do ER-NeRF
    (one number) and SyncTalk (seven).
    """

    def __init__(self, shape: ConditioningShape) -> None:
        super().__init__()
        self.n_features = shape.n_position + shape.n_lip + shape.n_expression
        self.lip_attention = RegionAttention(shape.n_position, shape.n_lip, shape.n_hidden)
        self.expression_attention = None
        if shape.n_expression:
            self.expression_attention = RegionAttention(
                shape.n_position, shape.n_expression, shape.n_expression_hidden,
                is_gate=shape.n_expression == 1,
            )  # fmt: skip

    def forward(
        self,
        features: Float[Tensor, "n n_position"],
        lip: Float[Tensor, "#n n_lip"],
        expression: Float[Tensor, "#n n_expression"],
    ) -> Conditioned:
        lips = self.lip_attention(features)
        parts = [features, lips * lip]
        expression_attention = torch.zeros_like(features[:, 0])
        if self.expression_attention is not None:
            attended = self.expression_attention(features)
            parts.append(attended * expression)
            expression_attention = attended.norm(dim=-1)
        return Conditioned(torch.cat(parts, -1), lips.norm(dim=-1), expression_attention)


class AmbientConditioning(nn.Module):
    """Speech chooses a place in a small space of its own, whose grid tells what is there.

    RAD-NeRF's audio-spatial decomposition: a network turns position features and f_l into an
    ambient coordinate, which a second grid looks up. Expression is appended as it is.
    """

    def __init__(self, shape: ConditioningShape, encoder: str = "torch") -> None:
        super().__init__()
        self.coordinate_net = MLP(
            shape.n_position + shape.n_lip, shape.n_hidden, shape.n_ambient, n_layers=3
        )
        self.grid = HashGrids(replace(shape.grid, n_dims=shape.n_ambient), encoder=encoder)
        self.n_features = shape.n_position + self.grid.n_features + shape.n_expression

    def forward(
        self,
        features: Float[Tensor, "n n_position"],
        lip: Float[Tensor, "#n n_lip"],
        expression: Float[Tensor, "#n n_expression"],
    ) -> Conditioned:
        n = len(features)
        coordinate = self.coordinate_net(torch.cat((features, lip.expand(n, -1)), -1)).tanh()
        ambient = self.grid(((coordinate + 1) / 2)[None])
        return Conditioned(
            torch.cat((features, ambient, expression.expand(n, -1)), -1),
            # How far speech moves from the middle: RAD-NeRF's regulariser pulls it back there.
            coordinate.abs().mean(-1),
            torch.zeros_like(coordinate[:, 0]),
        )


class PlainConditioning(nn.Module):
    """f_l and f_e appended to the position features (AD-NeRF)."""

    def __init__(self, shape: ConditioningShape) -> None:
        super().__init__()
        self.n_features = shape.n_position + shape.n_lip + shape.n_expression

    def forward(
        self,
        features: Float[Tensor, "n n_position"],
        lip: Float[Tensor, "#n n_lip"],
        expression: Float[Tensor, "#n n_expression"],
    ) -> Conditioned:
        n = len(features)
        zero = torch.zeros_like(features[:, 0])
        inputs = torch.cat((features, lip.expand(n, -1), expression.expand(n, -1)), -1)
        return Conditioned(inputs, zero, zero)


def conditioning(
    name: str, shape: ConditioningShape, encoder: str = "torch"
) -> AttendedConditioning | AmbientConditioning | PlainConditioning:
    """The conditioning of this name."""
    if name == "region_attention":
        return AttendedConditioning(shape)
    if name == "ambient":
        return AmbientConditioning(shape, encoder)
    if name == "concatenate":
        return PlainConditioning(shape)
    raise ValueError(f"conditioning is region_attention, ambient or concatenate, not {name!r}")
