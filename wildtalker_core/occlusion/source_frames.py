"""Which frames of a clip show what one frame hides, planned over the whole clip in few cells."""

from __future__ import annotations

import cv2
import numpy as np

# Grid on which visibility over the whole clip is planned.
_PLAN_CELLS = 32


def coarse_hidden(is_hidden: np.ndarray) -> np.ndarray:
    """[cells, cells] bool: whether any pixel of a cell is hidden; what :class:`Plan` is made of."""
    share = cv2.resize(
        is_hidden.astype(np.float32), (_PLAN_CELLS, _PLAN_CELLS), interpolation=cv2.INTER_AREA
    )
    return share > 0


class Plan:
    """Which other frames show what one frame hides, over a whole clip, in a few megabytes.

    Args:
        coarse: [n, cells, cells] bool from :func:`coarse_hidden`.
    """

    def __init__(self, coarse: np.ndarray) -> None:
        self._hidden = coarse
        # A place at the rim of a hand is shaded, and the torso may have moved under it: frames in
        # which the cells around are visible too are better sources.
        wide = np.stack([cv2.dilate(c.astype(np.uint8), np.ones((3, 3))) > 0 for c in coarse])
        self._views = [(h, *_nearest_visible(h)) for h in (wide, coarse)]

    def sources(self, number: int, max_sources: int) -> list[int]:
        """Frames to fill frame ``number`` from, nearest in time first.

        Greedy: the frame that the typical cell still hidden would choose covers what it shows, and
        so on; first by frames that show the cell and those around it, then the cell at least.
        Cells that no frame shows are left.
        """
        left = self._hidden[number].copy()
        chosen: list[int] = []
        for hidden, before, after in self._views:
            to_before, to_after = number - before[number], after[number] - number
            distance = np.minimum(to_before, to_after)
            possible = left & (distance < len(hidden))
            while possible.any() and len(chosen) < max_sources:
                cells = np.flatnonzero(possible)
                order = np.argsort(distance.reshape(-1)[cells], kind="stable")
                # The last one allowed must serve the hardest cells.
                is_last = len(chosen) == max_sources - 1
                cell = cells[order[len(cells) - 1 if is_last else len(cells) // 2]]
                row, column = divmod(int(cell), left.shape[1])
                side = -1 if to_before[row, column] <= to_after[row, column] else 1
                source = number + side * int(distance[row, column])
                chosen.append(source)
                left &= hidden[source]
                possible &= hidden[source]
        return sorted(set(chosen), key=lambda source: abs(source - number))


def _nearest_visible(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the last and next frame [n, cells, cells] in which each cell is visible."""
    numbers = np.arange(len(hidden), dtype=np.int32)[:, None, None]
    never = np.int32(2**30)
    before = np.maximum.accumulate(np.where(hidden, -never, numbers), axis=0)
    after = np.minimum.accumulate(np.where(hidden, never, numbers)[::-1], axis=0)[::-1]
    return before, after
