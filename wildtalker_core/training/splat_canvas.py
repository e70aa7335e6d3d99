"""The torso and what is hidden of it, in the place it has in the reference picture: a canvas."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.media.image import fill_nearest
from wildtalker_core.occlusion.registration import Motion, similarity_matrix
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training.clip import BACKGROUND, HANDS, HEAD, NECK, TORSO

#: Of the picture's height: how far the torso goes on beyond the frame, and the neck behind the
#: chin. ASSUME twice the shift that a nodding head was seen to make.
_BEYOND_FRAME, _BEHIND_CHIN = 0.07, 0.14
#: Of the picture's height: how far from a person's outline background is still seen. ASSUME four
#: pixels at 256, of which the masks are off by two.
_OUTLINE = 0.015
_MOST_AVERAGED = 100  # frames of the mean registered torso


@dataclass(frozen=True)
class Canvas:
    """The torso in the place it has in the reference picture, larger than the frame.

    Attributes:
        pad: pixels by which it is larger on each side.
        colours: [h, w, 3] uint8; parsing: [h, w, 5] of the reference frame.
        is_rest: [h, w] bool, where neck and torso are, hidden and outside of the frame included.
        head_share: [h, w] skinning weight of the head.
        T_camera_head: [4, 4] the head's pose that goes with the canvas (affine).
    """

    pad: int
    colours: np.ndarray
    parsing: np.ndarray
    is_rest: np.ndarray
    head_share: np.ndarray
    T_camera_head: np.ndarray

    @classmethod
    def of(cls, scene: Scene, torso: Motion, reference: int) -> Canvas:
        pad = round(_BEYOND_FRAME * scene.height)
        to_frame = similarity_matrix(torso.similarity, torso.centre)
        parsing = _onto_canvas(scene.parsing[reference], to_frame[reference], pad)
        parsing[..., BACKGROUND] = 255 - parsing[..., 1:].sum(-1).clip(0, 255)
        own = parsing[..., TORSO].astype(int) + parsing[..., NECK] > 127
        colours, known = _mean_colours(scene, to_frame, pad)
        shown = _onto_canvas(scene.hand_free_frames[reference], to_frame[reference], pad)
        colours = np.where(own[..., None], shown, colours)
        is_background = parsing[..., BACKGROUND] > 127
        inside = np.zeros(own.shape, bool)
        inside[pad:-pad, pad:-pad] = True
        is_rest = (own | known) & ~(is_background & inside)
        is_rest |= _beyond_frame(is_rest, inside, pad)
        hidden = _behind_chin(is_rest, parsing, round(_BEHIND_CHIN * scene.height))
        is_rest |= hidden
        _fill_hidden(colours, is_rest, own | known, is_background & inside, scene.height)
        share = _head_share(parsing, hidden, scene.height)
        T = scene.T_camera_head[reference]
        frame_to_canvas = np.linalg.inv(_about_middle(to_frame[reference], scene))
        f = np.diag([scene.focal_length, scene.focal_length, 1.0])
        affine = np.eye(4)
        affine[:3] = np.linalg.inv(f) @ frame_to_canvas @ f @ T[:3]
        return cls(pad, colours, parsing, is_rest, share, affine)


def _about_middle(matrix: np.ndarray, scene: Scene) -> np.ndarray:
    """A pixel map [3, 3] with the principal point as origin."""
    move = np.eye(3)
    move[:2, 2] = 0.5 - scene.middle  # OpenCV's pixel centres are whole numbers
    return move @ matrix @ np.linalg.inv(move)


def _onto_canvas(stack: np.ndarray, to_frame: np.ndarray, pad: int) -> np.ndarray:
    """A frame [h, w, c] as the canvas sees it, [h + 2 pad, w + 2 pad, c]; outside of it zeros."""
    height, width = stack.shape[:2]
    shift = np.array([[1, 0, -pad], [0, 1, -pad], [0, 0, 1]])
    return cv2.warpAffine(
        stack, (to_frame @ shift)[:2], (width + 2 * pad, height + 2 * pad),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip


def _mean_colours(scene: Scene, to_frame: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean registered torso and neck [h, w, 3] uint8, and where some frames show it."""
    frames = scene.seen_train_frames
    frames = frames[:: max(1, len(frames) // _MOST_AVERAGED)]
    total, count = np.zeros((), np.float32), np.zeros((), np.float32)
    for i in frames.tolist():
        parsing = _onto_canvas(scene.parsing[i], to_frame[i], pad).astype(int)
        mask = _onto_canvas(scene.transient_mask[i], to_frame[i], pad)
        clear = (parsing[..., HANDS] < 60) & (mask < 60)
        shows = ((parsing[..., TORSO] + parsing[..., NECK] > 240) & clear).astype(np.float32)
        total = total + _onto_canvas(scene.hand_free_frames[i], to_frame[i], pad) * shows[..., None]
        count = count + shows
    mean = total / np.maximum(count, 1)[..., None]
    return mean.round().astype(np.uint8), count > 0.1 * len(frames)


def _beyond_frame(is_rest: np.ndarray, inside: np.ndarray, pad: int) -> np.ndarray:
    """Where the torso goes on beside and below the frame, as at the frame's edge."""
    height, width = inside.shape
    y, x = np.mgrid[:height, :width]
    edge = is_rest[np.clip(y, pad, height - pad - 1), np.clip(x, pad, width - pad - 1)]
    return ~inside & edge & (y >= pad)


def _behind_chin(is_rest: np.ndarray, parsing: np.ndarray, reach: int) -> np.ndarray:
    """Where neck and torso go on behind the head, upwards and behind hanging hair [h, w] bool."""
    is_head = parsing[..., HEAD] > 127
    hidden = np.zeros_like(is_rest)
    for column in np.flatnonzero((is_rest & ~is_head).any(0) & is_head.any(0)):
        shown = np.flatnonzero(is_rest[:, column] & ~is_head[:, column])
        hidden[max(0, shown[0] - reach) : shown[-1], column] = True
    return hidden & is_head


def _fill_hidden(
    colours: np.ndarray,
    is_rest: np.ndarray,
    is_known: np.ndarray,
    is_background: np.ndarray,
    height: int,
) -> None:
    """Give what no frame shows of ``is_rest`` [h, w] the colour [h, w, 3] nearest to it, in place.

    At its outline the person is mixed with the background, which must not spread.
    """
    is_pure = is_known & (_distance_to(is_background) > _OUTLINE * height)
    fill_nearest(colours, is_rest & ~is_known, is_pure if is_pure.any() else is_known)


def _head_share(parsing: np.ndarray, hidden: np.ndarray, height: int) -> np.ndarray:
    """Skinning weight of the head [h, w]: from the distances to head and torso, smooth.

    What goes on behind the head counts as head only above a neck: where a chin stands before the
    collar itself, the weight must grow from the collar on, or a gap opens as the head rises.

    ASSUME at most .85 on the neck and .02 on the torso: weights learnt per Gaussian gained nothing
    over these and drew ragged collars.

    ASSUME torso that is narrower than .05 of the height is none: it is shadow between hair and
    neck, and a piece of torso there tears the neck open as the head moves.

    Args:
        hidden: [h, w] bool, of :func:`_behind_chin`.
        height: of the frame, pixels.
    """
    is_neck = parsing[..., NECK] > 127
    is_head = (parsing[..., HEAD] > 127) & ~(hidden & ~is_neck.any(0))
    narrow = np.ones((2 * round(0.025 * height) + 1,) * 2, np.uint8)
    torso = (parsing[..., TORSO] > 127).astype(np.uint8)
    wide = cv2.morphologyEx(torso, cv2.MORPH_OPEN, narrow)
    to_torso, to_head = _distance_to((wide if wide.any() else torso) > 0), _distance_to(is_head)
    return np.clip(0.85 * to_torso / (to_torso + to_head + 1e-3), 0.02, 0.85)


def _distance_to(part: np.ndarray) -> np.ndarray:
    """Pixels from each pixel [h, w] to the nearest one of a part [h, w] bool."""
    return cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 5)
