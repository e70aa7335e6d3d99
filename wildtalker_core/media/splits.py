"""Which frames are learnt from, chosen on and tested on, and which of them count.

The parts follow one another in time. What a frame is told (landmarks, masks, poses, sound) comes
from its own part of the clip and the parts before it, never from a later one; whatever is learnt or
filled for training comes from training frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath, load_json, save_json

#: In time order.
PARTS = ("train", "validation", "test")

# ASSUME: the last tenth of training is enough to choose a handful of numbers on.
_VALIDATION_SHARE = 0.1

# ASSUME: a picture without a face still shows the person (a hand before the face, a turned head)
# where its thumbnail resembles the last one with a face: a title, a black or another picture
# correlates by less than this, or has less than this share of its contrast.
_LEAST_LIKENESS = 0.5
_THUMBNAIL_PX = 32
# ASSUME: a face that appears for fewer frames between frames without is a detector's false alarm.
_LEAST_FACES = 4


@runtime_checkable
class Frames(Protocol):
    """RGB uint8 [height, width, 3] by frame number."""

    def __getitem__(self, index: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Split:
    """A clip of ``len(is_counted)`` frames, cut in time.

    Attributes:
        ends: number of frames up to the end of training, of validation and of the test.
        is_counted: [n] bool, the person is in view; other frames belong to a part but are in none
            of its lists.
    """

    ends: tuple[int, int, int]
    is_counted: np.ndarray

    @property
    def spans(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Half-open ranges of frames of training, validation, test."""
        first, second, third = self.ends
        return (0, first), (first, second), (second, third)

    def frames(self, part: str) -> np.ndarray:
        """Counted frame numbers of ``train``, ``validation`` or ``test``, int64."""
        start, stop = self.spans[PARTS.index(part)]
        return start + np.flatnonzero(self.is_counted[start:stop])

    @property
    def is_fitted(self) -> np.ndarray:
        """[n] bool: counted training frames, whose statistics may be used."""
        return self.is_counted & (np.arange(len(self.is_counted)) < self.ends[0])

    def sample_ends(self, n_samples: int) -> tuple[int, ...]:
        """Ends of the parts in the clip's sound of ``n_samples``."""
        n_frames = self.ends[-1]
        return tuple(round(end * n_samples / n_frames) for end in self.ends)

    def require_frames(self, subject: str) -> None:
        """Raises InputError if a part has no frame that shows the person."""
        for part, (start, stop) in zip(PARTS, self.spans, strict=True):
            if not len(self.frames(part)):
                raise InputError(
                    subject,
                    f"shows the person in none of the {part} frames {start} to {stop - 1}",
                    "cut titles and black parts off (media.start_seconds, media.max_seconds)",
                )


def by_parts(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, split: Split
) -> np.ndarray:
    """A function of a time line [n, ...], such as a filter, that tells no part of the next ones.

    Each part is what the function makes of it and the parts before it.
    """
    return np.concatenate([function(values[:stop])[start:] for start, stop in split.spans])


def interpolated(values: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """A time line [n, ...] whose unknown rows are interpolated linearly, at the ends the nearest.

    Args:
        is_known: [n] bool, at least one.
    """
    times, at = np.arange(len(values)), np.flatnonzero(is_known)
    columns = values.reshape(len(values), -1).T
    filled = np.stack([np.interp(times, at, column[at]) for column in columns], 1)
    return filled.reshape(values.shape).astype(values.dtype)


def split_frames(n_frames: int, train_fraction: float = 10 / 11) -> tuple[int, int, int]:
    """Ends of training, validation and test: see :class:`Split`.

    The first ``int(n_frames * train_fraction)`` frames are to learn from; the last tenth of them,
    to choose on. Neighbouring frames are alike: a random split would test on what was learnt.

    Raises:
        InputError: a part would be empty.

    >>> split_frames(275)
    (225, 250, 275)
    """
    # The tolerance keeps 10/11 of 275 at 250 in spite of rounding.
    n_learnt = int(n_frames * train_fraction + 1e-9)
    n_train = n_learnt - max(1, round(_VALIDATION_SHARE * n_learnt))
    if not (0 < n_train and n_learnt < n_frames):
        raise InputError(
            f"clip of {n_frames} frames",
            f"leaves {max(n_train, 0)} frames to train and {n_frames - n_learnt} to test",
            "give a longer clip or change media.train_fraction",
        )
    return n_train, n_learnt, n_frames


def frames_with_person(
    frames: Frames, is_faceless: np.ndarray, ends: tuple[int, int, int]
) -> np.ndarray:
    """Whether each frame shows the person [n]: those with a face, and those that look like one.

    Args:
        frames: of the crop.
        is_faceless: [n] bool. Each such frame is compared with the last one before it that has a
            face; before the first face, with the first.
        ends: of the parts, see :class:`Split`.
    """
    starts = (0, *ends[:-1])
    is_shown = np.concatenate(
        [_without_moments(~is_faceless[:b])[a:] for a, b in zip(starts, ends, strict=True)]
    )
    faces = np.flatnonzero(is_shown)
    if not len(faces):
        return is_shown
    for i in np.flatnonzero(~is_shown):
        reference = faces[max(int(np.searchsorted(faces, i)) - 1, 0)]
        is_shown[i] = _is_alike(_thumbnail(frames[int(reference)]), _thumbnail(frames[int(i)]))
    return is_shown


def _without_moments(is_set: np.ndarray) -> np.ndarray:
    """A boolean array [n] without runs that are too short to be trusted, but for its ends'."""
    edges = np.flatnonzero(np.diff(is_set)) + 1
    result = is_set.copy()
    for start, stop in pairwise(edges.tolist()):
        if stop - start < _LEAST_FACES:
            result[start:stop] = False
    return result


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return small - small.mean()


def _is_alike(reference: np.ndarray, thumbnail: np.ndarray) -> bool:
    contrast, other = np.linalg.norm(reference), np.linalg.norm(thumbnail)
    correlation = (reference * thumbnail).sum() / max(contrast * other, 1e-6)
    return bool(correlation > _LEAST_LIKENESS and other > _LEAST_LIKENESS * contrast)


def save_split(path: AnyPath, split: Split) -> None:
    """Write ``split.json``: half-open ranges of the parts, and the frames that do not count."""
    parts = dict(zip(PARTS, map(list, split.spans), strict=True))
    save_json(path, parts | {"uncounted_frames": np.flatnonzero(~split.is_counted).tolist()})


def load_split(path: AnyPath) -> Split:
    """Read ``split.json``."""
    stored = load_json(path)
    ends = tuple(stored[part][1] for part in PARTS)
    is_counted = np.ones(ends[-1], bool)
    is_counted[stored["uncounted_frames"]] = False
    return Split(ends, is_counted)
