"""A clip as the portrait sees it: one value per frame for everything, on one time line."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Real, UInt8

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays
from wildtalker_core.media.frame_store import FrameStore

#: Channels of a parsing stack, in order; a frame's channels sum to 255 at every pixel.
PARSING_CLASSES = ("background", "head", "neck", "torso", "hands")

_PER_FRAME = (
    "frame_times_seconds",
    "T_camera_head",
    "landmarks",
    "expression",
    "is_face_visible",
    "is_mouth_visible",
    "is_counted",
    "face_box",
    "lip_box",
)
_SPLIT = ("train_frames", "validation_frames", "test_frames")
#: Attributes of a scene that stay on disk.
STACKS = ("frames", "hand_free_frames", "parsing", "transient_mask")
_SAVED = (*_PER_FRAME, *_SPLIT, "clip", "focal_length", "background")


@runtime_checkable
class FrameStack(Protocol):
    """Anything indexed by frame: a FrameStore or a plain array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index): ...


@dataclass(frozen=True)
class Scene:
    """Everything per frame, as many of each. Pixel centres lie at +0.5.

    The camera looks along +z, x to the right, y down, principal point at the image centre.

    Attributes:
        clip: name of the clip.
        frame_times_seconds: time of each frame from the clip's start.
        T_camera_head: maps head points (head units: the face template is 0.30 wide) into the
            camera.
        focal_length: pixels.
        landmarks: pixels, MediaPipe's order.
        expression: in [0, 1]: browDownLeft, browDownRight, browInnerUp, browOuterUpLeft,
            browOuterUpRight, eyeBlinkLeft, eyeBlinkRight.
        is_face_visible: false where landmarks were interpolated.
        is_mouth_visible: false where no face was found or a hand hides the lips: there
            landmarks of the mouth are made up, and nothing is learnt about it.
        face_box, lip_box: pixels x0, y0, x1, y1 (half open, inside the image).
        background: static plate.
        is_counted: false where the person is not in view (black, titles). Such a frame is
            in no list of the split: nothing is learnt from it, chosen on it or scored.
        train_frames, validation_frames, test_frames: frame numbers of the split, in time order.
        is_silent: no voice around the frame.
        noisy_audio_features: of the first k frames, training's, in noise; None if there are none.
        frames_ahead: how many frames behind a picture's own may be listened to; None for any.
        frames, hand_free_frames: [n, height, width, 3] uint8 stacks.
        parsing: [n, height, width, 5] uint8 soft memberships, order ``PARSING_CLASSES``.
        transient_mask: [n, height, width] uint8, 255 = ignore.
    """

    clip: str
    # _n: equal lengths are asked for below, in words for who has mixed up files.
    frame_times_seconds: Float[np.ndarray, "_n"]
    T_camera_head: Float[np.ndarray, "_n 4 4"]
    focal_length: float
    landmarks: Float[np.ndarray, "_n 478 2"]
    expression: Float[np.ndarray, "_n 7"]
    is_face_visible: Bool[np.ndarray, "_n"]
    is_mouth_visible: Bool[np.ndarray, "_n"]
    is_counted: Bool[np.ndarray, "_n"]
    face_box: Real[np.ndarray, "_n 4"]
    lip_box: Real[np.ndarray, "_n 4"]
    background: UInt8[np.ndarray, "height width 3"]
    train_frames: Int[np.ndarray, "train"]
    validation_frames: Int[np.ndarray, "validation"]
    test_frames: Int[np.ndarray, "test"]
    audio_features: Float[np.ndarray, "_n features window"]
    is_silent: Bool[np.ndarray, "_n"]
    frames: FrameStack
    hand_free_frames: FrameStack
    parsing: FrameStack
    transient_mask: FrameStack
    noisy_audio_features: Float[np.ndarray, "k features window"] | None = None
    frames_ahead: int | None = None

    def __post_init__(self) -> None:
        n = len(self.frame_times_seconds)
        wrong = [
            f"{field.name} has {len(getattr(self, field.name))}"
            for field in fields(self)
            if field.name in (*_PER_FRAME, "audio_features", "is_silent", *STACKS)
            and len(getattr(self, field.name)) != n
        ]  # fmt: skip
        if wrong:
            raise InputError(
                f"scene of {self.clip}",
                f"{n} frame times but {', '.join(wrong)} frames",
                "remove the clip's results folder and run again",
            )
        for name in ("T_camera_head", "landmarks", "expression", "audio_features"):
            values = getattr(self, name)
            if not np.isfinite(values).all():
                frame = int(np.argwhere(~np.isfinite(values))[0, 0])
                raise InputError(
                    f"scene of {self.clip}",
                    f"{name} is not finite at frame {frame}",
                    "look at that frame and at the log of the rule that measured it",
                )

    @property
    def n_frames(self) -> int:
        return len(self.frame_times_seconds)

    @property
    def height(self) -> int:
        return self.background.shape[0]

    @property
    def width(self) -> int:
        return self.background.shape[1]

    @property
    def middle(self) -> Float[np.ndarray, "2"]:
        """The principal point, x and y in pixels."""
        return np.array([self.width / 2, self.height / 2])

    @property
    def seen_train_frames(self) -> Int[np.ndarray, "k"]:
        """Training frames in which the face was found."""
        return self.train_frames[self.is_face_visible[self.train_frames]]

    @property
    def mouth_train_frames(self) -> Int[np.ndarray, "k"]:
        """Training frames in which the mouth was seen."""
        return self.train_frames[self.is_mouth_visible[self.train_frames]]

    def hidden_mouth(self, frame: int) -> tuple[slice, slice]:
        """Rows and columns where a frame may show a mouth of unknown shape; nowhere if it is seen.

        ASSUME twice the lip box's side: chin and cheeks go with the lips.
        """
        if self.is_mouth_visible[frame]:
            return slice(0, 0), slice(0, 0)
        x0, y0, x1, y1 = np.round(self.lip_box[frame]).astype(int).tolist()
        reach = (x1 - x0) // 2
        return slice(max(y0 - reach, 0), y1 + reach), slice(max(x0 - reach, 0), x1 + reach)

    @property
    def training_sound(self) -> Float[np.ndarray, "k features window"]:
        """``audio_features`` up to the last training frame: what comes later is for tests."""
        return self.audio_features[: int(self.train_frames.max()) + 1]

    def facts(self) -> dict[str, np.ndarray]:
        """The part that is stored in ``scene.npz``: all but audio features and stacks."""
        return {name: np.asarray(getattr(self, name)) for name in _SAVED}


def load_scene(
    scene_path: str | os.PathLike[str],
    audio_features_path: str | os.PathLike[str],
    frames_path: str | os.PathLike[str],
    hand_free_path: str | os.PathLike[str],
    parsing_path: str | os.PathLike[str],
    transient_mask_path: str | os.PathLike[str],
) -> Scene:
    """Read a scene from the files of its rules; stacks stay on disk until indexed."""
    facts = load_arrays(scene_path, *_SAVED)
    audio = load_arrays(audio_features_path, "audio_features", "is_silent")
    ahead = int(audio.get("frames_ahead", -1))
    return Scene(
        **{name: facts[name] for name in (*_PER_FRAME, *_SPLIT)},
        clip=str(facts["clip"]),
        focal_length=float(facts["focal_length"]),
        background=facts["background"],
        audio_features=audio["audio_features"],
        is_silent=audio["is_silent"],
        frames=FrameStore(frames_path),
        hand_free_frames=FrameStore(hand_free_path),
        parsing=FrameStore(parsing_path),
        transient_mask=FrameStore(transient_mask_path),
        noisy_audio_features=audio.get("noisy_audio_features"),
        frames_ahead=ahead if ahead >= 0 else None,
    )
