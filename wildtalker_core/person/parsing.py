"""Which pixel is head (with hair), neck, torso, hand or background: soft, and steady over time.

A person mask comes from outside (a segmentation network). Inside it the head is everything above
the jaw line, plus hair that hangs below it beside the neck; the neck is skin under the jaw; hands
and forearms are painted around their landmarks; the rest is torso. No face model is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from wildtalker_core.person.colours import (
    CLOTH,
    COLLAR,
    HAIR,
    SKIN,
    ColourModel,
    clear_skin,
    to_lab,
)
from wildtalker_core.person.face_frame import FaceFrame
from wildtalker_core.person.hair import hanging
from wildtalker_core.person.hands import bare_hands, paint_forearms, paint_hands

#: Channels of a parsing, in order; the same as ``scene.PARSING_CLASSES``.
BACKGROUND, HEAD, NECK, TORSO, HANDS = range(5)
N_CLASSES = 5


def parse_frame(
    frame: np.ndarray,
    person: np.ndarray,
    landmarks: np.ndarray,
    hands: np.ndarray,
    body: np.ndarray | None,
    colours: ColourModel,
    is_lasting_skin: np.ndarray,
) -> np.ndarray:
    """Soft memberships of one frame, [height, width, 5] float32, sum 1.

    Args:
        frame: RGB uint8 [height, width, 3].
        person: person mask [height, width] in [0, 1].
        landmarks: [478, 2] pixels.
        hands: [hands, 21, 2] pixels.
        body: [33, 4] pose landmarks or None.
        colours: of this clip.
        is_lasting_skin: [height, width] bool, see :func:`lasting_skin`.
    """
    shape = person.shape
    face = FaceFrame.of(landmarks)
    u, v = face.coordinates(*shape)
    below = face.below_jaw(u, v)
    person = close_holes(person)
    above_jaw = _step(-below)
    likelihoods = colours(to_lab(frame))
    hair, skin = _hair_and_skin(likelihoods, u, v, face)
    # Hair that hangs down is the lower end of hair beside the face; a dark lapel is not.
    strands = hanging((hair > 0.5) & (person > 0.5), below < 0, round(0.1 * face.width))
    hair = strands * (1 - above_jaw) * (1 - skin)
    # ASSUME: nobody's head is wider than 2.4 faces. Above the jaw's level, but beside and below the
    # ears, a shoulder may be raised: there the colour of cloth decides.
    head = (above_jaw + hair) * _step(1.2 * face.width - np.abs(u))
    is_beside = (np.abs(u) > 0.6 * face.width) & (v > -0.5 * face.height)
    head = head * (1 - is_beside * _cloth_share(likelihoods))
    neck_room = _step(0.5 * face.height - v) * _step(0.55 * face.width - np.abs(u))
    neck = (1 - head) * neck_room * skin * (v > -0.5 * face.height)
    # A hand at the collar is skin too, but does not reach the jaw.
    neck = neck * _reaching(neck > 0.3, np.abs(below) < 0.08 * face.height)

    hand = np.maximum(paint_hands(hands, shape), paint_forearms(hands, body, shape))
    bare: np.ndarray = (
        bare_hands(clear_skin(likelihoods, person), neck, below, u, v, face) & ~is_lasting_skin
    )
    bare = cv2.dilate(bare.astype(np.float32), np.ones((3, 3), np.uint8))
    hand = np.maximum(hand, cv2.blur(bare, (3, 3)))
    # The painted shape is generous: inside the person's outline its rim is kept, outside it not.
    return _partition(person, head, neck, hand * person)


def _hair_and_skin(
    likelihoods: np.ndarray, u: np.ndarray, v: np.ndarray, face: FaceFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of hair and skin below the jaw from colour and place, each [h, w].

    ASSUME the priors of place, in face widths beside and face heights below the chin: the neck is
    0.8 wide and half a face long; hair hangs from 0.3 to 0.9 beside the chin, down to 1.3; cloth
    is likelier the lower. A colour that nothing has shown is cloth (a tie, a necklace).
    """
    aside, down = np.abs(u) / face.width, v / face.height
    neck_prior = _ramp(0.55 - aside, 0.3) * _ramp(0.7 - down, 0.4)
    hair_prior = _ramp(aside - 0.25, 0.2) * _ramp(1.0 - aside, 0.2) * _ramp(1.4 - down, 0.6)
    cloth_prior = 0.15 + 0.85 * _ramp(down - 0.1, 0.6)
    hair = likelihoods[..., HAIR] * hair_prior
    skin = likelihoods[..., SKIN] * (0.05 + neck_prior)
    # The jaw's shadow on the neck may have the colour of hair.
    skin = skin + 0.5 * likelihoods[..., HAIR] * neck_prior * _ramp(0.3 - aside, 0.1)
    cloth = (likelihoods[..., CLOTH] + 1) * cloth_prior
    # A collar may have the colour of hair; beside skin its shadows are told from it already.
    collar = likelihoods[..., COLLAR] * cloth_prior
    total = hair + skin + cloth
    size = (2 * max(1, round(face.width / 60)) + 1,) * 2
    hair, skin = (cv2.blur(share, size) for share in (hair / (total + collar), skin / total))
    return _contrast(hair), _contrast(skin)


def _cloth_share(likelihoods: np.ndarray) -> np.ndarray:
    """Probability of cloth against hair and skin by colour alone, [h, w]."""
    share = likelihoods[..., CLOTH] / (likelihoods[..., :COLLAR].sum(-1) + 1)
    return _contrast(cv2.blur(share, (3, 3)))


def _reaching(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    """1 on those connected parts of a mask that have a pixel at a place, [h, w]."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    is_kept = np.zeros(labels.max() + 1, np.float32)
    is_kept[np.unique(labels[place & mask])] = 1
    is_kept[0] = 0
    # Soft edges below the mask's threshold belong to the part beside them.
    return cv2.dilate(is_kept[labels], np.ones((3, 3), np.uint8))


def _ramp(value: np.ndarray, width: float) -> np.ndarray:
    """0 where negative, 1 beyond ``width``, linear between."""
    return np.clip(value / width, 0, 1)


def _partition(
    person: np.ndarray, head: np.ndarray, neck: np.ndarray, hand: np.ndarray
) -> np.ndarray:
    body = person * (1 - hand / np.maximum(person, 1e-6))
    memberships = np.empty((*person.shape, N_CLASSES), np.float32)
    memberships[..., BACKGROUND] = 1 - person
    memberships[..., HEAD] = body * head
    memberships[..., NECK] = body * neck
    memberships[..., TORSO] = body * (1 - head - neck)
    memberships[..., HANDS] = hand
    return memberships


def close_holes(person: np.ndarray) -> np.ndarray:
    """Fill holes inside a person mask: what is surrounded by the person is the person."""
    solid = (person > 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(solid)
    cv2.drawContours(filled, outlines, -1, (1,), cv2.FILLED)
    inside = cv2.erode(filled, np.ones((3, 3), np.uint8))
    return np.maximum(person, inside.astype(np.float32) * (person <= 0.5))


def _step(distance_px: np.ndarray) -> np.ndarray:
    """1 where positive, 0 where negative, linear within two pixels."""
    return np.clip(0.5 + 0.5 * distance_px, 0, 1)


def _contrast(probability: np.ndarray) -> np.ndarray:
    """Probabilities pushed towards a decision, still soft between 0.3 and 0.7."""
    return np.clip((probability - 0.3) / 0.4, 0, 1)


def steady(memberships: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Median of each frame with its two neighbours: flicker goes, moving edges stay in place.

    Takes and gives [height, width, 5] float32 with sum 1; the first and last frame stay as they
    are.
    """
    before: np.ndarray | None = None
    now: np.ndarray | None = None
    for after in memberships:
        if before is not None and now is not None:
            # The median of three without sorting.
            middle = np.clip(now, np.minimum(before, after), np.maximum(before, after))
            total = middle @ np.ones(middle.shape[-1], np.float32)
            yield middle / np.maximum(total, 1e-6)[..., None]
        elif now is not None:
            yield now
        before, now = now, after
    if now is not None:
        yield now


def quantise(memberships: np.ndarray) -> np.ndarray:
    """[..., 5] with sum 1 -> uint8 with sum exactly 255 (the largest takes the rounding)."""
    values = np.rint(memberships * np.float32(255))
    rest = np.float32(255) - values @ np.ones(values.shape[-1], np.float32)
    # Most pixels are of one class and have no rest.
    soft = np.nonzero(rest)
    values[(*soft, values[soft].argmax(-1))] += rest[soft]
    return values.astype(np.uint8)
