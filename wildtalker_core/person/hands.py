"""Hands and forearms: linked over time, painted around their landmarks, or found by their skin."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from wildtalker_core.person.face_frame import FaceFrame

# Bones of a hand in MediaPipe's order: wrist 0, thumb 1-4, then four fingers of four.
_HAND_BONES = tuple(
    bone
    for base in (1, 5, 9, 13, 17)
    for bone in ((0, base), (base, base + 1), (base + 1, base + 2), (base + 2, base + 3))
)
_PALM = (0, 1, 5, 9, 13, 17)


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
        cover = np.maximum(cover, fill_hull(hand[list(_PALM)], shape))
    return cover.astype(np.float32) / 255


def paint_forearms(
    hands: np.ndarray, body: np.ndarray | None, shape: tuple[int, ...]
) -> np.ndarray:
    """Cover of the forearms of the hands in view, [h, w] in [0, 1].

    The body's pose knows the elbow, but guesses it when it is out of the picture; the hand knows
    the direction to within what a wrist can bend.

    Args:
        hands: [hands, 21, 2] pixels.
        body: [33, 4] MediaPipe pose (x, y, z, visibility), or None.
    """
    cover = np.zeros(shape, np.uint8)
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
        elbow, width = hand[0] + 2.6 * palm * direction, max(2, round(0.7 * palm))
        cv2.line(cover, _px(elbow), _px(hand[0]), (255,), width, cv2.LINE_AA)
    return cover.astype(np.float32) / 255


def _turn_towards(direction: np.ndarray, target: np.ndarray, most_radians: float) -> np.ndarray:
    """A unit vector [2] turned towards another by at most an angle."""
    cross = direction[0] * target[1] - direction[1] * target[0]
    angle = np.clip(np.arctan2(cross, direction @ target), -most_radians, most_radians)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]]) @ direction


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


def fill_hull(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Convex hull of points [k, 2] as uint8 [h, w], 255 inside."""
    cover = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.round(polygon).astype(np.int32))
    cv2.fillConvexPoly(cover, hull, (255,), cv2.LINE_AA)
    return cover


def _px(point: np.ndarray) -> tuple[int, int]:
    return int(round(float(point[0]))), int(round(float(point[1])))
