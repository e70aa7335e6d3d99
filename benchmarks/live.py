"""Delay of live portraits: real speech, fed in real time in pieces of 20 ms.

    python benchmarks/live.py me.portrait speech.wav [--seconds 60]

Prints percentiles of: the first frame that shows sound after silence; each frame's delay behind the
sound that it shows; time to draw; the mouth at rest after an interruption; dropped frames.
"""

from __future__ import annotations

import argparse
import threading
import time

import numpy as np

from wildtalker_core import open_portrait
from wildtalker_core.media.audio import decode_sound

RATE_HZ, PIECE = 16000, 320


def feed(session, sound: np.ndarray, is_over: threading.Event) -> None:
    """Push ``sound`` as a microphone would: each piece when its last sample was spoken."""
    start = time.monotonic()
    for i in range(len(sound) // PIECE):
        time.sleep(max(0.0, start + (i + 1) * PIECE / RATE_HZ - time.monotonic()))
        session.hear(sound[i * PIECE : (i + 1) * PIECE], RATE_HZ)
        if is_over.is_set():
            return


def conversation(portrait, sound: np.ndarray) -> dict[str, list[float]]:
    """Half a second idle, then ``sound``, then an interruption."""
    session = portrait.live(is_microphone=True)
    found: dict[str, list[float]] = {"first frame": [], "delay": [], "interruption": []}
    is_over, n_shown, spoken_at = threading.Event(), 0, 0.0
    feeder = threading.Thread(target=feed, args=(session, sound, is_over))
    interrupted_at = None
    for k, frame in enumerate(session.frames()):
        now = time.monotonic()
        if k == 12:
            spoken_at = time.monotonic()
            feeder.start()
        elif frame.is_speaking and interrupted_at is None:
            if not n_shown:
                found["first frame"].append(now - spoken_at)
            found["delay"].append(now - spoken_at - (n_shown + session.n_skipped) / session.fps)
            n_shown += max(1, round(len(frame.sound) / RATE_HZ * session.fps))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portrait")
    parser.add_argument("speech")
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    portrait = open_portrait(arguments.portrait)
    sound = decode_sound(arguments.speech, RATE_HZ)
    pieces = np.array_split(sound[: int(arguments.seconds * RATE_HZ)], 10)
    conversation(portrait, pieces[0])  # loops are compiled
    found: dict[str, list[float]] = {}
    for piece in pieces:
        for name, values in conversation(portrait, piece).items():
            found.setdefault(name, []).extend(values)
    session = portrait.live(is_microphone=True, sleep=lambda seconds: None, clock=lambda: 0.0)
    started = time.perf_counter()
    for tick in range(100):
        session._frame(tick, 1)
    print(f"{portrait.width} x {portrait.height} at {portrait.fps:g} fps, 10 conversations")
    print(f"{'drawing':16} {10 * (time.perf_counter() - started):6.1f} ms a frame")
    for name, values in found.items():
        if name == "dropped frames":
            print(f"{name:16} {sum(values)} of {len(found['delay'])}")
            continue
        p50, p95, p99 = 1000 * np.percentile(values, (50, 95, 99))
        print(f"{name:16} {p50:6.0f} {p95:6.0f} {p99:6.0f} ms (50, 95, 99 %), {len(values)} values")


if __name__ == "__main__":
    main()
