"""What the pictures of a clip say about its editing: blank and faded frames, cuts, captions.

All from thumbnails, so that a clip of any length is looked at as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

#: Stored frames that are looked at for lettering.
_N_STILLS = 24

#: Side of a thumbnail, pixels.
THUMBNAIL_PX = 64

# ASSUME: grey levels; noise and the codec leave less in a plain field, a person more, even in the
# dark.
_BLANK_CONTRAST = 4.0

# ASSUME: a fade goes through at most this share of the clip's contrast, and ends at so much of what
# follows; light that changes in a room does neither beside a blank frame or the clip's end.
_FADE_FROM, _FADE_TO, _FADE_SECONDS = 0.6, 0.93, 4.0

# ASSUME: from one source frame to the next a picture without a cut changes by less than this many
# grey levels on average, or less than so many times what it changes by around.
_CUT_LEVELS, _CUT_RATIO, _CUT_NEIGHBOURS = 6.0, 6.0, 12

# ASSUME: a fast movement, or a flash, changes the picture a second time within so many frames.
_MOTION_FRAMES = 3

# ASSUME: a caption is one that stands still for half a second and longer, appears or goes away
# within two frames by so many levels, and covers between these shares of a thumbnail.
_CAPTION_LEVELS, _CAPTION_SHARES, _STILL_LEVELS = 18.0, (0.004, 0.15), 6.0


@dataclass(frozen=True)
class Shots:
    """Places in a sequence of thumbnails.

    blank: plain fields, black or not, and the fades into and out of them. cuts: the first frame of
    each new shot.
    """

    blank: np.ndarray
    cuts: np.ndarray

    @classmethod
    def none(cls) -> Shots:
        return cls(np.zeros(0, int), np.zeros(0, int))


def thumbnail(image: np.ndarray) -> np.ndarray:
    """[height, width, 3] uint8 RGB → [THUMBNAIL_PX, THUMBNAIL_PX] uint8 grey."""
    small = cv2.resize(image, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def find_shots(thumbnails: np.ndarray, seconds: np.ndarray) -> Shots:
    """Look at the thumbnails [n, side, side] of consecutive source frames, shown at ``seconds``."""
    is_blank = blank_frames(thumbnails, seconds)
    return Shots(np.flatnonzero(is_blank), find_cuts(thumbnails, is_blank))


def blank_frames(thumbnails: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """[n] bool: a plain field of any colour, or fading from or into one.

    A fade mixes a picture with a plain field, which scales its contrast: from a blank frame, or
    from the end of the clip, contrast rises to that of what follows while the picture stays alike.
    """
    contrast = thumbnails.reshape(len(thumbnails), -1).std(axis=1)
    is_blank = contrast < _BLANK_CONTRAST
    if is_blank.all():
        return is_blank
    backwards = slice(None, None, -1)
    faded = _fade_in(thumbnails, contrast, is_blank, seconds)
    faded |= _fade_in(
        thumbnails[backwards], contrast[backwards], is_blank[backwards], -seconds[backwards]
    )[backwards]
    return is_blank | faded


def _fade_in(
    thumbnails: np.ndarray, contrast: np.ndarray, is_blank: np.ndarray, seconds: np.ndarray
) -> np.ndarray:
    """[n] bool: frames after a blank one (or the first) whose contrast is still rising."""
    is_faded = np.zeros(len(contrast), bool)
    starts = [i for i in range(len(contrast)) if not is_blank[i] and (i == 0 or is_blank[i - 1])]
    for start in starts:
        stop = start
        while (
            stop < len(contrast)
            and not is_blank[stop]
            and seconds[stop] - seconds[start] <= _FADE_SECONDS
        ):
            stop += 1
        level = contrast[start:stop]
        # The steady picture is the one from which on contrast does not rise for a while.
        steady = next(
            (
                i
                for i in range(len(level))
                if level[i] >= _FADE_TO * level[i : i + 15].max()
                and level[i] >= 0.8 * np.median(level[i:])
            ),
            0,
        )
        is_deep = start == 0 and level[0] < _FADE_FROM * level[steady]
        if steady and (is_deep or start > 0):
            alike = np.corrcoef(
                thumbnails[start].ravel().astype(float),
                thumbnails[start + steady].ravel().astype(float),
            )[0, 1]
            if alike > 0.5:
                is_faded[start : start + steady] = True
    return is_faded


def find_cuts(thumbnails: np.ndarray, is_blank: np.ndarray) -> np.ndarray:
    """Numbers of the first frames of new shots; blank frames between shots count as one cut less.

    The change from frame to frame, with brightness taken out, must stand out of what
    it is before and after.
    """
    if len(thumbnails) < 3:
        return np.zeros(0, int)
    pictures = np.stack([cv2.blur(image, (3, 3)) for image in thumbnails]).astype(np.float32)
    steps = np.diff(pictures, axis=0)
    # Brightness that jumps everywhere is no cut.
    steps = np.abs(steps - np.median(steps, axis=(1, 2), keepdims=True))
    change = steps.mean(axis=(1, 2))
    # What changes less of the picture is laid over it.
    is_seen = (steps > _CUT_LEVELS).mean(axis=(1, 2)) > _CAPTION_SHARES[1]
    is_seen &= ~(is_blank[1:] | is_blank[:-1])
    cuts = []
    for i in np.flatnonzero(is_seen & (change > _CUT_LEVELS)):
        near = np.r_[change[max(0, i - _MOTION_FRAMES) : i], change[i + 1 : i + 1 + _MOTION_FRAMES]]
        around = change[max(0, i - _CUT_NEIGHBOURS) : i + 1 + _CUT_NEIGHBOURS]
        usual = max(float(np.median(around)), 0.3)
        if change[i] > max(_CUT_RATIO * usual, 2.0 * near.max(initial=0.0)):
            cuts.append(int(i) + 1)
    return np.array(cuts, int)


def find_captions(
    thumbnails: np.ndarray,
    is_blank: np.ndarray,
    cuts: np.ndarray,
    face_boxes: np.ndarray | None,
) -> list[tuple[int, str]]:
    """Where something appears or vanishes at once at the border of an otherwise still picture.

    A step of a pixel is the difference of its medians over some frames before and after, where it
    is steady on both sides; neighbouring steps at one instant are one thing.
    """
    n_half = 6
    n_frames, side = len(thumbnails), thumbnails.shape[1]
    free = _beside_face(face_boxes, side)
    found: list[tuple[int, str]] = []
    near_cut = np.zeros(n_frames, bool)
    for cut in cuts:
        near_cut[max(0, cut - n_half) : cut + n_half] = True
    stack = thumbnails.astype(np.int16)
    jump = np.abs(np.diff(stack, axis=0))
    for i in range(n_half, n_frames - n_half):
        if near_cut[i] or is_blank[i - n_half : i + n_half].any():
            continue
        # Most instants have no pixel that jumps: look closer at the others only.
        if ((jump[i - 1] > _CAPTION_LEVELS / 2) & free).sum() < _CAPTION_SHARES[0] * side**2 / 2:
            continue
        before, after = stack[i - n_half : i], stack[i : i + n_half]
        step = np.abs(np.median(after, axis=0) - np.median(before, axis=0))
        # All at once (within two frames), and still before and after.
        at_once = np.abs(after[1] - before[-1])
        unrest = np.maximum(np.ptp(before, axis=0), np.ptp(after[1:], axis=0))
        is_step = (
            (step > _CAPTION_LEVELS) & (at_once > 0.8 * step) & (unrest < _STILL_LEVELS) & free
        )
        share = is_step.mean()
        if _CAPTION_SHARES[0] <= share <= _CAPTION_SHARES[1]:
            ys, xs = np.nonzero(is_step)
            place = _place(float(ys.mean()) / side, float(xs.mean()) / side)
            if place.startswith("middle"):
                continue
            if not found or i - found[-1][0] > n_half:
                found.append((i, place))
    return found


def _place(y: float, x: float) -> str:
    rows, columns = ("top", "middle", "bottom"), ("left", "centre", "right")
    return f"{rows[min(int(3 * y), 2)]} {columns[min(int(3 * x), 2)]}"


class Stills:
    """Looks at the stored frames as they are written, for things that stand still before them."""

    def __init__(self, n_frames: int) -> None:
        self._chosen = set(np.unique(np.linspace(0, n_frames - 1, _N_STILLS).astype(int)).tolist())
        self._thumbnails: list[np.ndarray] = []
        self._pictures: list[np.ndarray] = []

    def see(self, frame: np.ndarray) -> None:
        if len(self._thumbnails) in self._chosen:
            self._pictures.append(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        self._thumbnails.append(thumbnail(frame))

    def captions(
        self, blank: np.ndarray, cuts: np.ndarray, face_boxes: np.ndarray
    ) -> list[tuple[int | None, str]]:
        """(frame at which it comes or goes, None for one that stays; where), in order.

        Args:
            blank, cuts: numbers of frames; face_boxes: [n, 4] in shares of the frame, NaN without.
        """
        is_blank = np.isin(np.arange(len(self._thumbnails)), blank)
        moving = find_captions(np.stack(self._thumbnails), is_blank, cuts, face_boxes)
        chosen = sorted(self._chosen)
        seen = [p for i, p in zip(chosen, self._pictures, strict=True) if not is_blank[i]]
        lasting = find_lettering(np.stack(seen), face_boxes) if len(seen) > 2 else []
        return [*((None, place) for place in lasting), *moving]


def find_lettering(pictures: np.ndarray, face_boxes: np.ndarray) -> list[str]:
    """Where lines of letters stand in the corners of grey pictures [n, side, side] of one clip.

    Letters are strokes that a narrow opening or closing removes, of one height, close together in a
    line, much lighter or darker than what is behind, and never move.
    """
    side = pictures.shape[1]
    still = np.median(pictures, axis=0).astype(np.uint8)
    is_steady = pictures.std(axis=0) < 6.0
    free = _beside_face(face_boxes, side)
    stroke = max(3, side // 40) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (stroke, stroke))
    places = []
    for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        strokes = (cv2.morphologyEx(still, operation, kernel) > 50) & is_steady & free
        line = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * stroke + 1, 1))
        joined = cv2.morphologyEx(strokes.astype(np.uint8), cv2.MORPH_CLOSE, line)
        _, _, facts, _ = cv2.connectedComponentsWithStats(joined)
        for x, y, width, height, _ in facts[1:]:
            inside = strokes[y : y + height, x : x + width]
            # Letters: several strokes side by side, between them gaps.
            columns = np.diff(inside.any(axis=0).astype(int), prepend=0)
            crossings = np.abs(np.diff(inside.astype(int), axis=1)).sum(axis=1)
            is_text = (
                0.02 * side <= height <= 0.14 * side
                and width >= 2.0 * height
                and 0.15 < inside.mean() < 0.75
                and (columns == 1).sum() + np.median(crossings) / 2 >= 5
            )
            if is_text:
                place = _place((y + height / 2) / side, (x + width / 2) / side)
                if place not in places and not place.startswith("middle"):
                    places.append(place)
    return places


def _beside_face(face_boxes: np.ndarray | None, side: int) -> np.ndarray:
    """[side, side] bool: neither the head nor what is below it."""
    free = np.ones((side, side), bool)
    if face_boxes is not None and np.isfinite(face_boxes).all(axis=1).any():
        x0, y0, x1, y1 = np.nanmedian(face_boxes, axis=0) * side
        margin = 0.5 * (x1 - x0)
        left, right = int(max(0, x0 - margin)), int(min(side, x1 + margin) + 1)
        free[int(max(0, y0 - margin)) :, left:right] = False
    return free


def shot_warnings(
    blank: np.ndarray, cuts: np.ndarray, captions: list[tuple[int | None, str]], fps: float
) -> list[str]:
    """One line for each finding, with its instant in the stored clip."""
    lines = []
    for run in np.split(blank, np.flatnonzero(np.diff(blank) > 1) + 1) if len(blank) else []:
        lines.append(
            f"frames {run[0]} to {run[-1]} ({run[0] / fps:.2f} to {(run[-1] + 1) / fps:.2f} s) are "
            "blank or faded"
        )
    lines += [
        f"there is a cut at {frame / fps:.2f} s (frame {frame}); a portrait is learnt from one take"
        for frame in cuts
    ]
    for frame, place in captions:
        if frame is None:
            lines.append(f"a caption or sign stands at the {place} of the picture all the time")
        else:
            lines.append(
                f"something appears or vanishes at the {place} of the picture at "
                f"{frame / fps:.2f} s (frame {frame}): a caption?"
            )
    return lines
