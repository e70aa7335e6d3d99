"""Delay of live portraits: real speech, fed in real time in pieces of 20 ms.

    python benchmarks/live.py me.portrait speech.wav [--seconds 60]
    python benchmarks/live.py me.portrait speech.wav --minutes 60

The first prints percentiles of: the first frame that shows sound after silence; each frame's delay
behind the sound that it shows; time to draw; the mouth at rest after an interruption; dropped
frames.

With ``--minutes`` the recording is one conversation, from the start again where it ends, by a
microphone whose clock runs ``--ppm`` too fast. A row each minute, and in the end how far sound and
picture have drifted apart: by the clock, and by what the mouth shows of the same sound.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from array import array
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import psutil
from scipy.signal import correlate

from wildtalker_core import open_portrait
from wildtalker_core.media.audio import decode_sound

RATE_HZ, PIECE = 16000, 320
# Sound that does not go on where it was is looked for in the last ten seconds; samples are the same
# if they differ by no more than this.
_SEARCHED, _SAME = 10 * RATE_HZ, 1e-4
_MOST_LAG_FRAMES = 12


def feed(session, sound: np.ndarray, is_over: threading.Event, n_pieces: int, speed: float) -> None:
    """Push ``sound`` as a microphone would, again and again: each piece when it was spoken."""
    start = time.monotonic()
    n_whole = len(sound) // PIECE
    for i in range(n_pieces):
        due = start + (i + 1) * PIECE / (RATE_HZ * speed)
        time.sleep(max(0.0, due - time.monotonic()))
        first = i % n_whole * PIECE
        session.hear(sound[first : first + PIECE], RATE_HZ)
        if is_over.is_set():
            return


def conversation(portrait, sound: np.ndarray) -> dict[str, list[float]]:
    """Half a second idle, then ``sound``, then an interruption."""
    session = portrait.live(is_microphone=True)
    found: dict[str, list[float]] = {"first frame": [], "delay": [], "interruption": []}
    is_over, n_shown, spoken_at = threading.Event(), 0, 0.0
    feeder = threading.Thread(target=feed, args=(session, sound, is_over, len(sound) // PIECE, 1.0))
    interrupted_at = None
    for k, frame in enumerate(session.frames()):
        now = time.monotonic()
        if k == 12:
            spoken_at = time.monotonic()
            feeder.start()
        elif frame.is_speaking and interrupted_at is None:
            if not n_shown:
                found["first frame"].append(now - spoken_at)
            # Of several frames' sound the last is the one that the picture shows.
            n_shown += max(1, round(len(frame.sound) / RATE_HZ * session.fps))
            n_before = n_shown - 1 + session.n_skipped
            found["delay"].append(now - spoken_at - n_before / session.fps)
        if interrupted_at is not None and session._closed == 1:
            found["interruption"].append(now - interrupted_at)
            session.close()
        elif interrupted_at is None and k > 12 and now - spoken_at > len(sound) / RATE_HZ - 0.5:
            is_over.set()
            feeder.join()
            session.interrupt()
            interrupted_at = time.monotonic()
    found["dropped frames"] = [session.n_dropped]
    return found


@dataclass
class Place:
    """Where in an endless repetition of ``sound`` a session's sound lies, by its samples.

    Attributes:
        n: the next sample that is expected.
        n_jumps, n_lost: pieces that were found elsewhere, and not within the last seconds.
    """

    sound: np.ndarray
    n: int = 0
    n_jumps: int = 0
    n_lost: int = 0

    def find(self, piece: np.ndarray, now: int) -> int | None:
        """First sample of a piece [k]; None where it is not what was said.

        Args:
            now: the sample that is being spoken.
        """
        first = self.n
        if self._difference(piece, first) > _SAME:
            # Silence is everywhere alike: it is taken up again with the next sound.
            first = self._search(piece, now) if np.std(piece) > 10 * _SAME else -1
            self.n_jumps, self.n_lost = self.n_jumps + (first >= 0), self.n_lost + (first < 0)
        self.n = (self.n if first < 0 else first) + len(piece)
        return None if first < 0 else first

    def _search(self, piece: np.ndarray, now: int) -> int:
        start = now - _SEARCHED
        around = self._said(start, _SEARCHED)
        squares = correlate(around**2, np.ones(len(piece)), "valid", method="fft")
        best = int(np.argmin(squares - 2 * correlate(around, piece, "valid", method="fft")))
        return start + best if self._difference(piece, start + best) <= _SAME else -1

    def _said(self, first: int, n: int) -> np.ndarray:
        return self.sound[np.arange(first, first + n) % len(self.sound)]

    def _difference(self, piece: np.ndarray, first: int) -> float:
        return float(np.abs(self._said(first, len(piece)) - piece).max())


@dataclass
class Minute:
    """What a minute showed: seconds behind the sound, its last sample, the mouth's opening.

    In arrays: lists would grow by 14 megabytes an hour, for which the session would be blamed.
    """

    delays: array[float] = field(default_factory=lambda: array("d"))
    samples: array[int] = field(default_factory=lambda: array("q"))
    openings: array[float] = field(default_factory=lambda: array("d"))


def long_conversation(portrait, sound: np.ndarray, minutes: float, ppm: float) -> None:
    """``sound`` again and again for so long, a row each minute, then the drift."""
    sound = sound[: len(sound) // PIECE * PIECE]
    session, is_over = portrait.live(is_microphone=True), threading.Event()
    speed, n_pieces = 1 + ppm * 1e-6, int(60 * minutes * RATE_HZ / PIECE)
    feeder = threading.Thread(target=feed, args=(session, sound, is_over, n_pieces, speed))
    place, found, told = Place(sound), [Minute()], 0
    frames = session.frames()
    next(frames)
    feeder.start()
    started, n_frame = time.monotonic(), round(RATE_HZ / session.fps)
    print("minute  delay ms  dropped  skipped  resident MB  load")
    for frame in frames:
        now = time.monotonic() - started
        # Of several frames' sound the last is the one that the picture shows.
        shown = frame.sound[-n_frame:]
        place.n += len(frame.sound) - len(shown)
        first = place.find(shown, int(now * RATE_HZ * speed)) if len(shown) else None
        if first is not None:
            found[-1].delays.append(now - first / RATE_HZ / speed)
            found[-1].samples.append(first + len(shown))
            found[-1].openings.append(float(session._shape[0]))
        if now / 60 >= told + 1 or now / 60 >= minutes:
            told += 1
            tell(told, found[-1], session)
            found.append(Minute())
        if now / 60 >= minutes:
            break
    is_over.set()
    feeder.join()
    say_drift(found[:-1], len(sound), session.fps)
    print(f"sound went on elsewhere {place.n_jumps} times, {place.n_lost} times at no known place")


def tell(minute: int, found: Minute, session) -> None:
    resident = psutil.Process().memory_info().rss / 1e6
    delay = 1000 * np.median(found.delays) if found.delays else np.nan
    print(f"{minute:6} {delay:9.0f} {session.n_dropped:8} {session.n_skipped:8} {resident:12.1f} "
          f"{os.getloadavg()[0]:5.1f}", flush=True)  # fmt: skip


def say_drift(found: list[Minute], n_samples: int, fps: float) -> None:
    """The last tenth against the first, without the first minute, in which the level is found."""
    n = max(1, len(found) // 10)
    early, late = found[1 : 1 + n], found[-n:]
    first, last = (np.median([d for m in part for d in m.delays]) for part in (early, late))
    print(
        f"delay {1000 * first:.0f} -> {1000 * last:.0f} ms: drift {1000 * (last - first):+.1f} ms"
    )
    one, other = (opening(part, n_samples, fps) for part in (early, late))
    lag, correlation = lag_frames(one, other)
    print(f"mouth at the same sound: {1000 * lag / fps:+.1f} ms, correlation {correlation:.3f}")


def opening(part: list[Minute], n_samples: int, fps: float) -> np.ndarray:
    """Opening of the mouth at each frame of the recording; NaN where none was shown."""
    step = RATE_HZ / fps
    total, count = np.zeros((2, int(n_samples / step)))
    pairs = (zip(m.samples, m.openings, strict=True) for m in part)
    for end, value in chain.from_iterable(pairs):
        k = round((end % n_samples) / step) % len(total)
        total[k] += value
        count[k] += 1
    with np.errstate(invalid="ignore"):
        return total / count


def lag_frames(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """How many frames ``other`` comes after ``one`` (of a parabola's top), and the correlation."""

    def correlation(shift: int) -> float:
        moved = np.roll(other, -shift)
        both = ~np.isnan(one) & ~np.isnan(moved)
        return float(np.corrcoef(one[both], moved[both])[0, 1])

    shifts = np.arange(-_MOST_LAG_FRAMES, _MOST_LAG_FRAMES + 1)
    found = np.array([correlation(int(shift)) for shift in shifts])
    k = int(np.clip(np.argmax(found), 1, len(found) - 2))
    below, top, above = found[k - 1 : k + 2]
    return shifts[k] + (below - above) / (2 * (below - 2 * top + above)), float(found[k])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portrait")
    parser.add_argument("speech")
    parser.add_argument("--seconds", type=float, default=60.0, help="of speech in conversations")
    parser.add_argument("--minutes", type=float, help="one conversation of so many minutes")
    parser.add_argument("--ppm", type=float, default=100.0, help="a microphone's clock runs fast")
    arguments = parser.parse_args()
    portrait = open_portrait(arguments.portrait)
    sound = decode_sound(arguments.speech, RATE_HZ)
    print(f"{portrait.width} x {portrait.height} at {portrait.fps:g} fps")
    conversation(portrait, sound[: 5 * RATE_HZ])  # loops are compiled
    if arguments.minutes is None:
        conversations(portrait, sound[: int(arguments.seconds * RATE_HZ)])
    else:
        long_conversation(portrait, sound, arguments.minutes, arguments.ppm)


def conversations(portrait, sound: np.ndarray) -> None:
    """Ten conversations, and the time to draw."""
    found: dict[str, list[float]] = {}
    for piece in np.array_split(sound, 10):
        for name, values in conversation(portrait, piece).items():
            found.setdefault(name, []).extend(values)
    session = portrait.live(is_microphone=True, sleep=lambda seconds: None, clock=lambda: 0.0)
    started = time.perf_counter()
    for tick in range(100):
        session.background.picture(session._kept.portrait, session._next(tick, 1)[0])
    print(f"{'drawing':16} {10 * (time.perf_counter() - started):6.1f} ms a frame")
    for name, values in found.items():
        if name == "dropped frames":
            n_dropped = sum(values)
            print(f"{name:16} {n_dropped} of {n_dropped + len(found['delay'])} that were due")
            continue
        p50, p95, p99 = 1000 * np.percentile(values, (50, 95, 99))
        print(f"{name:16} {p50:6.0f} {p95:6.0f} {p99:6.0f} ms (50, 95, 99 %), {len(values)} values")


if __name__ == "__main__":
    main()
