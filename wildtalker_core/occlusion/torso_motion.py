"""How the torso moves in each frame: aligned to a mean picture of it before an even backdrop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.occlusion.alignment import Aligner, SoftBasis, elastic
from wildtalker_core.occlusion.registration import (
    N_SIMILARITY,
    Motion,
    by_segments,
    middle_and_box,
)

_GRID = 9  # points a side on which soft motion is described
_MOST_AVERAGED = 100  # frames: more do not sharpen the mean
_MEANS = 2  # mean pictures, each found with the one before
#: How far two neighbours of that grid move apart, and one from its place, pixels at 256. ASSUME
#: cloth: a shoulder is lifted while the hem stays.
_APART_PX, _AWAY_PX = 1.5, 3.0


@dataclass(frozen=True)
class TorsoView:
    """The torso before an even backdrop.

    Attributes:
        picture: [height, width] float32 grey levels.
        is_clear: [height, width] bool, torso or background and nothing before them.
        is_torso: [height, width] bool.
    """

    picture: np.ndarray
    is_clear: np.ndarray
    is_torso: np.ndarray


ReadTorso = Callable[[int], TorsoView]


def torso_view(
    frame: np.ndarray, parsing: np.ndarray, transient: np.ndarray, backdrop: int
) -> TorsoView:
    """What of a frame tells the torso's motion.

    Plain cloth shows its motion by its outline only. Before the real background that outline would
    be two motions; before an even one it is the cloth's alone. Near head and hands nothing is
    followed: their edges move otherwise.

    Args:
        frame: [height, width, 3] uint8; parsing: [height, width, 5]; transient: [height, width].
        backdrop: grey level.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    background, head, neck, torso, hands = np.moveaxis(parsing, -1, 0).astype(np.float32)
    share = background / 255
    reach = np.ones((2 * max(2, round(0.02 * len(frame))) + 1,) * 2, np.uint8)
    foreign = np.maximum(np.maximum(head + neck, hands), transient) > 60
    is_clear = cv2.dilate(foreign.astype(np.uint8), reach) == 0
    picture = (1 - share) * grey + share * np.float32(backdrop)
    return TorsoView(picture, is_clear, is_clear & (torso > 127))


def register_torso(
    read: ReadTorso,
    n_frames: int,
    fit_frames: np.ndarray,
    segments: list[np.ndarray],
    reference: int,
    n_soft: int = 0,
) -> Motion:
    """Align every frame to the mean picture of the torso.

    The mean and the soft basis come from ``fit_frames`` alone. Frames of one of ``segments`` (the
    parts of the split) depend on none of another but the fitted ones.

    Args:
        reference: one of ``fit_frames``; the mean picture has its place.
        n_soft: components of the motion beyond a similarity.
    """
    averaged = fit_frames[:: max(1, len(fit_frames) // _MOST_AVERAGED)]
    view = read(reference)
    centre, box = middle_and_box(view.is_torso)
    aligner = Aligner(view.picture, view.is_clear, centre)
    for _ in range(_MEANS):
        rough = _follow(aligner, read, averaged, reference)
        aligner = Aligner(*_mean_picture(aligner, read, averaged, rough), centre)
    basis = _soft_basis(aligner, read, averaged, rough, box, n_soft)
    aligner = Aligner(aligner.picture, aligner.is_known, centre, basis)
    rough = np.concatenate((rough, np.zeros((len(rough), len(basis.grid)))), 1)
    numbers = np.full((n_frames, rough.shape[1]), np.nan)
    for segment in segments:
        numbers[segment] = _fit_segment(aligner, read, segment, averaged, rough)
    numbers, is_interpolated = by_segments(numbers, segments, max(view.picture.shape) / 256)
    return Motion(
        numbers[:, :N_SIMILARITY], centre, numbers[:, N_SIMILARITY:], basis.grid, box,
        is_interpolated, reference,
    )  # fmt: skip


def _follow(aligner: Aligner, read: ReadTorso, frames: np.ndarray, start: int) -> np.ndarray:
    """Similarities [len(frames), 4], each found from its neighbour's, outwards from ``start``."""
    place = int(np.abs(frames - start).argmin())
    motions = np.zeros((len(frames), N_SIMILARITY))
    for walk in (range(place, len(frames)), range(place - 1, -1, -1)):
        motion = motions[place]
        for i in walk:
            view = read(int(frames[i]))
            found = aligner.fit(view.picture, view.is_clear, motion, np.zeros(0))
            motion = motion if found is None else found[0]
            motions[i] = motion
    return motions


def _mean_picture(
    aligner: Aligner, read: ReadTorso, frames: np.ndarray, motions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the aligned views [h, w] float32, and where a third of the frames is clear [h, w]."""
    total, count = np.zeros((), np.float32), np.zeros((), np.float32)
    for frame, motion in zip(frames.tolist(), motions, strict=True):
        view = read(frame)
        clear = view.is_clear.astype(np.float32)
        seen, shows = aligner.warped(motion, np.zeros(0), view.picture, clear)
        total = total + seen * (shows > 0.9)
        count = count + (shows > 0.9)
    mean = total / np.maximum(count, 1)
    return mean.astype(np.float32), count > len(frames) / 3


def _soft_basis(
    aligner: Aligner,
    read: ReadTorso,
    frames: np.ndarray,
    motions: np.ndarray,
    box: np.ndarray,
    n_soft: int,
) -> SoftBasis:
    """Principal components, of unit variance, of how an elastic grid moves beyond a similarity."""
    if not n_soft:
        return SoftBasis(np.zeros((0, _GRID, _GRID, 2)), box, np.zeros((0, 0)))
    size = min(1.0, len(aligner.is_known) / 256)
    cloth = elastic(box, _GRID, _APART_PX * size, _AWAY_PX * size)
    pliant = Aligner(aligner.picture, aligner.is_known, aligner.centre, cloth)
    moved = np.zeros((len(frames), len(cloth.grid)))
    for k, (frame, motion) in enumerate(zip(frames.tolist(), motions, strict=True)):
        view = read(frame)
        found = pliant.fit(view.picture, view.is_clear, motion, moved[k])
        if found is not None:
            moved[k] = found[1]
    moved = pliant.beyond_similarity(moved)
    _, spread, directions = np.linalg.svd(moved - moved.mean(0), full_matrices=False)
    components = directions[:n_soft] * spread[:n_soft, None] / np.sqrt(len(frames))
    return SoftBasis(components.reshape(-1, _GRID, _GRID, 2), box, np.eye(len(components)))


def _fit_segment(
    aligner: Aligner, read: ReadTorso, segment: np.ndarray, known: np.ndarray, rough: np.ndarray
) -> np.ndarray:
    """Numbers [len(segment), 4 + k], NaN where nothing was found.

    Each frame is found from the numbers of the one before it or from those (``rough``) of the
    nearest of ``known`` frames: from what is nearer to it.
    """
    found = np.full((len(segment), rough.shape[1]), np.nan)
    before = None
    nearest = np.interp(segment, known, np.arange(len(known))).round().astype(int)
    for k, (frame, near) in enumerate(zip(segment.tolist(), nearest.tolist(), strict=True)):
        view = read(frame)
        starts = [rough[near]] if before is None else [before, rough[near]]
        tried = [np.split(start, [N_SIMILARITY]) for start in starts]
        errors = [aligner.error(view.picture, view.is_clear, *start) for start in tried]
        better = aligner.fit(view.picture, view.is_clear, *tried[int(np.argmin(errors))])
        if better is not None:
            before = found[k] = np.concatenate(better)
    return found
