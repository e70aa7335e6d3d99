"""A portrait that listens: pieces of sound in, frames with time stamps out, in step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.pose_order import back_and_forth
from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.live.backgrounds import Background
from wildtalker_core.live.listening import Listener
from wildtalker_core.live.manner import Manner
from wildtalker_core.live.portrait_file import Kept
from wildtalker_core.mouth.blinks import BLINK_CHANNELS, Blinking

# ASSUME as in mouth.rest, but nobody knows when the next word comes: the mouth opens in 0.2 s. Its
# first step stays below a pixel at 512; with 0.1 s it had up to three.
_HOLD_SECONDS, _CLOSING_SECONDS, _OPENING_SECONDS = 0.3, 0.25, 0.2
#: An interrupted mouth is at rest after this.
_INTERRUPTED_SECONDS = 0.08
#: Sound that ends in mid-window is finished with silence after this.
_PATIENCE_SECONDS = 0.15
#: Frames that are heard before they are due.
_EARLY_ROWS = 3
#: Of a microphone more than so many frames waiting are passed over.
_MOST_BEHIND = 2
_MOST_WAITING_SECONDS = 120.0


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        time_seconds: since the first one, by the session's clock; a multiple of 1 / fps.
        picture: RGB, or RGBA with background alpha.
        sound: at 16 kHz, that is to be heard with it; empty where nobody speaks.
        is_speaking: whether it shows sound that was heard.
    """

    time_seconds: float
    picture: UInt8[np.ndarray, "height width 3"] | UInt8[np.ndarray, "height width 4"]
    sound: Float32[np.ndarray, "k"]
    is_speaking: bool


class Session:
    """One conversation. :meth:`hear` and :meth:`interrupt` may be called from other threads.

    Args:
        gain: factor of the mouth's motion.
        is_microphone: the sound comes as fast as it is spoken: frames that lag are passed over.
            False for a voice that is made faster than it is heard: it waits.
        manner: of head and blinks; :attr:`manner` can be set anew.
        clock, sleep: seconds; replaced in tests.
    """

    def __init__(
        self,
        kept: Kept,
        background: Background,
        gain: float,
        is_microphone: bool,
        manner: Manner = Manner(),  # noqa: B008, frozen
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kept, self.fps = kept, kept.fps
        self.background, self.gain, self.is_microphone = background, gain, is_microphone
        self._clock, self._sleep = clock, sleep
        self._listener = Listener(kept.live_ear, kept.hearing, kept.fps, kept.encoder)
        self._seed, self._lock = seed, threading.Lock()
        self.manner = manner
        self._heard_at = clock()
        self._shape = kept.live_ear.rest.clone()
        self._n_silent, self._closed, self._is_interrupted = 10**6, 1.0, False
        self._is_open, self._is_late, self._n_passing = True, False, 0
        #: Frames that were due and not drawn, and frames of sound that were passed over.
        self.n_dropped = self.n_skipped = 0

    @property
    def manner(self) -> Manner:
        """How head and blinks move."""
        return self._manner

    @manner.setter
    def manner(self, manner: Manner) -> None:
        loop = manner.moments(self._kept.loop)
        blinking = Blinking(manner.blinking(self._kept.blinks), self.fps, self._seed)
        with self._lock:
            self._manner, self._loop, self._blinking = manner, loop, blinking
            self._turns = matrix_to_axis_angle(loop.T_camera_head[:, :3, :3])

    def hear(self, pcm: np.ndarray, sample_rate_hz: int) -> None:
        """Take the next samples [k] or [k, channels], int16 or float in [-1, 1], of any rate.

        Raises ValueError: NaN, no sound's shape or rate. InputError: two minutes are waiting.
        """
        with self._lock:
            if self._listener.seconds_waiting > _MOST_WAITING_SECONDS:
                raise InputError(
                    "live session", "has two minutes of sound waiting", "send it as it is shown"
                )
            self._listener.push(pcm, sample_rate_hz)
            self._heard_at = self._clock()
        self._prepare()

    def _prepare(self) -> None:
        """Hear what the next frames show, beside the drawing of this one."""
        with self._lock:
            # Who is late hears for the frame alone that is likely to be shown next.
            n_rows = 1 if self._is_late else _EARLY_ROWS
            self._listener.prepare(self._n_passing, n_rows)

    @property
    def seconds_waiting(self) -> float:
        """Sound that was heard and not shown."""
        with self._lock:
            return self._listener.seconds_waiting

    def interrupt(self) -> None:
        """Forget what was heard and not shown; the mouth goes to its rest at once."""
        with self._lock:
            self._listener.clear()
            self._is_interrupted = True

    def close(self) -> None:
        """End :meth:`frames`."""
        self._is_open = False

    def frames(self) -> Iterator[Frame]:
        """Frames at their times, until :meth:`close`; who asks too late misses some."""
        start, tick = self._clock(), 0
        began, worker = start, ThreadPoolExecutor(1)
        try:
            while self._is_open:
                now, due = self._clock(), start + tick / self.fps
                late = now - due
                self._is_late = late >= 0
                if late < 0:
                    self._sleep(-late)
                # ASSUME the next frame takes as long as the last one.
                n_next = (max(0.0, late) % (1 / self.fps) + now - began) * self.fps - 1
                began, self._n_passing = self._clock(), max(0, int(n_next))
                n_late = max(0, int(late * self.fps))
                self.n_dropped += n_late
                tick += n_late
                moment, sound, speaks = self._next(tick, 1 + n_late)
                prepared = worker.submit(self._prepare)
                picture = self.background.picture(self._kept.portrait, moment)
                yield Frame(tick / self.fps, picture, sound, speaks)
                prepared.result()
                tick += 1
        finally:
            worker.shutdown()

    def _next(self, tick: int, n_ticks: int) -> tuple[Moment, Float32[np.ndarray, "k"], bool]:
        """What the frame of ``tick`` shows, its sound, and whether anybody speaks in it.

        Args:
            n_ticks: frames since the last one that was shown.
        """
        place = int(back_and_forth_at(len(self._turns), tick))
        with self._lock:
            turns = [None] * (n_ticks - 1) + [self._turns[place]]
            steps = [self._step(turn, n_ticks - 1 - i) for i, turn in enumerate(turns)]
            blink = [self._blinking.next() for _ in range(n_ticks)][-1]
            moment = self._loop[place]
        expression = moment.expression.clone()
        expression[list(BLINK_CHANNELS)] = torch.as_tensor(blink, dtype=torch.float32)
        ease = self._closed**2 * (3 - 2 * self._closed)
        mouth = torch.lerp(self._shape, self._kept.live_ear.rest, ease)
        moment = replace(moment, mouth=mouth, expression=expression)
        sound = np.concatenate([sound for sound, _ in steps])
        return moment, sound, any(speaks for _, speaks in steps)

    def _step(
        self, turn: Float[torch.Tensor, "3"] | None, n_left: int
    ) -> tuple[Float32[np.ndarray, "k"], bool]:
        """Move the mouth by one frame; its sound, and whether there is any.

        Args:
            turn: of the head that is shown; None where the frame is not.
            n_left: frames that are due, too, and take their sound after this one.
        """
        listener = self._listener
        sound, is_silent, speaks = np.zeros(0, np.float32), True, False
        if not listener.n_ready and self._clock() - self._heard_at > _PATIENCE_SECONDS:
            listener.finish()
        while self.is_microphone and listener.n_ready > _MOST_BEHIND + n_left:
            listener.skip()
            self.n_skipped += 1
        if listener.n_ready:
            if turn is None:
                is_silent, sound = listener.skip()
            else:
                self._shape, is_silent, sound = listener.take(turn, self.gain)
            is_silent = is_silent and listener.is_silent_until(2)
            self._is_interrupted, speaks = False, True
        self._n_silent = self._n_silent + 1 if is_silent else 0
        if self._is_interrupted:
            self._closed += 1 / max(1.0, _INTERRUPTED_SECONDS * self.fps)
        elif self._n_silent > _HOLD_SECONDS * self.fps:
            self._closed += 1 / (_CLOSING_SECONDS * self.fps)
        elif not is_silent:
            self._closed -= 1 / (_OPENING_SECONDS * self.fps)
        self._closed = min(1.0, max(0.0, self._closed))
        return sound, speaks


def back_and_forth_at(n_poses: int, tick: int) -> int:
    """The ``tick``-th of :func:`back_and_forth`, without what comes before it."""
    period = max(1, 2 * (n_poses - 1))
    return int(back_and_forth(n_poses, tick % period + 1)[-1])
