"""A portrait of Gaussians: what it is told of a frame, and the picture that it draws of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.speaking import spoken_shapes
from wildtalker_core.splats.body import Body, BodyShape, Gaussians
from wildtalker_core.splats.rasterisers import project, rasterise

#: Numbers of a frame's head pose that tell where the torso is: turn, place in the picture, depth.
N_POSE = 6
#: Numbers of a motion in the picture plane; what follows is soft motion.
N_SIMILARITY = 4


@dataclass(frozen=True)
class SplatShape:
    """Everything that decides the tensors of a portrait; stored beside its weights.

    Attributes:
        height, width: of the picture, pixels; focal_length: pixels.
        plate_margin: pixels by which the plate is larger on each side; 0 where the camera stands.
        body: sizes of the Gaussians.
        n_mouth, n_expression, n_gaze: conditions of the face beside the head's three turns.
        n_torso: numbers of the torso's motion: similarity (4) and soft ones.
        n_audio_features, audio_window: of the audio features [frames, features, window].
        n_heard: training frames that the ear remembers.
        kernel: ``compact`` or ``gaussian``, as trained.
    """

    height: int
    width: int
    focal_length: float
    plate_margin: int
    body: BodyShape
    n_mouth: int
    n_expression: int
    n_gaze: int
    n_torso: int
    n_audio_features: int
    audio_window: int
    n_heard: int
    kernel: str

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> SplatShape:
        """Inverse of :meth:`to_dict` (after JSON)."""
        return cls(**{**values, "body": BodyShape.from_dict(values["body"])})

    @property
    def n_face(self) -> int:
        return self.n_mouth + self.n_expression + self.n_gaze + 3


def n_soft_conditions(n_torso: int, n_mouth: int) -> int:
    """How many conditions neck and torso have: soft motion, mouth, turn of the head."""
    return n_torso - N_SIMILARITY + n_mouth + 3


class SplatPortrait(nn.Module):
    """Body, ear, background and units of the conditions; knows how to draw, not how to train."""

    plate: Float[Tensor, "height width 3"]
    torso_slope: Float[Tensor, "6 n_torso"]
    torso_mean: Float[Tensor, "n_torso"]
    torso_lower: Float[Tensor, "n_torso"]
    torso_upper: Float[Tensor, "n_torso"]
    torso_centre: Float[Tensor, "2"]
    camera_centre: Float[Tensor, "2"]
    canvas_to_head: Float[Tensor, "4 4"]

    def __init__(self, shape: SplatShape, rasteriser: str = "auto") -> None:
        super().__init__()
        self.shape, self.rasteriser = shape, rasteriser
        self.body = Body(shape.body)
        self.ear = Ear(shape.n_audio_features, shape.audio_window, shape.n_mouth, shape.n_heard)
        sizes = {"face": shape.n_face, "torso": shape.n_torso, "pose": N_POSE}
        for name, size in sizes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
            self.register_buffer(f"{name}_lower", torch.full((size,), -torch.inf))
            self.register_buffer(f"{name}_upper", torch.full((size,), torch.inf))
        self.register_buffer("torso_slope", torch.zeros(N_POSE, shape.n_torso))
        self.register_buffer("torso_centre", torch.zeros(2))
        self.register_buffer("camera_centre", torch.zeros(2))
        self.register_buffer("canvas_to_head", torch.eye(4))
        margin = 2 * shape.plate_margin
        plate = torch.zeros(shape.height + margin, shape.width + margin, 3)
        self.register_buffer("plate", plate)

    # What a frame is -------------------------------------------------------------------------

    def hear(
        self,
        audio_features: Float[Tensor, "frames features window"],
        is_silent: Bool[np.ndarray, "frames"],
        audio_frames: Int[np.ndarray, "k"],
        T_camera_head: Float[Tensor, "k 4 4"],
        fps: float,
        options: SpeakingOptions,
    ) -> Float[Tensor, "k {self.shape.n_mouth}"]:
        """``Moment.mouth`` of a speech: see :func:`mouth.speaking.spoken_shapes`."""
        return spoken_shapes(
            self.ear, audio_features, is_silent, audio_frames, T_camera_head, fps, options
        )

    def unit(self, name: str, raw: Float[Tensor, "*frames k"]) -> Float[Tensor, "*frames k"]:
        """Conditions ``face``, ``torso`` or ``pose`` in units of their training spread.

        Kept within the range of training: linear bases run away beyond what they have seen.
        """
        kept = raw.clamp(getattr(self, f"{name}_lower"), getattr(self, f"{name}_upper"))
        return (kept - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_scale")

    def face_conditions(self, moment: Moment) -> Float[Tensor, "*frames {self.shape.n_face}"]:
        """Mouth, expression, gaze and turn of the head."""
        return self.unit("face", face_numbers(moment))

    def soft_conditions(self, moment: Moment) -> Float[Tensor, "*frames {self.shape.body.n_soft}"]:
        """The torso's soft motion, then mouth, then turn of the head."""
        face = self.face_conditions(moment)
        soft = self.unit("torso", moment.torso)[..., N_SIMILARITY:]
        return torch.cat((soft, face[..., : self.shape.n_mouth], face[..., -3:]), -1)

    def pose_numbers(
        self, T_camera_head: Float[Tensor, "*frames 4 4"]
    ) -> Float[Tensor, "*frames 6"]:
        """Rotation vector, place in the picture (px), log-depth."""
        place = T_camera_head[..., :3, 3]
        on_picture = place[..., :2] / place[..., 2:] * self.shape.focal_length
        turn = matrix_to_axis_angle(T_camera_head[..., :3, :3])
        return torch.cat((turn, on_picture, place[..., 2:].log()), -1)

    def predicted_torso(
        self, T_camera_head: Float[Tensor, "*frames 4 4"]
    ) -> Float[Tensor, "*frames {self.shape.n_torso}"]:
        """Where the torso is likely to be under head poses."""
        pose = self.unit("pose", self.pose_numbers(T_camera_head))
        guess = self.torso_mean + pose @ self.torso_slope
        return guess.clamp(self.torso_lower, self.torso_upper)

    def _plane_map(self, motion: Tensor, centre: Tensor) -> Tensor:
        """Similarity [3, 3] of the picture plane, pixels about the principal point."""
        size = centre.new_tensor((self.shape.width / 2, self.shape.height / 2))
        scale, angle = motion[3].exp(), motion[2]
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        linear = torch.stack((torch.stack((cosine, -sine)), torch.stack((sine, cosine))))
        about = centre - size
        plane = torch.cat((linear, (about + motion[:2] - linear @ about)[:, None]), 1)
        return torch.cat((plane, plane.new_tensor(((0.0, 0.0, 1.0),))))

    def bones(self, moment: Moment) -> Float[Tensor, "2 3 4"]:
        """Maps of the canonical place into the camera: head, torso.

        The torso moves in the picture plane: with F = diag(f, f, 1) and B the similarity about the
        principal point, ``F^-1 B F`` is linear in camera space, so it is a bone as any other.
        """
        focal = self.shape.focal_length
        plane = self._plane_map(moment.torso, self.torso_centre)
        scale = plane.new_tensor((focal, focal, 1.0))
        torso = (plane * scale / scale[:, None]) @ self.canvas_to_head[:3]
        return torch.stack((moment.T_camera_head[:3], torso))

    # Pictures --------------------------------------------------------------------------------

    def draw(
        self, moment: Moment, head_only: bool = False
    ) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """Premultiplied colours and alpha, differentiable."""
        shape = self.shape
        found = self.body(self.face_conditions(moment), self.soft_conditions(moment))
        last = shape.body.n_head if head_only else shape.body.n
        body = Gaussians(*(getattr(found, name)[:last] for name in found.__dataclass_fields__))
        projected = project(
            body.means, body.quaternions, body.log_scales, self.body.weights[:last],
            self.bones(moment), shape.focal_length, shape.height, shape.width,
            rasteriser=self.rasteriser,
        )  # fmt: skip
        return rasterise(
            projected, body.colours, body.opacities, shape.height, shape.width,
            kernel=shape.kernel, rasteriser=self.rasteriser,
        )  # fmt: skip

    def background(self, moment: Moment) -> Float[Tensor, "height width 3"]:
        """What is behind the person in a frame."""
        shape = self.shape
        if not shape.plate_margin:
            return self.plate
        # Where each pixel of the frame lies in the plate, in grid_sample's units of its half size.
        back = torch.linalg.inv(self._plane_map(moment.camera, self.camera_centre))
        rows, columns = self.plate.shape[:2]
        half = back.new_tensor((shape.width, shape.height)) / 2
        whole = back.new_tensor((columns, rows)) / 2
        linear = back[:2, :2] * half / whole[:, None]
        grid = F.affine_grid(
            torch.cat((linear, (back[:2, 2] / whole)[:, None]), 1)[None],
            [1, 3, shape.height, shape.width], align_corners=False,
        )  # fmt: skip
        plate = self.plate.permute(2, 0, 1)[None]
        shown = F.grid_sample(plate, grid, padding_mode="border", align_corners=False)
        return shown[0].permute(1, 2, 0)

    @torch.no_grad()
    def picture(
        self, moment: Moment, behind: Float[Tensor, "height width 3"] | None = None
    ) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """Picture in [0, 1] and alpha of the person.

        Args:
            behind: shown behind the head alone (mode ``head``); None for the
                whole body over its own background.
        """
        colours, alpha = self.draw(moment, head_only=behind is not None)
        below = self.background(moment) if behind is None else behind
        return (colours + (1 - alpha)[..., None] * below).clamp(0, 1), alpha


def face_numbers(moment: Moment) -> Float[Tensor, "*frames n_face"]:
    """What the face's bases follow, in its own units."""
    turn = matrix_to_axis_angle(moment.T_camera_head[..., :3, :3])
    return torch.cat((moment.mouth, moment.expression, moment.gaze, turn), -1)
