"""The head as a field: position, direction, speech and expression -> density and colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from wildtalker_core.nerf.conditioning import Conditioned, ConditioningShape, conditioning
from wildtalker_core.nerf.encodings import frequency_encoding, spherical_harmonics
from wildtalker_core.nerf.face_sync import EXPRESSIONS, told_expression
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.position_encoding import position_encoding, unit_box

#: What a sample tells besides density and colour, in the order of :attr:`FieldValues.traces`.
TRACES = ("lip_attention", "expression_attention", "uncertainty")

#: Directions -> features, and how many; AD-NeRF takes four octaves.
_DIRECTION_ENCODINGS = {
    "spherical_harmonics": (spherical_harmonics, 16),
    "frequency": (lambda directions: frequency_encoding(directions, 4), 27),
}
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
        lip_feature: f_l.
        expression_feature: f_e.
        frame_code: appearance of the single frame.
    """

    lip_feature: Float[Tensor, "frames n_lip"]
    expression_feature: Float[Tensor, "frames 7"]
    frame_code: Float[Tensor, "frames n_code"]

    def of(self, frame_index: Int64[Tensor, "samples"] | None) -> Condition:
        """One row per sample: row ``frame_index[i]`` for sample i (None: one frame for all)."""
        if frame_index is None:
            return self
        return Condition(
            self.lip_feature[frame_index],
            self.expression_feature[frame_index],
            self.frame_code[frame_index],
        )


@dataclass(frozen=True)
class Traces:
    """What training wants to know of rays besides what they see.

    Attributes:
        lip_attention, expression_attention, uncertainty: seen along them, that is, each sample's
            times its (detached) share of the pixel.
        positions: of all samples.
        frame_index: row of each sample's condition; None if there is one for all.
    """

    lip_attention: Float[Tensor, "rays"]
    expression_attention: Float[Tensor, "rays"]
    uncertainty: Float[Tensor, "rays"]
    positions: Float[Tensor, "samples 3"]
    frame_index: Int64[Tensor, "samples"] | None


@dataclass(frozen=True)
class HeadShape:
    """Parts and sizes of the head's networks; defaults are SyncTalk's.

    Attributes:
        grid: levels and tables of the hash grids.
        half_extents: of the box around the head's origin, head units.
        position_encoding: ``tri_plane``, ``grid_3d`` or ``frequency``.
        conditioning: ``region_attention``, ``ambient`` or ``concatenate``.
        expression: what of f_e the field is told, a key of ``face_sync.EXPRESSIONS``.
        direction_encoding: ``spherical_harmonics`` or ``frequency``.
        n_lip, n_code: lengths of f_l and of the frame code.
        n_hidden, n_density_layers, density_skip: of the density network (:class:`layers.MLP`).
        n_geometry: numbers that it hands to the colour network.
        n_colour_hidden: width of the colour network's hidden layer.
        has_biases: of both networks.
        n_attention, n_expression_attention: widths of the conditioning's networks.
        n_ambient: dimensions of the ambient space, for ``ambient``.
        n_octaves: of the position, for ``frequency``.
        n_uncertainty: width of the network that guesses each sample's error; 0 for none.
    """

    grid: HashGridShape
    half_extents: tuple[float, float, float] = (0.30, 0.36, 0.30)
    position_encoding: str = "tri_plane"
    conditioning: str = "region_attention"
    expression: str = "upper_face"
    direction_encoding: str = "spherical_harmonics"
    n_lip: int = 32
    n_code: int = 4
    n_hidden: int = 64
    n_density_layers: int = 3
    density_skip: int = 0
    n_geometry: int = 64
    n_colour_hidden: int = 64
    has_biases: bool = False
    n_attention: int = 64
    n_expression_attention: int = 64
    n_ambient: int = 2
    n_octaves: int = 10
    n_uncertainty: int = 0


class HeadField(nn.Module):
    """Position features, told of speech and expression, to density and colour (Eq. 3's sigma, c).

    Density is per half box depth, so that the same initial weights look equally thin whatever the
    unit of length.
    """

    half_extents: Float[Tensor, "3"]

    def __init__(self, shape: HeadShape, encoder: str = "torch") -> None:
        super().__init__()
        self.shape = shape
        self.position_encoding = position_encoding(
            shape.position_encoding, shape.grid, shape.n_octaves, encoder
        )
        n = self.position_encoding.n_features
        self.conditioning = conditioning(
            shape.conditioning,
            ConditioningShape(
                n_position=n,
                n_lip=shape.n_lip,
                n_expression=EXPRESSIONS[shape.expression],
                n_hidden=shape.n_attention,
                n_expression_hidden=shape.n_expression_attention,
                grid=shape.grid,
                n_ambient=shape.n_ambient,
            ),
            encoder,
        )
        self.density_net = MLP(
            self.conditioning.n_features, shape.n_hidden, 1 + shape.n_geometry,
            shape.n_density_layers, shape.has_biases, shape.density_skip,
        )  # fmt: skip
        self.encode_direction, n_direction = _DIRECTION_ENCODINGS[shape.direction_encoding]
        self.colour_net = MLP(
            n_direction + shape.n_geometry + shape.n_code, shape.n_colour_hidden, 3,
            n_layers=2, has_biases=shape.has_biases,
        )  # fmt: skip
        self.uncertainty_net = None
        if shape.n_uncertainty:
            self.uncertainty_net = MLP(n, shape.n_uncertainty, 1, n_layers=2)
        self.register_buffer("half_extents", torch.tensor(shape.half_extents), persistent=False)

    def _told(self, positions: Tensor, condition: Condition) -> tuple[Tensor, Conditioned]:
        """Position features [n, k], and what the density network is told at the positions."""
        features = self.position_encoding(unit_box(positions, self.half_extents))
        expression = told_expression(condition.expression_feature, self.shape.expression)
        return features, self.conditioning(features, condition.lip_feature, expression)

    def _traces(self, features: Tensor, told: Conditioned) -> Tensor:
        uncertainty = torch.zeros_like(told.lip_attention)
        if self.uncertainty_net is not None:
            # Detached: it watches what the field gets wrong and must not make it so.
            out = self.uncertainty_net(features.detach())[:, 0]
            uncertainty = torch.nn.functional.softplus(out)
        return torch.stack((told.lip_attention, told.expression_attention, uncertainty), -1)

    def traces(self, positions: Float[Tensor, "n 3"], condition: Condition) -> Float[Tensor, "n 3"]:
        """Attention to lips and to expression, and uncertainty, at positions."""
        return self._traces(*self._told(positions, condition))

    def density(
        self, positions: Float[Tensor, "n 3"], condition: Condition
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n n_geometry"], Float[Tensor, "n 3"]]:
        """
        Args:
            positions: head units.
            condition: one row, or n rows.

        Returns:
            sigmas per head unit, geometry for the colour network, and traces in the order of
            ``TRACES``.
        """
        features, told = self._told(positions, condition)
        out = self.density_net(told.inputs)
        sigmas = _BoundedExp.apply(out[:, 0]) / self.shape.half_extents[2]
        return sigmas, out[:, 1:], self._traces(features, told)

    def forward(
        self,
        positions: Float[Tensor, "n 3"],
        directions: Float[Tensor, "n 3"],
        condition: Condition,
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """As :meth:`density`, with unit directions: sigmas, rgbs and traces."""
        sigmas, geometry, traces = self.density(positions, condition)
        code = condition.frame_code.expand(len(positions), -1)
        inputs = torch.cat((self.encode_direction(directions), geometry, code), -1)
        out = self.colour_net(inputs)
        return sigmas, out.sigmoid() * (1 + 2 * _COLOUR_MARGIN) - _COLOUR_MARGIN, traces
