"""Which pixel is head (with hair), neck, torso, hand or background: soft, and steady over time.

A person mask comes from outside (a segmentation network). Inside it the head is everything above
the jaw line, plus hair that hangs below it beside the neck; the neck is skin under the jaw; hands
and forearms are painted around their landmarks; the rest is torso. Hair, skin and cloth are told
apart by colour models learnt from the clip itself, so that nothing depends on a face model or on
somebody's usual colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import convolve1d

from wildtalker_core.person import landmarks as lm

#: Channels of a parsing, in order; the same as ``scene.PARSING_CLASSES``.
BACKGROUND, HEAD, NECK, TORSO, HANDS = range(5)
N_CLASSES = 5

# Bins of L, a, b: colours differ less in a and b than in lightness.
_N_BINS = (16, 32, 32)
_BIN_SIZE = tuple(256 // n for n in _N_BINS)
_HAIR, _SKIN, _CLOTH, _COLLAR = range(4)

# Bones of a hand in MediaPipe's order: wrist 0, thumb 1-4, then four fingers of four.
_HAND_BONES = tuple(
    bone
    for base in (1, 5, 9, 13, 17)
    for bone in ((0, base), (base, base + 1), (base + 1, base + 2), (base + 2, base + 3))
)
_PALM = (0, 1, 5, 9, 13, 17)


@dataclass(frozen=True)
class FaceFrame:
    """Axes of a face in the picture: u from its middle along its width, v from the chin down.

    The middle lies between the contour's two sides, above the neck; the chin of a turned head does
    not.

    Attributes:
        origin, u_axis, v_axis: [2] pixels and unit vectors.
        width, height: of the face contour along u and v, pixels; a turned face is as wide as one
            that looks ahead.
        jaw: [k, 2] (u, v) of the line under which neck and torso begin, u increasing.
    """

    origin: np.ndarray
    u_axis: np.ndarray
    v_axis: np.ndarray
    width: float
    height: float
    jaw: np.ndarray

    @classmethod
    def of(cls, landmarks: np.ndarray) -> FaceFrame:
        """From one frame's landmarks [478, 2] pixels."""
        points = landmarks.astype(np.float64)
        across = points[lm.LEFT_CONTOUR] - points[lm.RIGHT_CONTOUR]
        u_axis = across / np.linalg.norm(across)
        v_axis = np.array([-u_axis[1], u_axis[0]])
        axes = np.stack((u_axis, v_axis), 1)
        contour = (points[list(lm.FACE_CONTOUR)] - points[lm.CHIN]) @ axes
        origin = points[lm.CHIN] + (contour[:, 0].min() + contour[:, 0].max()) / 2 * u_axis
        jaw = (points[list(lm.JAW)] - origin) @ axes
        # ASSUME: beside the face, head (ears, hair) goes down to the angle of the jaw.
        jaw[:, 1] = np.maximum(jaw[:, 1], jaw[[4, -5], 1].mean())
        # Turned heads fold the line at its far end; keep u increasing.
        order = np.argsort(jaw[:, 0])
        width, height = np.ptp(contour, axis=0)
        # ASSUME: no face is narrower than three quarters of its height.
        width = max(width, 0.75 * height)
        return cls(origin, u_axis, v_axis, float(width), float(height), jaw[order])

    def coordinates(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """u and v of every pixel centre, each [height, width] float32."""
        x = np.arange(width, dtype=np.float32) + 0.5 - np.float32(self.origin[0])
        y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - np.float32(self.origin[1])
        u = x * np.float32(self.u_axis[0]) + y * np.float32(self.u_axis[1])
        v = x * np.float32(self.v_axis[0]) + y * np.float32(self.v_axis[1])
        return u, v

    def below_jaw(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Signed distance below the jaw line along v, pixels, of the shape of u."""
        return v - np.interp(u, self.jaw[:, 0], self.jaw[:, 1]).astype(np.float32)


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
        hull = _fill(points[list(lm.FACE_CONTOUR)], person.shape) > 0
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


def complete_hands(
    hands: Sequence[np.ndarray], max_gap_frames: int, min_frames: int
) -> list[np.ndarray]:
    """Link hands over time, fill short gaps linearly, and drop what appears only for a moment.

    Args:
        hands: per frame [hands, 21, 2] pixels as detected.
        max_gap_frames: longest run without detection that is filled.
        min_frames: shorter appearances are false alarms.

    Returns:
        Per frame [hands, 21, 2].
    """
    tracks: list[dict[int, np.ndarray]] = []
    for i, found in enumerate(hands):
        free = [t for t in tracks if i - max(t) <= max_gap_frames + 1 and i not in t]
        for hand in found:
            # ASSUME: between two sightings a hand moves less than twice its own length.
            reach = 2 * np.ptp(hand, axis=0).max()
            near = [(np.linalg.norm(t[max(t)].mean(0) - hand.mean(0)), k)
                    for k, t in enumerate(free) if i not in t]  # fmt: skip
            distance, k = min(near, default=(np.inf, -1))
            if distance < reach:
                free[k][i] = hand
            else:
                tracks.append({i: hand})
    complete: list[list[np.ndarray]] = [[] for _ in hands]
    for track in tracks:
        seen = sorted(track)
        if len(seen) < min_frames:
            continue
        for a, b in zip(seen, [*seen[1:], seen[-1] + 1], strict=True):
            following = track.get(b, track[a])
            for i in range(a, b):
                t = (i - a) / (b - a)
                complete[i].append((1 - t) * track[a] + t * following)
    return [np.stack(h) if h else np.empty((0, 21, 2), np.float32) for h in complete]


def paint_hands(hands: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cover of hands [hands, 21, 2] pixels: fingers as thick bones, palm filled; [h, w] in [0, 1].

    ASSUME: a finger is a fifth as thick as the palm (wrist to middle knuckle) is long; some more
    is painted so that no rim of skin is left.
    """
    cover = np.zeros(shape, np.uint8)
    for hand in hands:
        palm = np.linalg.norm(hand[9] - hand[0])
        span = max(palm, 0.4 * np.ptp(hand, axis=0).max())
        thickness = max(2, round(0.3 * span))
        for a, b in _HAND_BONES:
            cv2.line(cover, _px(hand[a]), _px(hand[b]), (255,), thickness, cv2.LINE_AA)
        cover = np.maximum(cover, _fill(hand[list(_PALM)], shape))
    return cover.astype(np.float32) / 255


def paint_forearms(forearms: np.ndarray, widths: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cover of forearms [arms, 2, 2] (elbow, wrist) pixels of given widths; [h, w] in [0, 1]."""
    cover = np.zeros(shape, np.uint8)
    for (elbow, wrist), width in zip(forearms, widths, strict=True):
        cv2.line(cover, _px(elbow), _px(wrist), (255,), max(2, round(float(width))), cv2.LINE_AA)
    return cover.astype(np.float32) / 255


def forearms_of(hands: np.ndarray, body: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Forearms (elbow, wrist) [hands, 2, 2] of the hands in view, and their widths, pixels.

    The body's pose knows the elbow, but guesses it when it is out of the picture; the hand knows
    the direction to within what a wrist can bend.

    Args:
        hands: [hands, 21, 2] pixels.
        body: [33, 4] MediaPipe pose (x, y, z, visibility), or None.
    """
    arms, widths = [], []
    for hand in hands:
        along = hand[0] - hand[9]
        palm = max(float(np.linalg.norm(along)), 1.0)
        # ASSUME: a forearm is 2.6 palms long and 0.7 palms wide, sleeve included, and a talking
        # hand bends its wrist by at most 35 degrees.
        direction = along / palm
        if body is not None:
            side = int(np.argmin(np.linalg.norm(body[[15, 16], :2] - hand[0], axis=1)))
            towards = body[13 + side, :2] - hand[0]
            direction = _turn_towards(direction, towards, np.radians(35))
        arms.append((hand[0] + 2.6 * palm * direction, hand[0]))
        widths.append(0.7 * palm)
    return np.array(arms, np.float32).reshape(-1, 2, 2), np.array(widths, np.float32)


def _turn_towards(direction: np.ndarray, target: np.ndarray, most_radians: float) -> np.ndarray:
    """A unit vector [2] turned towards another by at most an angle."""
    cross = direction[0] * target[1] - direction[1] * target[0]
    angle = np.clip(np.arctan2(cross, direction @ target), -most_radians, most_radians)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]]) @ direction


def clear_skin(likelihoods: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Where the colour is clearly skin's, [h, w] bool."""
    skin = likelihoods[..., _SKIN]
    others = likelihoods[..., _CLOTH] + likelihoods[..., _HAIR] + 1
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
    reach = 2 * max(1, round(count.shape[0] / 64)) + 1
    return cv2.dilate(lasting, np.ones((reach, reach), np.uint8)) > 0


def bare_hands(
    is_skin: np.ndarray, neck: np.ndarray, below: np.ndarray, u: np.ndarray, v: np.ndarray,
    face: FaceFrame,
) -> np.ndarray:  # fmt: skip
    """Skin in front of the torso that does not hang together with the neck, [h, w] bool.

    The hand detector misses hands that are cut by the picture's edge or blurred.
    """
    solid = cv2.morphologyEx(
        (is_skin & (below > 0)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    grown_neck = cv2.dilate(neck, np.ones((5, 5), np.uint8)) > 0.3
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid | grown_neck.astype(np.uint8))
    # ASSUME: half a hundredth of the face's area; smaller spots are buttons and badges.
    is_hand = stats[:, cv2.CC_STAT_AREA] > 0.005 * face.width * face.height
    is_hand[0] = False
    is_hand[np.unique(labels[grown_neck])] = False
    # ASSUME: nearer to the face (0.8 of its height below the chin, 1.1 of its width beside it) fair
    # hair and a bare chest look like hands; there only the detector's hands count.
    return is_hand[labels] & ((v > 0.8 * face.height) | (np.abs(u) > 1.1 * face.width))


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
    hair, skin, _ = below_jaw_classes(likelihoods, u, v, face)
    # Hair that hangs down is the lower end of hair beside the face; a dark lapel is not.
    strands = _hanging((hair > 0.5) & (person > 0.5), below < 0, round(0.1 * face.width))
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

    arms, widths = forearms_of(hands, body)
    hand = np.maximum(paint_hands(hands, shape), paint_forearms(arms, widths, shape))
    bare: np.ndarray = (
        bare_hands(clear_skin(likelihoods, person), neck, below, u, v, face) & ~is_lasting_skin
    )
    bare = cv2.dilate(bare.astype(np.float32), np.ones((3, 3), np.uint8))
    hand = np.maximum(hand, cv2.blur(bare, (3, 3)))
    # The painted shape is generous: inside the person's outline its rim is kept, outside it not.
    return _partition(person, head, neck, hand * person)


def below_jaw_classes(
    likelihoods: np.ndarray, u: np.ndarray, v: np.ndarray, face: FaceFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of hair, skin and cloth below the jaw from colour and place, each [h, w].

    ASSUME the priors of place, in face widths beside and face heights below the chin: the neck is
    0.8 wide and half a face long; hair hangs from 0.3 to 0.9 beside the chin, down to 1.3; cloth
    is likelier the lower. A colour that nothing has shown is cloth (a tie, a necklace).
    """
    aside, down = np.abs(u) / face.width, v / face.height
    neck_prior = _ramp(0.55 - aside, 0.3) * _ramp(0.7 - down, 0.4)
    hair_prior = _ramp(aside - 0.25, 0.2) * _ramp(1.0 - aside, 0.2) * _ramp(1.4 - down, 0.6)
    cloth_prior = 0.15 + 0.85 * _ramp(down - 0.1, 0.6)
    hair = likelihoods[..., _HAIR] * hair_prior
    skin = likelihoods[..., _SKIN] * (0.05 + neck_prior)
    # The jaw's shadow on the neck may have the colour of hair.
    skin = skin + 0.5 * likelihoods[..., _HAIR] * neck_prior * _ramp(0.3 - aside, 0.1)
    cloth = (likelihoods[..., _CLOTH] + 1) * cloth_prior
    # A collar may have the colour of hair; beside skin its shadows are told from it already.
    collar = likelihoods[..., _COLLAR] * cloth_prior
    total = hair + skin + cloth
    shares = hair / (total + collar), skin / total, cloth / total
    size = 2 * max(1, round(face.width / 60)) + 1
    hair, skin, cloth = (cv2.blur(share, (size, size)) for share in shares)
    return _contrast(hair), _contrast(skin), _contrast(cloth)


def _cloth_share(likelihoods: np.ndarray) -> np.ndarray:
    """Probability of cloth against hair and skin by colour alone, [h, w]."""
    share = likelihoods[..., _CLOTH] / (likelihoods[..., :_COLLAR].sum(-1) + 1)
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


def _hanging(is_hair: np.ndarray, is_above: np.ndarray, gap_px: int) -> np.ndarray:
    """Parts of a mask that have a tenth of their area above the jaw and fall from there, in [0, 1].

    Gaps are closed.
    """
    # Opening cuts thin bridges, such as the dark rim of a collar or the wall's edge beside a cheek.
    # ASSUME: they are thinner than two thirds of the gap.
    size = 2 * max(1, round(gap_px / 3)) + 1
    solid = cv2.morphologyEx(
        is_hair.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8)
    )
    n_parts, labels = cv2.connectedComponents(solid)
    areas = np.bincount(labels.ravel(), minlength=n_parts)
    above = np.bincount(labels[is_above], minlength=n_parts)
    is_kept = above > 0.1 * areas
    is_kept[0] = False
    falling = _falling(is_kept[labels], is_above, gap_px // 2)
    # Shadows between strands and fair tips are hair all the same.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * (gap_px // 2) + 1,) * 2)
    closed = cv2.morphologyEx(falling.astype(np.float32), cv2.MORPH_CLOSE, disc)
    return cv2.blur(cv2.dilate(closed, np.ones((3, 3), np.uint8)), (3, 3))


def _falling(is_hair: np.ndarray, is_above: np.ndarray, gap_px: int) -> np.ndarray:
    """The part of a mask [h, w] bool that hangs, row by row, from what is above the jaw.

    A collar of the hair's colour may touch the hair, but it runs across, under the neck. ASSUME
    strands lean by at most a third from the vertical, and are broken by ``gap_px`` at most.
    """
    falling = is_hair & is_above
    rows = np.flatnonzero((is_hair & ~is_above).any(1))
    if len(rows) == 0:
        return falling
    # Rows since hair was last met in each column, or beside it.
    since = np.full(is_hair.shape[1] + 2, gap_px + 1)
    for row in range(max(rows[0] - gap_px, 0), rows[-1] + 1):
        if row % 3 == 0:
            since[1:-1] = np.minimum(since[1:-1], np.minimum(since[:-2], since[2:]))
        met = falling[row] | (is_hair[row] & (since[1:-1] <= gap_px))
        since[1:-1] = np.where(met, 0, since[1:-1] + 1)
        falling[row] = met
    return falling


def _step(distance_px: np.ndarray) -> np.ndarray:
    """1 where positive, 0 where negative, linear within two pixels."""
    return np.clip(0.5 + 0.5 * distance_px, 0, 1)


def _contrast(probability: np.ndarray) -> np.ndarray:
    """Probabilities pushed towards a decision, still soft between 0.3 and 0.7."""
    return np.clip((probability - 0.3) / 0.4, 0, 1)


def _fill(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Convex hull of points [k, 2] as uint8 [h, w], 255 inside."""
    cover = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.round(polygon).astype(np.int32))
    cv2.fillConvexPoly(cover, hull, (255,), cv2.LINE_AA)
    return cover


def _px(point: np.ndarray) -> tuple[int, int]:
    return int(round(float(point[0]))), int(round(float(point[1])))


def steady(memberships: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Median of each frame with its two neighbours: flicker goes, moving edges stay in place.

    Takes and gives [height, width, 5] float32 with sum 1; the first and last frame stay as they
    are.
    """
    before: np.ndarray | None = None
    now: np.ndarray | None = None
    for after in memberships:
        if now is not None:
            if before is None:
                yield now
            else:
                # The median of three without sorting.
                low, high = np.minimum(before, after), np.maximum(before, after)
                middle = np.clip(now, low, high)
                total = middle @ np.ones(middle.shape[-1], np.float32)
                yield middle / np.maximum(total, 1e-6)[..., None]
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


def background_plate(
    frames: Sequence[np.ndarray], backgrounds: Sequence[np.ndarray], margin_px: int
) -> np.ndarray:
    """What the scene looks like without the person, [height, width, 3] uint8.

    Each pixel is the median of the frames in which the person is at least ``margin_px`` away, else
    the frame in which the person is farthest; what is never seen is filled smoothly from around.

    Args:
        frames: RGB uint8, each [height, width, 3]; spread over the clip.
        backgrounds: background membership of each, [height, width] in [0, 1].
        margin_px: the mask's edges are not trusted up to this distance.
    """
    stack = np.asarray(frames)
    # In sixteenths of a pixel, so that a hundred large frames take little memory.
    distance = np.stack([
        (16 * cv2.distanceTransform((b > 0.95).astype(np.uint8), cv2.DIST_L2, 3)).astype(np.uint16)
        for b in backgrounds
    ])  # fmt: skip
    is_far = distance >= 16 * margin_px
    plate = np.zeros(stack.shape[1:], np.uint8)
    for y in range(stack.shape[1]):
        # Sorted with the unseen last, the median of the seen is in the middle of their number.
        row = np.where(is_far[:, y, :, None], stack[:, y], np.uint16(256))
        row.sort(axis=0)
        n_seen = is_far[:, y].sum(0)
        seen = np.flatnonzero(n_seen)
        middle = n_seen[seen]
        low, high = row[(middle - 1) // 2, seen], row[middle // 2, seen]
        plate[y, seen] = (low + high) // 2
    nearly = ~is_far.any(0) & (distance.max(0) > 16)
    best = distance.argmax(0)
    plate[nearly] = np.take_along_axis(stack, best[None, ..., None], 0)[0][nearly]
    return fill_smoothly(plate, is_far.any(0) | nearly)


def fill_smoothly(image: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Fill unknown pixels from coarser and coarser averages of the known (push-pull pyramid).

    Args:
        image: [height, width, 3] uint8.
        is_known: [height, width] bool. If nothing is known the image becomes mid-grey.
    """
    height, width = is_known.shape
    weight: np.ndarray = is_known.astype(np.float32)
    levels = [(image.astype(np.float32) * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1:
        colour, weight = (cv2.pyrDown(x) for x in levels[-1])
        levels.append((colour, weight))
    filled = np.full((*levels[-1][1].shape, 3), 127.5, np.float32)
    for colour, weight in reversed(levels):
        coarse = cv2.resize(filled, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        trust = np.clip(weight, 0, 1)[..., None]
        mean = colour.reshape(*weight.shape, 3) / np.maximum(weight, 1e-6)[..., None]
        filled = trust * mean + (1 - trust) * coarse
    result = np.clip(np.round(filled), 0, 255).astype(np.uint8).reshape(height, width, 3)
    return np.where(is_known[..., None], image, result)
