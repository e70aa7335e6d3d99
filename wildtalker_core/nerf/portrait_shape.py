"""The shape of a portrait: everything that decides its tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.head_field import HeadShape
from wildtalker_core.nerf.torso_field import TorsoShape


@dataclass(frozen=True)
class PortraitShape:
    """Stored beside a portrait's weights.

    Attributes:
        height, width: of the image, pixels.
        focal_length: pixels.
        n_frames: of the clip, one code each.
        n_audio_features, audio_window: of the audio features [frames, features, window].
        lip_feature: ``audio`` (f_l is the audio code, learnt with the picture) or ``mouth_shape``
            (f_l is a linear map of the mouth's shape, which is learnt to be heard beforehand).
        n_mouth_shapes: components of the mouth's shape, for ``mouth_shape``.
        n_heard: windows of training frames that the ear remembers, for ``mouth_shape``.
        sampling: ``occupied`` (constant steps through occupied cells) or ``hierarchical`` (even
            intervals, then finer ones where there is something; AD-NeRF).
        n_steps_across: marching steps along the box's depth, for ``occupied``.
        n_samples: most occupied samples a ray, or even intervals for ``hierarchical``.
        n_fine_samples: intervals added to them, for ``hierarchical``.
        occupancy_resolution, alpha_resolution: cells per axis.
    """

    height: int
    width: int
    focal_length: float
    n_frames: int
    n_audio_features: int
    audio_window: int
    lip_feature: str
    n_heard: int
    sampling: str
    n_steps_across: int
    n_samples: int
    occupancy_resolution: int
    head: HeadShape
    torso: TorsoShape
    n_mouth_shapes: int = 5
    n_fine_samples: int = 128
    alpha_resolution: int = 128

    @property
    def step(self) -> float:
        """Marching step, head units."""
        return 2 * self.head.half_extents[2] / self.n_steps_across

    @property
    def focal_ratio(self) -> float:
        """Focal length over half the image width."""
        return self.focal_length / (self.width / 2)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> PortraitShape:
        """Inverse of :meth:`to_dict` (after JSON)."""
        head, torso = dict(values["head"]), dict(values["torso"])
        head["grid"], torso["grid"] = HashGridShape(**head["grid"]), HashGridShape(**torso["grid"])
        head["half_extents"] = tuple(head["half_extents"])
        return cls(**{**values, "head": HeadShape(**head), "torso": TorsoShape(**torso)})
