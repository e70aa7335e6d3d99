"""Likelihood of hair, skin and cloth by colour, learnt from the clip itself.

Nothing depends on somebody's usual colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import convolve1d

from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.face_frame import FaceFrame
from wildtalker_core.person.hands import fill_hull, paint_hands

# Bins of L, a, b: colours differ less in a and b than in lightness.
_N_BINS = (16, 32, 32)
_BIN_SIZE = tuple(256 // n for n in _N_BINS)
#: Last axis of likelihoods.
HAIR, SKIN, CLOTH, COLLAR = range(4)


class ColourModel:
    """Likelihood of hair, skin, cloth, collar given a pixel's colour, from CIE Lab histograms."""

    def __init__(
        self, hair: np.ndarray, skin: np.ndarray, cloth: np.ndarray, collar: np.ndarray
    ) -> None:
        """Each argument [k, 3] uint8 Lab samples; any may be empty (then it is never likely)."""
        samples = (hair, skin, cloth, collar)
        self._table = np.stack([_colour_density(s) for s in samples], -1).astype(np.float32)

    def __call__(self, lab: np.ndarray) -> np.ndarray:
        """Lab pixels [..., 3] uint8 -> likelihoods [..., 4] of hair, skin, cloth, collar.

        1 is the likelihood of a colour that has never been seen, were all colours alike.
        """
        return self._table[_bin_of(lab)]


def _bin_of(lab: np.ndarray) -> np.ndarray:
    """Number of the histogram's bin of Lab pixels [..., 3] uint8, [...]."""
    light, a, b = (lab[..., i] // np.uint8(_BIN_SIZE[i]) for i in range(3))
    return (light.astype(np.int32) * _N_BINS[1] + a) * _N_BINS[2] + b


def _colour_density(samples: np.ndarray) -> np.ndarray:
    """Histogram of Lab samples [k, 3] relative to a uniform one, one value a bin."""
    n_bins = int(np.prod(_N_BINS))
    counts = np.bincount(_bin_of(samples.reshape(-1, 3)), minlength=n_bins)
    counts = counts.reshape(_N_BINS).astype(np.float64)
    for axis in range(3):
        counts = convolve1d(counts, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    return counts.reshape(-1) / max(counts.sum(), 1.0) * n_bins


def to_lab(frame: np.ndarray) -> np.ndarray:
    """RGB -> 8-bit CIE Lab."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)


def fit_colours(
    frames: Sequence[np.ndarray],
    people: Sequence[np.ndarray],
    landmarks: np.ndarray,
    hands: Sequence[np.ndarray],
) -> ColourModel:
    """Learn hair, skin and cloth from places that are surely one of them.

    Args:
        frames: RGB uint8, each [height, width, 3].
        people: person masks [height, width] in [0, 1].
        landmarks: [n, 478, 2] pixels.
        hands: per frame [hands, 21, 2] pixels.
    """
    samples: tuple[list, ...] = ([], [], [], [], [])
    for frame, person, points, hands_here in zip(frames, people, landmarks, hands, strict=True):
        face = FaceFrame.of(points)
        u, v = face.coordinates(*person.shape)
        hull = fill_hull(points[list(lm.FACE_CONTOUR)], person.shape) > 0
        inner = cv2.erode(person, np.ones((5, 5))) > 0.9
        is_hand = paint_hands(hands_here, person.shape) > 0.1
        top = (points[lm.FOREHEAD] - face.origin) @ face.v_axis
        # ASSUME: hair shows above the forehead's landmarks (by 8 % of the face's height or more),
        # cloth from four fifths of a face below the chin, and on the shoulders.
        aside = np.abs(u) / face.width
        is_hair = (v < top - 0.08 * face.height) & (aside < 0.8)
        # Long hair is also what lies beside the ears.
        is_beside = (v < -0.1 * face.height) & (aside > 0.62) & (aside < 0.85)
        is_low = (v > 0.8 * face.height) | (
            (v > 0.3 * face.height) & (np.abs(u) > 0.9 * face.width)
        )
        # ASSUME: where the picture ends sooner, what lies beside the neck in the lower half of what
        # it shows below the chin is cloth. Without any, dark cloth would be taken for hair.
        depth = np.max(v, where=inner, initial=0.0) / face.height
        top_of_low = min(0.3, 0.5 * depth) * face.height
        if depth < 0.8:
            is_low |= (v > top_of_low) & (np.abs(u) > 0.5 * face.width)
        is_cloth = inner & is_low & ~is_hand
        # ASSUME: under the middle of the chin hangs neither hair nor beard: what is not skin there
        # is a collar, a tie, a shirt: cloth of its own colour, which may touch the hair.
        is_collar = (np.abs(u) < 0.25 * face.width) & (v > top_of_low) & inner
        is_collar &= (v < 0.8 * face.height) & ~is_hand
        lab = to_lab(frame)
        places = (is_hair & inner, is_beside & inner, hull & inner, is_cloth, is_collar)
        for store, where in zip(samples, places, strict=True):
            found = lab[where]
            store.append(found[:: max(1, len(found) // 2000)])
    hair, beside, skin, cloth, collar = (np.concatenate(store) for store in samples)
    # Where hair is short, ears and cheeks of a turned head are beside them.
    hair = np.concatenate((hair, _unlike_skin(beside, skin, hair)))
    return ColourModel(hair, skin, cloth, _unlike_skin(collar, skin, hair))


def _unlike_skin(samples: np.ndarray, skin: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Lab samples [k, 3] without those whose colour is rather skin's than hair's or nobody's."""
    bins = _bin_of(samples)
    return samples[_colour_density(skin)[bins] < _colour_density(hair)[bins] + 1]


def clear_skin(likelihoods: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Where the colour is clearly skin's, [h, w] bool."""
    skin = likelihoods[..., SKIN]
    others = likelihoods[..., CLOTH] + likelihoods[..., HAIR] + 1
    return (cv2.blur(skin / (skin + others), (3, 3)) > 0.6) & (person > 0.5)


def lasting_skin(
    frames: Sequence[np.ndarray], people: Sequence[np.ndarray], colours: ColourModel
) -> np.ndarray:
    """Places whose skin colour stays over the clip: cloth or a chest, not hands; [h, w] bool.

    Arguments as of :func:`fit_colours`; frames spread over the clip.
    """
    count = np.zeros(people[0].shape, np.float32)
    for frame, person in zip(frames, people, strict=True):
        count += clear_skin(colours(to_lab(frame)), person)
    # ASSUME: hands leave a place in at least three frames of ten.
    lasting = (count > 0.7 * len(frames)).astype(np.uint8)
    reach = 2 * max(1, round(len(count) / 64)) + 1
    return cv2.dilate(lasting, np.ones((reach, reach), np.uint8)) > 0
