"""The astronaut portrait of scikit-image (public domain, NASA), cut into layers.

Geometry is in canvas pixels (a frame 256 px wide, whatever its real size) or metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from head_surface import CHIN, FOREHEAD, head_depth
from skimage import data

from wildtalker_core.pretrained.mediapipe_models import FaceMesh, SelfieSegmentation
from wildtalker_core.robustness.synthetic_hand import CANVAS_PX, HandPalette

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

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

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
    with FaceMesh(is_tracking=False) as mesher:
        found = mesher(photograph)
    if not len(found):
        raise RuntimeError("no face found in the photograph")
    return found[0].astype(float)


def _segment_person(photograph: np.ndarray) -> np.ndarray:
    """Mask [rows, columns] uint8 of the person: selfie segmentation, sharpened by colour
    (GrabCut)."""
    with SelfieSegmentation() as segmenter:
        share = segmenter(photograph)
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


def _torso_layer(
    image: np.ndarray, person: np.ndarray, outline: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours and alpha of the torso behind head and neck: the ring's back is completed, everything
    above it is background."""
    covered = cv2.dilate(outline, np.ones((3, 3), np.uint8), iterations=1)
    ring_back = _fill_polygon(RING_BACK, person.shape)
    torso_mask = np.where(covered > 0, ring_back, person).astype(np.uint8)
    torso_mask[:140] = 0
    seen = (torso_mask > 0) & (covered == 0)
    hidden = ((torso_mask > 0) & (covered > 0)).astype(np.uint8)
    torso = _spread_colours(image, seen)
    telea = cv2.inpaint((torso * 255).astype(np.uint8), hidden, 5, cv2.INPAINT_TELEA)
    telea = cv2.GaussianBlur(telea.astype(np.float32) / 255.0, (0, 0), 1.0)
    torso = np.where(hidden[..., None] > 0, telea, torso)
    edge = cv2.GaussianBlur(torso_mask.astype(np.float32), (0, 0), 0.9)
    return torso, np.clip((edge - 0.2) / 0.7, 0.0, 1.0)


def _head_weight(mesh: np.ndarray, head_mask: np.ndarray) -> np.ndarray:
    """[rows, columns], 1 where the head moves rigidly, fading out in the collar."""
    oval = _fill_polygon(mesh[list(FACE_OVAL), :2].astype(int).tolist(), head_mask.shape)
    hair = head_mask.copy()
    hair[136:] = 0
    rigid = ((oval > 0) | (hair > 0)).astype(np.uint8)
    below = cv2.distanceTransform(1 - rigid, cv2.DIST_L2, 5)
    fade = np.clip(1.0 - below / 36.0, 0.0, 1.0)
    head_weight = cv2.GaussianBlur((fade * fade * (3 - 2 * fade)).astype(np.float32), (0, 0), 3.0)
    head_weight[:130] = 1.0
    return cv2.GaussianBlur(head_weight, (0, 0), 3.0)


def _head_alpha(head_mask: np.ndarray) -> np.ndarray:
    # Along jaw and neck the cut by colour is ragged (skin against a pale wall): smooth it more than
    # the hair.
    hair_edge = cv2.GaussianBlur(head_mask.astype(np.float32), (0, 0), 1.0)
    smooth_mask = cv2.GaussianBlur(head_mask.astype(np.float32), (0, 0), 4.0) > 0.5
    neck_edge = cv2.GaussianBlur(smooth_mask.astype(np.float32), (0, 0), 1.0)
    rows = np.arange(len(head_mask), dtype=np.float32)[:, None]
    share = np.clip((rows - 138.0) / 10.0, 0.0, 1.0)
    head_alpha = hair_edge + (neck_edge - hair_edge) * share
    # The segmentation keeps a rim of wall around the hair: pull the edge half a pixel inwards.
    head_alpha = np.clip((head_alpha - 0.30) / 0.62, 0.0, 1.0)
    return head_alpha * np.clip((222.0 - rows) / 22.0, 0.0, 1.0)


def _palette(photograph: np.ndarray) -> HandPalette:
    skin = np.median(photograph[112:132, 200:216].reshape(-1, 3), axis=0) / 255.0
    sleeve = np.median(photograph[290:330, 100:150].reshape(-1, 3), axis=0) / 255.0
    return HandPalette(
        skin=np.clip(skin * 1.02, 0, 1),
        sleeve=np.clip(sleeve * 1.03, 0, 1),
        cuff=np.array([0.27, 0.25, 0.33]),
        prop=np.array([0.86, 0.87, 0.90]),
    )


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
    torso, torso_alpha = _torso_layer(image, person, outline)
    depth = head_depth(mesh, shape) / PX_PER_CANVAS - NECK_DEPTH

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
        head=texture(_spread_colours(image, head_mask > 0)),
        head_alpha=texture(_head_alpha(head_mask)),
        landmarks=_to_canvas(mesh[:468, :2]),
        depth=texture(depth),
        head_weight=texture(_head_weight(mesh, head_mask)),
        palette=_palette(photograph),
        texture_px=PX_PER_CANVAS * target / side,
    )
