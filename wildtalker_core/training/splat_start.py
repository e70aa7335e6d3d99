"""Where the Gaussians of a portrait start: on the person, as training frames show it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from wildtalker_core.media.image import fill_nearest
from wildtalker_core.mouth.shape import LIPS
from wildtalker_core.occlusion.registration import Motion, similarity_matrix
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training.clip import BACKGROUND, HANDS, HEAD, NECK, TORSO

_INNER_LIPS = LIPS[20:]
_OPACITY_LOGIT = 1.4
#: A Gaussian's spread in units of the spacing, and of its third axis in units of that.
_SPREAD, _FLATNESS = 0.55, float(np.exp(-0.7))
#: Of the picture's height: how far the torso goes on beyond the frame, and the neck behind the
#: chin. ASSUME twice the shift that a nodding head was seen to make.
_BEYOND_FRAME, _BEHIND_CHIN = 0.07, 0.14
#: Of the picture's height: how far from a person's outline background is still seen. ASSUME four
#: pixels at 256, of which the masks are off by two.
_OUTLINE = 0.015
_MOST_AVERAGED = 100  # frames of the mean registered torso
#: Depth behind the lips at which the inside of the mouth stands, head units.
_MOUTH_DEPTH = 0.03
_RIDGE = 3.0


@dataclass(frozen=True)
class Start:
    """Gaussians before training; the head's come first.

    Attributes:
        means: [n, 3] head units; colours: [n, 3] in [0, 1]; spreads: [n, 3] head units.
        head_weights: [n] skinning weight of the head's bone.
        n_head: how many belong to the head alone.
        face_basis: [n_head, 3, n_face] motion of the means per unit of each condition.
        soft_basis: [n - n_head, 3, k] the same for the torso's soft motion.
        canvas_to_head: [4, 4] maps head points into the camera that the canvas was seen by.
    """

    means: np.ndarray
    colours: np.ndarray
    spreads: np.ndarray
    head_weights: np.ndarray
    n_head: int
    face_basis: np.ndarray
    soft_basis: np.ndarray
    canvas_to_head: np.ndarray

    @property
    def opacity_logit(self) -> float:
        return _OPACITY_LOGIT


def start_gaussians(
    scene: Scene,
    template: np.ndarray,
    torso: Motion,
    face: np.ndarray,
    reference: int,
    n_gaussians: int,
    seed: int,
) -> Start:
    """Gaussians on a grid over the person in a reference frame.

    Args:
        template: [478, 3] the face's landmarks, head units.
        face: [n_frames, n_face] conditions in units of their spread.
        reference: the training frame near the mean pose and mouth.
        n_gaussians: about so many, half as far apart on the head as elsewhere.
    """
    generator = np.random.default_rng(seed)
    canvas = _Canvas.of(scene, torso, reference)
    head_area = (canvas.parsing[..., HEAD] > 100).sum()
    rest_area = canvas.is_rest.sum()
    # Twice as many per area on the head: eyes and teeth are finer than cloth.
    spacing = max(1.4, float(np.sqrt((head_area + rest_area / 1.5) / n_gaussians)))
    head = _start_head(scene, template, face, reference, spacing, generator)
    rest = _start_rest(scene, canvas, torso, head, spacing * np.sqrt(1.5), generator)
    return Start(
        **{
            name: np.concatenate((head[name], rest[name])).astype(np.float32)
            for name in ("means", "colours", "spreads", "head_weights")
        },
        n_head=len(head["means"]),
        face_basis=head["basis"],
        soft_basis=rest["basis"],
        canvas_to_head=canvas.T_camera_head,
    )


def reference_frame(scene: Scene, turns: np.ndarray, mouth: np.ndarray) -> int:
    """The training frame nearest to the mean turn and mouth, with few hands over the torso.

    It shows the mouth, since the Gaussians have its colours.

    Args:
        turns: [n, 3], mouth: [n, k] in units of their spread.
    """
    seen = scene.mouth_train_frames
    distance = np.square(turns[seen]).sum(1) + np.square(mouth[seen] / 2).sum(1)
    nearest = seen[np.argsort(distance)[: max(1, len(seen) // 10)]]
    hands = [float((scene.parsing[int(i)][..., HANDS] > 60).mean()) for i in nearest]
    return int(nearest[int(np.argmin(np.round(hands, 3)))])


def landmark_basis(
    scene: Scene, template: np.ndarray, face: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks in the head's frame, at the template's depths: mean [478, 2], basis [478, k, 2].

    The basis is a ridge regression of their motion on the conditions, over the training frames that
    show the mouth.
    """
    seen = scene.mouth_train_frames
    T = scene.T_camera_head
    R, t = T[:, :3, :3], T[:, :3, 3]
    centred = (scene.landmarks - [scene.width / 2, scene.height / 2]) / scene.focal_length
    rays = np.concatenate((centred, np.ones((*centred.shape[:2], 1))), -1) @ R
    origins = -np.einsum("nji,nj->ni", R, t)[:, None]
    along = (template[:, 2] - origins[..., 2]) / rays[..., 2]
    points = (origins + along[..., None] * rays)[..., :2]
    x, y = face[seen].astype(np.float64), points[seen]
    mean = y.mean(0)
    solved = np.linalg.solve(
        x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y - mean).reshape(len(y), -1)
    )
    return mean, solved.reshape(x.shape[1], -1, 2).transpose(1, 0, 2)


def _start_head(
    scene: Scene,
    template: np.ndarray,
    face: np.ndarray,
    reference: int,
    spacing: float,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    T, f = scene.T_camera_head[reference], scene.focal_length
    middle = np.array([scene.width / 2, scene.height / 2])
    mean, basis = landmark_basis(scene, template, face)
    camera = np.concatenate((mean, template[:, 2:]), 1) @ T[:3, :3].T + T[:3, 3]
    seen_at = camera[:, :2] / camera[:, 2:] * f + middle
    pixels = _jittered_grid(scene.height, scene.width, spacing, generator)
    column, row = pixels.astype(int).T
    pixels = pixels[scene.parsing[reference][..., HEAD][row, column] > 100]
    column, row = pixels.astype(int).T
    depth = LinearNDInterpolator(seen_at, camera[:, 2])(pixels)
    distance, nearest = cKDTree(seen_at).query(pixels)
    unit = camera[:, 2].mean() / f  # head units per pixel
    # ASSUME behind the face's edge the head recedes by .6 of the distance: a ball does.
    depth = np.where(np.isnan(depth), camera[nearest, 2] + 0.6 * distance * unit, depth)
    points = np.concatenate(((pixels - middle) / f * depth[:, None], depth[:, None]), 1)
    means = (points - T[:3, 3]) @ T[:3, :3]
    colours = scene.hand_free_frames[reference][row, column] / 255.0
    spreads = _spreads(spacing * depth / f)
    inside = _inside_of_mouth(mean, template, spacing * unit)
    move = _spread_basis(means, mean, basis)
    n_inside = len(inside)
    return {
        "means": np.concatenate((means, inside)),
        # ASSUME a dark red: what is behind the lips is tongue and shadow, teeth are learnt.
        "colours": np.concatenate((colours, np.full((n_inside, 3), (0.35, 0.2, 0.2)))),
        "spreads": np.concatenate((spreads, _spreads(np.full(n_inside, spacing * unit)))),
        "head_weights": np.ones(len(means) + n_inside),
        "basis": np.concatenate((move, np.zeros((n_inside, *move.shape[1:])))).astype(np.float32),
    }


def _jittered_grid(
    height: int, width: int, spacing: float, generator: np.random.Generator
) -> np.ndarray:
    """Pixel positions [k, 2] (x, y), one in each cell of a grid."""
    y, x = np.mgrid[0:height:spacing, 0:width:spacing]
    corners = np.stack((x.ravel(), y.ravel()), 1)
    pixels = corners + spacing * generator.uniform(0.2, 0.8, corners.shape)
    return pixels[(pixels < [width, height]).all(1)]


def _spreads(spacing: np.ndarray) -> np.ndarray:
    """Spacing [k] head units -> standard deviations [k, 3]: flat, facing the camera."""
    return _SPREAD * spacing[:, None] * np.array([1, 1, _FLATNESS])


def _inside_of_mouth(mean: np.ndarray, template: np.ndarray, spacing: float) -> np.ndarray:
    """Points [k, 3] of an ellipse behind the lips, which stay while the lips move."""
    lips = mean[list(_INNER_LIPS)]
    centre = lips.mean(0)
    half = np.abs(lips - centre).max(0)[0]
    x, y = np.meshgrid(
        np.arange(-half, half, spacing), np.arange(-0.45 * half, 0.55 * half, spacing)
    )
    chosen = np.square(x / half) + np.square(2 * y / half) < 1
    depth = template[list(_INNER_LIPS), 2].mean() + _MOUTH_DEPTH
    n = int(chosen.sum())
    return np.stack((centre[0] + x[chosen], centre[1] + y[chosen], np.full(n, depth)), 1)


def _spread_basis(means: np.ndarray, landmarks: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Landmarks' motion [478, k, 2] -> that of means near them [n, 3, k], fading with distance."""
    distance, near = cKDTree(landmarks).query(means[:, :2], k=4)
    weight = 1 / np.square(distance + 2e-3)
    weight /= weight.sum(1, keepdims=True)
    reach = np.exp(-np.square(np.maximum(distance[:, 0] - 0.015, 0) / 0.03))
    move = np.einsum("nj,njkd->ndk", weight, basis[near]) * reach[:, None, None]
    return np.concatenate((move, np.zeros_like(move[:, :1])), 1)


@dataclass(frozen=True)
class _Canvas:
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
    def of(cls, scene: Scene, torso: Motion, reference: int) -> _Canvas:
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
    middle = (
        np.array([scene.width / 2, scene.height / 2]) - 0.5
    )  # OpenCV's centres are whole numbers
    move = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
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


def _start_rest(
    scene: Scene,
    canvas: _Canvas,
    torso: Motion,
    head: dict[str, np.ndarray],
    spacing: float,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    height, width = canvas.is_rest.shape
    pixels = _jittered_grid(height, width, spacing, generator)
    column, row = pixels.astype(int).T
    chosen = canvas.is_rest[row, column]
    pixels, row, column = pixels[chosen], row[chosen], column[chosen]
    linear, shift = canvas.T_camera_head[:3, :3], canvas.T_camera_head[:3, 3]
    head_depths = head["means"] @ linear[2] + shift[2]
    # A plane behind the face; ASSUME the head's 90th percentile of depth, where the ears are.
    depth = np.percentile(head_depths, 90) + 0.03 + generator.uniform(0, 0.02, len(pixels))
    f = scene.focal_length
    in_frame = pixels - canvas.pad
    points = np.concatenate(
        ((in_frame - [scene.width / 2, scene.height / 2]) / f * depth[:, None], depth[:, None]), 1
    )
    back = np.linalg.inv(linear)
    basis = _soft_at(in_frame, torso) * (depth / f)[:, None, None]  # [n, 2, k] camera units
    basis = np.concatenate((basis, np.zeros_like(basis[:, :1])), 1)
    return {
        "means": (points - shift) @ back.T,
        "colours": canvas.colours[row, column] / 255.0,
        "spreads": _spreads(spacing * depth / f),
        "head_weights": canvas.head_share[row, column],
        "basis": np.einsum("ij,njk->nik", back, basis).astype(np.float32),
    }


def _soft_at(pixels: np.ndarray, torso: Motion) -> np.ndarray:
    """The torso's soft motion at canvas pixels [n, 2] -> [n, 2, k] pixels per unit."""
    basis = torso.soft_basis
    grid = basis.shape[1]
    place = (pixels - 0.5 - torso.box[:2]) / (torso.box[2:] - torso.box[:2]) * (grid - 1)
    x, y = place.astype(np.float32).T
    moved = [
        cv2.remap(component.astype(np.float32), x[:, None], y[:, None], cv2.INTER_LINEAR,
                  borderMode=cv2.BORDER_REPLICATE)[:, 0]
        for component in basis
    ]  # fmt: skip
    return np.stack(moved, -1) if moved else np.zeros((len(pixels), 2, 0))
