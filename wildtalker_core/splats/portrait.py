"""A portrait of Gaussians: what it is told of a frame, and the picture that it draws of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.splats.body import Body, BodyShape, Gaussians
from wildtalker_core.splats.rasterisers import project, rasterise

#: Numbers of a frame's head pose that tell where the torso is: turn, place in the picture, depth.
N_POSE = 6


@dataclass(frozen=True)
class SplatShape:
    """Everything that decides the tensors of a portrait; stored beside its weights.

    Attributes:
        height, width: of the picture, pixels; focal_length: pixels.
        body: sizes of the Gaussians.
        n_mouth, n_expression, n_gaze: conditions of the face beside the head's three turns.
        n_torso: numbers of the torso's motion: similarity (4) and soft ones.
        kernel: ``compact`` or ``gaussian``, as trained.
    """

    height: int
    width: int
    focal_length: float
    body: BodyShape
    n_mouth: int
    n_expression: int
    n_gaze: int
    n_torso: int
    kernel: str

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> SplatShape:
        """Inverse of :meth:`to_dict` (after JSON)."""
        return cls(**{**values, "body": BodyShape(**values["body"])})


@dataclass(frozen=True)
class Moment:
    """What a portrait is told of one frame, or of several along a first axis.

    Attributes:
        T_camera_head: [4, 4].
        mouth: [n_mouth] shapes; expression: [n_expression] in [0, 1]; gaze: [n_gaze].
        torso: [n_torso]: shift x, y (pixels), rotation (radians), log-scale, soft motion.
        camera: [4] motion of what is behind the person, as the torso's first four.
    """

    T_camera_head: Tensor
    mouth: Tensor
    expression: Tensor
    gaze: Tensor
    torso: Tensor
    camera: Tensor

    def __getitem__(self, index: int | Tensor | slice) -> Moment:
        return Moment(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


class SplatPortrait(nn.Module):
    """Body, background and units of the conditions; knows how to draw, not how to train."""

    def __init__(self, shape: SplatShape) -> None:
        super().__init__()
        self.shape = shape
        self.body = Body(shape.body)
        n_face = shape.n_mouth + shape.n_expression + shape.n_gaze + 3
        for name, size in (("face", n_face), ("torso", shape.n_torso), ("pose", N_POSE)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
            self.register_buffer(f"{name}_lower", torch.full((size,), -torch.inf))
            self.register_buffer(f"{name}_upper", torch.full((size,), torch.inf))
        self.register_buffer("torso_slope", torch.zeros(N_POSE, shape.n_torso))
        self.register_buffer("torso_centre", torch.zeros(2))
        self.register_buffer("canvas_to_head", torch.eye(4))
        self.register_buffer("plate", torch.zeros(shape.height, shape.width, 3))

    # What a frame is -------------------------------------------------------------------------

    def face_conditions(self, moment: Moment) -> Tensor:
        """[..., n_face] in units of the training frames' spread, kept within their range.

        Linear bases run away beyond what they have seen.
        """
        turn = matrix_to_axis_angle(moment.T_camera_head[..., :3, :3])
        raw = torch.cat((moment.mouth, moment.expression, moment.gaze, turn), -1)
        return self._unit("face", raw)

    def soft_conditions(self, moment: Moment) -> Tensor:
        """[..., n_soft]: the torso's soft motion, then mouth, then turn of the head."""
        face = self.face_conditions(moment)
        soft = self._unit("torso", moment.torso)[..., 4:]
        return torch.cat((soft, face[..., : self.shape.n_mouth], face[..., -3:]), -1)

    def _unit(self, name: str, raw: Tensor) -> Tensor:
        kept = raw.clamp(getattr(self, f"{name}_lower"), getattr(self, f"{name}_upper"))
        return (kept - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_scale")

    def pose_numbers(self, T_camera_head: Tensor) -> Tensor:
        """Poses [..., 4, 4] -> [..., 6]: rotation vector, place in the picture (px), log-depth."""
        place = T_camera_head[..., :3, 3]
        return torch.cat(
            (
                matrix_to_axis_angle(T_camera_head[..., :3, :3]),
                place[..., :2] / place[..., 2:] * self.shape.focal_length,
                place[..., 2:].log(),
            ),
            -1,
        )

    def predicted_torso(self, T_camera_head: Tensor) -> Tensor:
        """Where the torso is likely to be under head poses [..., 4, 4]: [..., n_torso]."""
        pose = self._unit("pose", self.pose_numbers(T_camera_head))
        guess = self.torso_mean + pose @ self.torso_slope
        return guess.clamp(self.torso_lower, self.torso_upper)

    def bones(self, moment: Moment) -> Tensor:
        """[2, 3, 4] maps of the canonical place into the camera: head, torso.

        The torso moves in the picture plane: with F = diag(f, f, 1) and B the similarity about the
        principal point, ``F^-1 B F`` is linear in camera space, so it is a bone as any other.
        """
        shape, motion = self.shape, moment.torso
        scale, angle = motion[3].exp(), motion[2]
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        linear = torch.stack((torch.stack((cosine, -sine)), torch.stack((sine, cosine))))
        size = motion.new_tensor((shape.width / 2, shape.height / 2))
        centre = self.torso_centre - size
        shift = (centre + motion[:2] - linear @ centre) / shape.focal_length
        plane = torch.cat((linear, shift[:, None]), 1)
        plane = torch.cat((plane, plane.new_tensor(((0.0, 0.0, 1.0),))))
        return torch.stack((moment.T_camera_head[:3], plane @ self.canvas_to_head[:3]))

    # Pictures --------------------------------------------------------------------------------

    def gaussians(self, moment: Moment) -> Gaussians:
        return self.body(self.face_conditions(moment), self.soft_conditions(moment))

    def draw(self, moment: Moment, rasteriser: str = "auto") -> tuple[Tensor, Tensor]:
        """Premultiplied colours [height, width, 3] and alpha [height, width], differentiable."""
        shape, body = self.shape, self.gaussians(moment)
        projected = project(
            body.means, body.quaternions, body.log_scales, self.body.weights, self.bones(moment),
            shape.focal_length, shape.height, shape.width, rasteriser=rasteriser,
        )  # fmt: skip
        return rasterise(
            projected, body.colours, body.opacities, shape.height, shape.width,
            kernel=shape.kernel, rasteriser=rasteriser,
        )  # fmt: skip

    @torch.no_grad()
    def render(
        self, moment: Moment, behind: Tensor | None = None, rasteriser: str = "auto"
    ) -> tuple[Tensor, Tensor]:
        """Picture [height, width, 3] in [0, 1] over ``behind`` (None: the plate), and alpha."""
        colours, alpha = self.draw(moment, rasteriser)
        if behind is None:
            behind = self.plate
        return (colours + (1 - alpha)[..., None] * behind).clamp(0, 1), alpha
