"""A photograph that talks: a synthetic clip whose every truth is known.

The astronaut portrait of scikit-image (public domain, NASA) is cut into background, torso and head.
The head is a height field over the photograph (from its own face mesh) that is turned in 3-D about
the neck and projected; lids, lips and jaw are warped by the speech; a synthetic hand passes in
front of the torso.

    model = build_portrait()
    frames, truth = render_situation(Situation(n_frames=100), model, waveform, sample_rate_hz)

Geometry is in canvas pixels (a frame 256 px wide, whatever its real size) or metres. Camera: x
right, y down, z forward. Head frame: axes of the camera at zero pose, which is the pose of the
photograph; origin at the neck pivot. `T_camera_head` = [R | t] maps head points (metres) into the
camera; R = R_z(roll) @ R_y(yaw) @ R_x(pitch): positive yaw turns the nose to the left of the image,
positive pitch nods down, positive roll tilts clockwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator, RBFInterpolator
from scipy.ndimage import gaussian_filter1d
from skimage import data
from synthetic_speech import mouth_track

from wildtalker_core.robustness.synthetic_hand import (
    CANVAS_PX,
    Gesture,
    HandMotion,
    HandPalette,
    draw_hands,
    lay_over,
)

# ASSUME: 2.5 frame widths is what the template fit found on two real clips of this framing.
FOCAL_LENGTH_PX = 640.0
# ASSUME: forehead to chin (face mesh points 10 and 152) of an adult measures 0.16 m; this sets the
# scale in metres.
FACE_HEIGHT_METRES = 0.16

# Part of the photograph that becomes the frame: left, top, width in photograph pixels. It leaves
# the face about 82 canvas pixels high and shows the chest.
CROP_LEFT, CROP_TOP, CROP_WIDTH = 60, 0, 330
# Photograph pixels kept around the crop, so that sway and camera shake never show an edge.
MARGIN = 32
PX_PER_CANVAS = CROP_WIDTH / CANVAS_PX

# Points of the face mesh that speech and blinks leave at rest: forehead, temples, nose, eye
# corners, cheekbones.
RIGID_POINTS = (
    10, 67, 297, 109, 338, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 45, 275, 33, 133, 263, 362, 127,
    356, 162, 389, 54, 284, 103, 332, 117, 346, 50, 280,
)  # fmt: skip
UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (362, 398, 384, 385, 386, 387, 388, 466, 263),
)
LOWER_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (362, 382, 381, 380, 374, 373, 390, 249, 263),
)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
CHIN, FOREHEAD = 152, 10

# Outlines traced on the photograph (photograph pixels). The head layer ends inside the black
# collar, where a blend cannot be seen; the back of the neck ring is finished behind the neck, where
# the photograph does not show it.
HEAD_OUTLINE = (
    (140, 0), (312, 0), (312, 120), (282, 138), (264, 142), (263, 152), (259, 166), (256, 182),
    (262, 194), (268, 224), (178, 224), (184, 196), (186, 178), (186, 150), (180, 132), (160, 124),
    (140, 100),
)  # fmt: skip
RING_BACK = ((170, 150), (185, 147), (205, 150), (232, 160), (262, 182), (268, 230), (170, 230))
# Neck pivot: photograph pixels, and canvas pixels behind the nose bridge.
NECK_PIVOT = (224.0, 168.0)
NECK_DEPTH = 34.0


@dataclass(frozen=True)
class Situation:
    """What happens in a clip: largest deviations of angles (degrees) and shifts (canvas pixels)."""

    n_frames: int = 300
    size_px: int = 256
    fps: float = 25.0
    seed: int = 0
    yaw_degrees: float = 11.0
    pitch_degrees: float = 5.5
    roll_degrees: float = 3.0
    body_sway_px: float = 1.6
    camera_shake_px: float = 0.0
    blinks_per_minute: float = 26.0
    gestures: tuple[Gesture, ...] = field(default_factory=tuple)
    # Share of a frame's time for which the shutter is open, and instants averaged over it.
    shutter: float = 0.4
    hand_blur_samples: int = 5
    frame_blur_samples: int = 1
    hand_crosses_face: bool = False
    sensor_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.n_frames < 2 or self.size_px < 64:
            raise ValueError("a situation needs at least 2 frames of at least 64 px")
        if abs(self.yaw_degrees) > 30.0 or abs(self.pitch_degrees) > 15.0:
            raise ValueError("beyond 30 degrees of yaw or 15 of pitch a single photograph tears")


@dataclass(frozen=True)
class PortraitModel:
    """The photograph in layers.

    Textures [rows, columns, 3] float32 RGB in [0, 1] with a margin around the crop.
    """

    background: np.ndarray
    torso: np.ndarray
    torso_alpha: np.ndarray
    head: np.ndarray
    head_alpha: np.ndarray
    landmarks: np.ndarray  # [468, 2] canvas pixels
    depth: np.ndarray  # [rows, columns] canvas pixels behind the neck pivot (negative: nearer)
    head_weight: np.ndarray  # [rows, columns], 1 where the head moves rigidly, 0 in the collar
    palette: HandPalette
    texture_px: float  # texture pixels per canvas pixel

    @property
    def pivot_depth_metres(self) -> float:
        """Distance of the neck pivot from the camera."""
        return FOCAL_LENGTH_PX / self.px_per_metre

    @property
    def px_per_metre(self) -> float:
        """Canvas pixels per metre at the depth of the neck pivot."""
        face = np.linalg.norm(self.landmarks[FOREHEAD] - self.landmarks[CHIN])
        return float(face) / FACE_HEIGHT_METRES

    @property
    def pivot_px(self) -> np.ndarray:
        """Neck pivot [2] on the canvas at zero pose."""
        return _to_canvas(np.array(NECK_PIVOT))


@dataclass
class SituationTruth:
    """Everything known about a rendered clip of n frames."""

    hand_free_frames: np.ndarray  # [n, size, size, 3] uint8
    occluder_masks: np.ndarray  # [n, size, size] bool: hand, sleeve, prop (not its shadow)
    person_masks: np.ndarray  # [n, size, size] bool, without the hand
    head_masks: np.ndarray  # [n, size, size] bool, without the hand
    head_rotations: np.ndarray  # [n, 3, 3], head to camera
    head_translations: np.ndarray  # [n, 3] metres
    yaw_pitch_roll_radians: np.ndarray  # [n, 3]
    mouth_opening: np.ndarray  # [n] 0..1
    mouth_rounding: np.ndarray  # [n] -1..1
    blink: np.ndarray  # [n] 0..1
    camera_shift_px: np.ndarray  # [n, 2] pixels of the frames, added to every projection
    focal_length_px: float  # pixels of the frames
    rigid_points: np.ndarray  # [points, 3] metres, head frame
    rigid_points_px: np.ndarray  # [n, points, 2] pixels of the frames


# -------------------- the photograph


def _to_canvas(photograph_px: np.ndarray) -> np.ndarray:
    """Photograph pixels [..., 2] to canvas pixels."""
    return (photograph_px - np.array([CROP_LEFT, CROP_TOP])) / PX_PER_CANVAS


def _cut(image: np.ndarray) -> np.ndarray:
    """The crop with its margin; rows above the photograph repeat its first row."""
    padded = cv2.copyMakeBorder(image, MARGIN, 0, 0, 0, cv2.BORDER_REPLICATE)
    side = CROP_WIDTH + 2 * MARGIN
    left = CROP_LEFT - MARGIN
    return padded[CROP_TOP : CROP_TOP + side, left : left + side]


def _fill_polygon(outline: Sequence[Sequence[int]], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.array(outline, np.int32)], (1,))
    return mask


def _diffuse(image: np.ndarray, known: np.ndarray, levels: int = 7) -> np.ndarray:
    """Fill unknown pixels of [rows, columns, 3] smoothly from the known ones, coarse to fine (pull-
    push)."""
    weight = known.astype(np.float32)[..., None]
    pyramid: list[tuple[np.ndarray, np.ndarray]] = [(image * weight, weight)]
    for _ in range(levels):
        colour, mass = pyramid[-1]
        half = (max(colour.shape[1] // 2, 1), max(colour.shape[0] // 2, 1))
        pyramid.append(
            (
                cv2.resize(colour, half, interpolation=cv2.INTER_AREA),
                cv2.resize(mass, half, interpolation=cv2.INTER_AREA)[..., None],
            )
        )
    colour, mass = pyramid[-1]
    filled = colour / np.maximum(mass, 1e-6)
    for colour, mass in reversed(pyramid[:-1]):
        size = (colour.shape[1], colour.shape[0])
        coarse = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
        share = np.clip(mass * 4.0, 0.0, 1.0)
        filled = share * colour / np.maximum(mass, 1e-6) + (1.0 - share) * coarse
    return filled


def _spread_colours(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Carry the colours just inside a mask outwards, so that edges mix no background into the
    layer."""
    core = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2)
    spread = _diffuse(image, core > 0)
    return np.where(core[..., None] > 0, image, spread).astype(np.float32)


def _detect_mesh(photograph: np.ndarray) -> np.ndarray:
    """Face mesh [478, 3] of an RGB image, photograph pixels."""
    import mediapipe as mp

    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesher:
        found = mesher.process(photograph).multi_face_landmarks
    if not found:
        raise RuntimeError("no face found in the photograph: is mediapipe 0.10.21 installed?")
    return np.array([[p.x, p.y, p.z] for p in found[0].landmark]) * photograph.shape[1]


def _segment_person(photograph: np.ndarray) -> np.ndarray:
    """Mask [rows, columns] uint8 of the person: selfie segmentation, sharpened by colour
    (GrabCut)."""
    import mediapipe as mp

    with mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
        share = segmenter.process(photograph).segmentation_mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    sure = cv2.erode((share > 0.85).astype(np.uint8), kernel)
    maybe = cv2.dilate((share > 0.15).astype(np.uint8), kernel)
    labels = np.where(sure > 0, cv2.GC_FGD, np.where(maybe > 0, cv2.GC_PR_FGD, cv2.GC_BGD)).astype(
        np.uint8
    )
    undecided = (maybe > 0) & (sure == 0)
    labels[undecided & (share < 0.5)] = cv2.GC_PR_BGD
    # GrabCut draws from OpenCV's own generator; a fixed seed makes the cut repeatable.
    cv2.setRNGSeed(1)
    cv2.grabCut(
        photograph[..., ::-1].copy(),
        labels,
        (0, 0, 1, 1),
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        4,
        cv2.GC_INIT_WITH_MASK,
    )
    person = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    smooth = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.2) > 0.5
    n_parts, parts, stats, _ = cv2.connectedComponentsWithStats(smooth.astype(np.uint8))
    largest = 1 + int(np.argmax(stats[1:n_parts, cv2.CC_STAT_AREA]))
    return (parts == largest).astype(np.uint8)


# ASSUME: a height field no steeper than this keeps every pixel in sight at 25 degrees of yaw: cos -
# 1.15 sin > 0.4.
MAX_SLOPE = 1.15


def _limit_slope(depth: np.ndarray, rise_per_cell: float) -> np.ndarray:
    """Largest surface below `depth` [rows, columns] that rises by at most `rise_per_cell` from cell
    to cell."""
    limited = depth.copy()
    for _ in range(max(depth.shape)):
        before = limited
        padded = np.pad(limited, 1, mode="edge")
        rows, columns = limited.shape
        for dy in (0, 1, 2):
            for dx in (0, 1, 2):
                reach = rise_per_cell * np.hypot(dy - 1, dx - 1)
                limited = np.minimum(limited, padded[dy : dy + rows, dx : dx + columns] + reach)
        if np.array_equal(before, limited):
            break
    return limited


def _head_depth(mesh: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Depth [rows, columns] of the head in photograph pixels, 0 at the nose bridge, positive away
    from the camera.

    Thin-plate interpolation of the face mesh, of a dome of hair (as deep as the ears at its rim)
    and of the neck.
    """
    points, depths = [mesh[:468, :2]], [mesh[:468, 2] - mesh[168, 2]]
    ear = float(np.mean([mesh[234, 2], mesh[454, 2]]) - mesh[168, 2])
    front = float(mesh[FOREHEAD, 2] - mesh[168, 2])
    # ASSUME: the hair is a dome around the face; its centre and radii fit the photograph's
    # silhouette.
    centre, radii = np.array([226.0, 92.0]), np.array([74.0, 80.0])
    for radius in (0.7, 0.8, 0.9, 1.0, 1.1):
        for angle in np.linspace(-1.12 * np.pi, 0.12 * np.pi, 36):
            spot = centre + radius * radii * np.array([np.cos(angle), np.sin(angle)])
            if np.linalg.norm(mesh[:468, :2] - spot, axis=1).min() > 12.0:
                points.append(spot[None])
                depths.append(np.array([ear + 6.0 - (ear + 12.0 - front) * (1.0 - radius**2)]))
    neck = [
        (222, 200, 26),
        (196, 196, 36),
        (250, 194, 36),
        (222, 224, 26),
        (190, 224, 36),
        (258, 224, 36),
    ]
    points.append(np.array([[x, y] for x, y, _ in neck], float))
    depths.append(np.array([z for *_, z in neck], float))
    surface = RBFInterpolator(np.concatenate(points), np.concatenate(depths), smoothing=12.0)
    step = 3
    rows, columns = shape
    ys, xs = np.mgrid[0:rows:step, 0:columns:step]
    coarse = surface(np.stack([xs.ravel(), ys.ravel()], 1).astype(float)).reshape(xs.shape)
    coarse = np.clip(coarse, -30.0, ear + 14.0)
    coarse = _limit_slope(coarse, MAX_SLOPE * step).astype(np.float32)
    fine = cv2.resize(
        coarse, (coarse.shape[1] * step, coarse.shape[0] * step), interpolation=cv2.INTER_CUBIC
    )
    shift = np.array([[1, 0, -(step - 1) / 2], [0, 1, -(step - 1) / 2]], np.float32)
    fine = cv2.warpAffine(fine, shift, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(fine, (0, 0), 3.0)


def build_portrait(size_px: int = 256) -> PortraitModel:
    """Cut the photograph into layers once.

    The model then renders any number of situations of this `size_px`.
    """
    photograph = data.astronaut()
    mesh = _detect_mesh(photograph)
    person = _segment_person(photograph)
    shape = person.shape
    image = photograph.astype(np.float32) / 255.0

    outline = _fill_polygon(HEAD_OUTLINE, shape)
    head_mask = (person & outline).astype(np.uint8)
    # The plate under the person starts 4 px outside, where the photograph is pure background.
    outside = cv2.dilate(person, np.ones((5, 5), np.uint8), iterations=2) == 0
    background = np.where(outside[..., None], image, _diffuse(image, outside))

    # The torso behind head and neck: the ring's back is completed, everything above it is
    # background.
    covered = cv2.dilate(outline, np.ones((3, 3), np.uint8), iterations=1)
    ring_back = _fill_polygon(RING_BACK, shape)
    torso_mask = np.where(covered > 0, ring_back, person).astype(np.uint8)
    torso_mask[:140] = 0
    seen = (torso_mask > 0) & (covered == 0)
    hidden = ((torso_mask > 0) & (covered > 0)).astype(np.uint8)
    torso = _spread_colours(image, seen)
    telea = (
        cv2.inpaint((torso * 255).astype(np.uint8), hidden, 5, cv2.INPAINT_TELEA).astype(np.float32)
        / 255.0
    )
    torso = np.where(hidden[..., None] > 0, cv2.GaussianBlur(telea, (0, 0), 1.0), torso)

    oval = _fill_polygon(mesh[list(FACE_OVAL), :2].astype(int).tolist(), shape)
    hair = head_mask.copy()
    hair[136:] = 0
    rigid = ((oval > 0) | (hair > 0)).astype(np.uint8)
    below = cv2.distanceTransform(1 - rigid, cv2.DIST_L2, 5)
    fade = np.clip(1.0 - below / 36.0, 0.0, 1.0)
    head_weight = cv2.GaussianBlur((fade * fade * (3 - 2 * fade)).astype(np.float32), (0, 0), 3.0)
    head_weight[:130] = 1.0
    head_weight = cv2.GaussianBlur(head_weight, (0, 0), 3.0)

    head = _spread_colours(image, head_mask > 0)
    # Along jaw and neck the cut by colour is ragged (skin against a pale wall): smooth it more than
    # the hair.
    hair_edge = cv2.GaussianBlur(head_mask.astype(np.float32), (0, 0), 1.0)
    smooth_mask = cv2.GaussianBlur(head_mask.astype(np.float32), (0, 0), 4.0) > 0.5
    neck_edge = cv2.GaussianBlur(smooth_mask.astype(np.float32), (0, 0), 1.0)
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    share = np.clip((rows - 138.0) / 10.0, 0.0, 1.0)
    head_alpha = hair_edge + (neck_edge - hair_edge) * share
    # The segmentation keeps a rim of wall around the hair: pull the edge half a pixel inwards.
    head_alpha = np.clip((head_alpha - 0.30) / 0.62, 0.0, 1.0)
    head_alpha = head_alpha * np.clip((222.0 - rows) / 22.0, 0.0, 1.0)
    torso_alpha = np.clip(
        (cv2.GaussianBlur(torso_mask.astype(np.float32), (0, 0), 0.9) - 0.2) / 0.7, 0.0, 1.0
    )
    depth = _head_depth(mesh, shape) / PX_PER_CANVAS - NECK_DEPTH

    skin = np.median(photograph[112:132, 200:216].reshape(-1, 3), axis=0) / 255.0
    sleeve = np.median(photograph[290:330, 100:150].reshape(-1, 3), axis=0) / 255.0
    palette = HandPalette(
        skin=np.clip(skin * 1.02, 0, 1),
        sleeve=np.clip(sleeve * 1.03, 0, 1),
        cuff=np.array([0.27, 0.25, 0.33]),
        prop=np.array([0.86, 0.87, 0.90]),
    )

    side = CROP_WIDTH + 2 * MARGIN
    scale = min(1.0, 1.2 * size_px / CROP_WIDTH)
    target = round(side * scale)

    def texture(layer: np.ndarray) -> np.ndarray:
        cropped = np.ascontiguousarray(_cut(np.asarray(layer, np.float32)))
        if target == side:
            return cropped
        return cv2.resize(cropped, (target, target), interpolation=cv2.INTER_AREA)

    return PortraitModel(
        background=texture(background),
        torso=texture(torso),
        torso_alpha=texture(torso_alpha),
        head=texture(head),
        head_alpha=texture(head_alpha),
        landmarks=_to_canvas(mesh[:468, :2]),
        depth=texture(depth),
        head_weight=texture(head_weight),
        palette=palette,
        texture_px=PX_PER_CANVAS * target / side,
    )


# -------------------- motion over time


def rotation_matrices(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """R_z(roll) @ R_y(yaw) @ R_x(pitch), [n, 3, 3], from three arrays [n] of radians."""
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def stack(*entries: np.ndarray) -> np.ndarray:
        return np.stack(entries, -1).reshape(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    r_x = stack(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    r_y = stack(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    r_z = stack(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return r_z @ r_y @ r_x


def _wander(
    times: np.ndarray, rng: np.random.Generator, low_hz: float, high_hz: float
) -> np.ndarray:
    """A smooth wandering curve [n] of largest value 1: four sines of random rate and phase."""
    rates = rng.uniform(low_hz, high_hz, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    weights = 1.0 / (0.15 + rates)
    curve = (weights[:, None] * np.sin(2 * np.pi * rates[:, None] * times + phases[:, None])).sum(0)
    return curve / np.abs(curve).max()


def _blink_track(times: np.ndarray, per_minute: float, rng: np.random.Generator) -> np.ndarray:
    """Lid closure [n] in 0..1: blinks close within 80 ms and open within 160 ms."""
    closure = np.zeros_like(times)
    start = rng.uniform(0.6, 1.4)
    while per_minute > 0 and start < times[-1]:
        since = times - start
        shut = np.clip(since / 0.08, 0, 1) * np.clip((0.26 - since) / 0.16, 0, 1)
        closure = np.maximum(closure, shut * shut * (3 - 2 * shut))
        start += rng.uniform(0.55, 1.45) * 60.0 / per_minute
    return closure


@dataclass
class _Motion:
    """Per-instant parameters; all [n] or [n, k]."""

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    sway: np.ndarray
    lean: np.ndarray
    breath: np.ndarray
    shake: np.ndarray
    brow: np.ndarray


def _plan_motion(situation: Situation, emphasis: np.ndarray) -> _Motion:
    """Draw all motion of a clip.

    `emphasis` [n] in 0..1 makes the head nod and the brows rise with the voice.
    """
    rng = np.random.default_rng(situation.seed)
    fps = situation.fps
    times = np.arange(situation.n_frames) / fps
    slow = gaussian_filter1d(emphasis, 0.12 * fps, mode="nearest")
    nod = slow - gaussian_filter1d(emphasis, 0.9 * fps, mode="nearest")
    nod = nod / max(np.abs(nod).max(), 1e-6)
    yaw = _wander(times, rng, 0.08, 0.42)
    pitch = 0.65 * _wander(times, rng, 0.08, 0.45) + 0.35 * nod
    roll = 0.6 * _wander(times, rng, 0.07, 0.35) - 0.4 * yaw
    lag = 0.25 * fps
    follow = np.stack(
        [
            gaussian_filter1d(yaw, lag, mode="nearest"),
            gaussian_filter1d(pitch, lag, mode="nearest"),
        ],
        1,
    )
    sway = np.stack([_wander(times, rng, 0.07, 0.22), 0.5 * _wander(times, rng, 0.07, 0.22)], 1)
    # The face looks left where yaw is positive, and the body follows it.
    sway = situation.body_sway_px * (0.6 * sway + 0.5 * follow * np.array([-1.0, 0.5]))
    shake = np.stack([_wander(times, rng, 0.5, 4.0), _wander(times, rng, 0.5, 4.0)], 1)
    return _Motion(
        yaw=np.deg2rad(situation.yaw_degrees) * yaw,
        pitch=np.deg2rad(situation.pitch_degrees) * pitch,
        roll=np.deg2rad(situation.roll_degrees) * roll,
        sway=sway,
        lean=np.deg2rad(0.25) * situation.body_sway_px * _wander(times, rng, 0.06, 0.2),
        breath=0.5 * np.sin(2 * np.pi * 0.27 * times + rng.uniform(0, 6.28)),
        shake=situation.camera_shake_px * shake,
        brow=np.clip(slow * 1.4 - 0.35, 0, 1),
    )


# -------------------- face expression


@dataclass(frozen=True)
class _Slit:
    """A mouth or an eye in its own axes: u along the line of its corners, v downwards."""

    centre: np.ndarray
    along: np.ndarray
    half_width: float
    knots: np.ndarray
    upper: PchipInterpolator
    lower: PchipInterpolator

    def to_local(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = points - self.centre
        u = offset @ self.along
        v = offset @ np.array([-self.along[1], self.along[0]])
        return u, v

    def to_canvas(self, du: np.ndarray, dv: np.ndarray) -> np.ndarray:
        return du[..., None] * self.along + dv[..., None] * np.array(
            [-self.along[1], self.along[0]]
        )

    def curves(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.clip(u, self.knots[0], self.knots[-1])
        return self.upper(inside), self.lower(inside)


def _make_slit(landmarks: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...]) -> _Slit:
    first, last = landmarks[upper[0]], landmarks[upper[-1]]
    centre = (first + last) / 2
    along = (last - first) / np.linalg.norm(last - first)
    across = np.array([-along[1], along[0]])

    def curve(indices: tuple[int, ...]) -> PchipInterpolator:
        offset = landmarks[list(indices)] - centre
        u, v = offset @ along, offset @ across
        order = np.argsort(u)
        return PchipInterpolator(u[order], v[order])

    half = float(np.linalg.norm(last - first)) / 2
    return _Slit(centre, along, half, np.array([-half, half]), curve(upper), curve(lower))


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


# ASSUME: a mouth wide open in speech measures 9.5 canvas pixels here (a ninth of the face height).
MAX_APERTURE_PX = 9.5


class _Face:
    """Maps a point of the talking face back to the photograph, and paints the inside of the
    mouth."""

    def __init__(self, landmarks: np.ndarray) -> None:
        self.mouth = _make_slit(landmarks, UPPER_LIP, LOWER_LIP)
        self.eyes = [
            _make_slit(landmarks, upper, lower)
            for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True)
        ]
        self.chin_v = float(self.mouth.to_local(landmarks[[CHIN]])[1][0])
        self.brows = landmarks[[105, 334]]
        self.box = (landmarks.min(0) - 14.0, landmarks.max(0) + np.array([14.0, 40.0]))

    def pull_back(
        self, points: np.ndarray, opening: float, rounding: float, blink: float, brow: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Undo the expression at canvas points [..., 2].

        Returns where they lie in the photograph [..., 2], how much of each is mouth interior [...],
        and signed distances [...] above the upper and below the lower inner lip.
        """
        shift = np.zeros_like(points)
        mouth = self.mouth
        u, v = mouth.to_local(points)
        half = mouth.half_width
        # Speech narrows the smile of the photograph; rounded vowels narrow it further.
        narrow = 0.07 + 0.13 * max(rounding, 0.0) - 0.05 * max(-rounding, 0.0) + 0.03 * opening
        zone = np.exp(-0.5 * ((u / (1.7 * half)) ** 2 + (v / (1.3 * half)) ** 2))
        u_source = u * (1.0 + narrow * zone)
        upper, lower = mouth.curves(u_source)
        profile = np.clip(1.0 - (u_source / half) ** 2, 0.0, 1.0)
        bow = profile**0.65
        gap = np.maximum(lower - upper, 0.0)
        aperture = MAX_APERTURE_PX * opening
        seam = upper + 0.42 * gap
        upper_now = seam - 0.20 * aperture * bow
        lower_now = seam + 0.80 * aperture * bow

        above, below = upper_now - v, v - lower_now
        lift = (upper - upper_now) * _smoothstep(1.0 - above / 9.0)
        lip = _smoothstep(1.0 - below / 11.0)
        closing = (lower - seam) * lip
        chin_now = self.chin_v + 0.8 * aperture
        jaw_wide = np.exp(-0.5 * (u / 24.0) ** 2)
        jaw = -0.80 * aperture * (bow * lip + (1.0 - lip) * 0.85 * jaw_wide)
        jaw = jaw * _smoothstep(1.0 - (v - chin_now) / 26.0)
        dv = np.where(v < (upper_now + lower_now) / 2, lift, closing + jaw)
        interior = _smoothstep(np.minimum(v - upper_now, lower_now - v) / 1.3 + 0.5)
        interior = interior * (np.abs(u_source) < half) * _smoothstep(profile / 0.08)
        # Teeth belong to the skull: inside the mouth the photograph stays where it is.
        shift += mouth.to_canvas((u_source - u) * (1 - interior), dv * (1 - interior))

        for eye in self.eyes:
            u, v = eye.to_local(points)
            upper, lower = eye.curves(u)
            # The lash line hangs a little below the mesh's lid line and must travel with the lid.
            upper = upper + 0.5 * np.clip(1 - (u / eye.half_width) ** 2, 0, 1)
            near = (np.abs(u) < eye.half_width).astype(float)
            gap = np.maximum(lower - upper, 0.0)
            lid = upper + blink * 0.90 * gap
            floor = lower - blink * 0.10 * gap
            reach = 8.0 + (lid - upper)
            from_above = (upper - lid) * _smoothstep(1.0 - (lid - v) / reach)
            from_below = (lower - floor) * _smoothstep(1.0 - (v - floor) / 6.0)
            edge = _smoothstep((lid - v) / 0.7 + 0.5)
            edge_low = _smoothstep((v - floor) / 0.7 + 0.5)
            dv = near * (from_above * edge + from_below * edge_low * (1 - edge))
            shift += eye.to_canvas(np.zeros_like(dv), dv)
        for centre in self.brows:
            offset = points - centre
            bump = np.exp(-0.5 * ((offset[..., 0] / 11.0) ** 2 + (offset[..., 1] / 6.0) ** 2))
            shift[..., 1] += 1.6 * brow * bump
        return points + shift, interior, above, below

    def paint_interior(
        self,
        photograph: np.ndarray,
        points: np.ndarray,
        above: np.ndarray,
        below: np.ndarray,
        opening: float,
    ) -> np.ndarray:
        """Colour [..., 3] inside the mouth: the photograph's upper teeth, darkness, some tongue."""
        u, v = self.mouth.to_local(points)
        upper, lower = self.mouth.curves(u)
        width = np.clip(1 - (u / self.mouth.half_width) ** 2, 0, 1)
        teeth = (
            _smoothstep((v - upper + 0.6) / 1.2)
            * _smoothstep((lower - 1.2 - v) / 1.2)
            * np.sqrt(width)
        )
        cavity = np.array([0.20, 0.075, 0.07]) * (0.75 + 0.25 * width[..., None])
        tongue = (
            _smoothstep((2.6 + 2.0 * opening + below) / 2.6)
            * width
            * np.clip(opening * 1.6 - 0.25, 0, 1)
        )
        colour = cavity + (np.array([0.56, 0.27, 0.26]) - cavity) * (0.75 * tongue[..., None])
        shade = 0.66 + 0.30 * _smoothstep(-above / 2.5)
        return colour + (photograph * shade[..., None] - colour) * teeth[..., None]


# -------------------- rendering


class _Renderer:
    """Renders single instants of one situation; holds what does not change between them."""

    def __init__(
        self, situation: Situation, model: PortraitModel, tracks: dict[str, np.ndarray]
    ) -> None:
        self.situation, self.model, self.tracks = situation, model, tracks
        self.face = _Face(model.landmarks)
        n = situation.size_px
        centres = (np.arange(n) + 0.5) * CANVAS_PX / n
        self.grid = np.stack(np.meshgrid(centres, centres), -1)
        self.depth = self.sample(model.depth, self.grid)
        self.weight = self.sample(model.head_weight, self.grid)[..., None]
        z0, ppm = model.pivot_depth_metres, model.px_per_metre
        self.pivot_metres = np.append((model.pivot_px - CANVAS_PX / 2) / ppm, z0)
        self.head_points = self.lift(self.grid, self.depth)

    def sample(self, layer: np.ndarray, points: np.ndarray, cubic: bool = False) -> np.ndarray:
        """Read a texture at canvas points [rows, columns, 2]."""
        at = ((points + MARGIN / PX_PER_CANVAS) * self.model.texture_px - 0.5).astype(np.float32)
        how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        return cv2.remap(layer, at[..., 0], at[..., 1], how, borderMode=cv2.BORDER_REPLICATE)

    def lift(self, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Canvas points [..., 2] with depths [...] (canvas pixels) as head points [..., 3],
        metres."""
        z = self.model.pivot_depth_metres + depth / self.model.px_per_metre
        xy = (points - CANVAS_PX / 2) / FOCAL_LENGTH_PX * z[..., None]
        return np.concatenate([xy, z[..., None]], -1) - self.pivot_metres

    @staticmethod
    def project(
        head_points: np.ndarray, rotation: np.ndarray, translation: np.ndarray
    ) -> np.ndarray:
        """Head points [..., 3] to canvas points [..., 2]."""
        camera = head_points @ rotation.T + translation
        return camera[..., :2] / camera[..., 2:] * FOCAL_LENGTH_PX + CANVAS_PX / 2

    def at(self, name: str, frame: float) -> np.ndarray:
        """A track at a fractional frame."""
        track = self.tracks[name]
        low = int(np.clip(np.floor(frame), 0, len(track) - 1))
        high = min(low + 1, len(track) - 1)
        share = float(np.clip(frame - low, 0.0, 1.0))
        return track[low] * (1 - share) + track[high] * share

    def torso_affine(self, frame: float) -> np.ndarray:
        """[2, 3] matrix that moves torso points of the photograph, canvas pixels.

        It turns about the hips.
        """
        hips = np.array([self.model.pivot_px[0], 400.0])
        lean = float(self.at("lean", frame))
        lift = 1.0 + 0.0022 * float(self.at("breath", frame))
        turn = np.array([[np.cos(lean), -np.sin(lean) * lift], [np.sin(lean), np.cos(lean) * lift]])
        return np.concatenate([turn, (hips + self.at("sway", frame) - turn @ hips)[:, None]], 1)

    def head_pose(self, frame: float) -> tuple[np.ndarray, np.ndarray]:
        """R [3, 3] and t [3] metres: the neck pivot rides on the torso."""
        angles = [np.atleast_1d(self.at(name, frame)) for name in ("yaw", "pitch", "roll")]
        affine = self.torso_affine(frame)
        moved = affine[:, :2] @ self.model.pivot_px + affine[:, 2] - self.model.pivot_px
        translation = self.pivot_metres + np.append(moved / self.model.px_per_metre, 0.0)
        return rotation_matrices(*angles)[0], translation

    def person(self, frame: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture without a hand [size, size, 3], coverage of the person and of the head [size,
        size]."""
        model = self.model
        seen = self.grid - self.at("shake", frame)
        affine = self.torso_affine(frame)
        rotation, translation = self.head_pose(frame)

        inverse = np.linalg.inv(affine[:, :2])
        torso_at = (seen - affine[:, 2]) @ inverse.T
        torso_move = self.grid @ affine[:, :2].T + affine[:, 2] - self.grid
        head_move = self.project(self.head_points, rotation, translation) - self.grid
        move = (self.weight * head_move + (1.0 - self.weight) * torso_move).astype(np.float32)
        # The motion is known where points start; the picture needs where they come from: invert by
        # fixed point.
        origin = seen - head_move.mean((0, 1))
        to_pixel = self.situation.size_px / CANVAS_PX
        for _ in range(12):
            at = (origin * to_pixel - 0.5).astype(np.float32)
            step = seen - cv2.remap(
                move, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            origin = 0.25 * origin + 0.75 * step

        opening, rounding = float(self.at("opening", frame)), float(self.at("rounding", frame))
        low, high = self.face.box
        rows = np.flatnonzero(((origin[..., 1] > low[1]) & (origin[..., 1] < high[1])).any(1))
        columns = np.flatnonzero(((origin[..., 0] > low[0]) & (origin[..., 0] < high[0])).any(0))
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        skull = origin[window]
        source = origin.copy()
        source[window], interior, above, below = self.face.pull_back(
            skull, opening, rounding, float(self.at("blink", frame)), float(self.at("brow", frame))
        )
        head = self.sample(model.head, source, cubic=True)
        inside = self.face.paint_interior(
            self.sample(model.head, skull, cubic=True), skull, above, below, opening
        )
        head[window] += (inside - head[window]) * interior[..., None]

        head_alpha = self.sample(model.head_alpha, source)[..., None]
        torso_alpha = self.sample(model.torso_alpha, torso_at)[..., None]
        picture = self.sample(model.background, seen, cubic=True)
        picture = picture + (self.sample(model.torso, torso_at, cubic=True) - picture) * torso_alpha
        picture = picture + (head - picture) * head_alpha
        person_alpha = 1.0 - (1.0 - head_alpha) * (1.0 - torso_alpha)
        return picture, person_alpha[..., 0], head_alpha[..., 0]


def _average(samples: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.mean(parts, axis=0) for parts in zip(*samples, strict=True))


def _shutter_offsets(n_samples: int, shutter: float) -> np.ndarray:
    return shutter * ((np.arange(n_samples) + 0.5) / n_samples - 0.5)


def render_situation(
    situation: Situation,
    model: PortraitModel | None = None,
    waveform: np.ndarray | None = None,
    sample_rate_hz: int = 16000,
) -> tuple[np.ndarray, SituationTruth]:
    """Render a clip; its mouth follows the clean speech `waveform` [samples] (None: stays shut).

    Returns frames [n, size, size, 3] uint8 RGB and their truth. The same situation, model and
    waveform give the same result, bit for bit, on one machine.
    """
    model = model if model is not None else build_portrait(situation.size_px)
    n, size, fps = situation.n_frames, situation.size_px, situation.fps
    if waveform is None:
        opening = rounding = np.zeros(n)
    else:
        opening, rounding = mouth_track(waveform, sample_rate_hz, n, fps)
    motion = _plan_motion(situation, opening)
    rng = np.random.default_rng((situation.seed, 1))
    tracks = {**vars(motion), "opening": opening, "rounding": rounding}
    tracks["blink"] = _blink_track(np.arange(n) / fps, situation.blinks_per_minute, rng)
    renderer = _Renderer(situation, model, tracks)
    gestures = [
        replace(g, crosses_face=g.crosses_face or situation.hand_crosses_face)
        for g in situation.gestures
    ]
    hands = [HandMotion(gesture, rng) for gesture in gestures]

    frames = np.zeros((n, size, size, 3), np.uint8)
    hand_free = np.zeros_like(frames)
    occluder, persons, heads = (np.zeros((n, size, size), bool) for _ in range(3))
    poses = [renderer.head_pose(i) for i in range(n)]
    points_depth = renderer.sample(model.depth, model.landmarks[None])[0]
    rigid = list(RIGID_POINTS)
    rigid_points = renderer.lift(model.landmarks[rigid], points_depth[rigid])
    to_pixel = size / CANVAS_PX
    for i in range(n):
        offsets = _shutter_offsets(situation.frame_blur_samples, situation.shutter)
        picture, person_alpha, head_alpha = _average(
            [renderer.person(i + float(o)) for o in offsets]
        )
        clean = picture
        instants = i + _shutter_offsets(situation.hand_blur_samples, situation.shutter)
        colour, hand_alpha = draw_hands(
            hands,
            model.palette,
            [float(instant) / fps for instant in instants],
            size,
            [tuple(renderer.at("shake", float(instant))) for instant in instants],
        )
        if hand_alpha.any():
            picture = lay_over(picture, colour, hand_alpha, person_alpha)
        grain = (
            situation.sensor_noise * rng.standard_normal((size, size, 1))
            if situation.sensor_noise
            else 0.0
        )
        frames[i] = np.clip((picture + grain) * 255.0 + 0.5, 0, 255)
        hand_free[i] = np.clip((clean + grain) * 255.0 + 0.5, 0, 255)
        occluder[i] = hand_alpha > 0.05
        persons[i], heads[i] = person_alpha > 0.5, head_alpha > 0.5

    rotations = np.stack([r for r, _ in poses])
    translations = np.stack([t for _, t in poses])
    projected = (
        np.stack([renderer.project(rigid_points, r, t) for r, t in poses])
        + tracks["shake"][:, None]
    )
    truth = SituationTruth(
        hand_free_frames=hand_free,
        occluder_masks=occluder,
        person_masks=persons,
        head_masks=heads,
        head_rotations=rotations,
        head_translations=translations,
        yaw_pitch_roll_radians=np.stack([motion.yaw, motion.pitch, motion.roll], 1),
        mouth_opening=opening,
        mouth_rounding=rounding,
        blink=tracks["blink"],
        camera_shift_px=tracks["shake"] * to_pixel,
        focal_length_px=FOCAL_LENGTH_PX * to_pixel,
        rigid_points=rigid_points,
        rigid_points_px=projected * to_pixel,
    )
    return frames, truth


def make_tiny(
    n_frames: int = 50, size_px: int = 128, seed: int = 0, waveform: np.ndarray | None = None
) -> tuple[np.ndarray, SituationTruth]:
    """A small clip for tests: `n_frames` frames of `size_px`, one waving hand in its middle; a few
    seconds of work.

    Without a `waveform` (16 kHz) the mouth opens to a made-up murmur of vowels.
    """
    if waveform is None:
        times = np.arange(int(n_frames / 25.0 * 16000)) / 16000.0
        waveform = np.sin(2 * np.pi * 500.0 * times) * np.clip(
            np.sin(2 * np.pi * 2.0 * times), 0, 1
        )
    length = n_frames / 25.0
    gesture = Gesture(
        "fast_wave", "left", start_seconds=0.25 * length, duration_seconds=0.6 * length
    )
    situation = Situation(
        n_frames=n_frames, size_px=size_px, seed=seed, gestures=(gesture,), hand_blur_samples=1
    )
    return render_situation(situation, build_portrait(size_px), waveform, 16000)
