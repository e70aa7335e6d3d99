"""A portrait as the video of a Pipecat bot: put it between the voice and the output.

    Pipeline([..., tts, PortraitVideo(portrait), transport.output(), ...])

with ``video_out_enabled`` and the portrait's width, height and frame rate in the transport's
parameters, but not ``video_out_is_live``, which takes pictures past the sound that they belong to.
"""

from __future__ import annotations

import asyncio

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from wildtalker_core.live.talking import TalkingPortrait

SOUND_HZ = 16000
_AHEAD_SECONDS = 5.0


class PortraitVideo(FrameProcessor):
    """Takes the voice's sound out of the pipeline; puts pictures in, and the sound with its own."""

    def __init__(self, portrait: TalkingPortrait) -> None:
        super().__init__()
        self._session = portrait.live()
        self._task: asyncio.Task | None = None
        self._stopped: TTSStoppedFrame | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            while self._session.seconds_waiting > _AHEAD_SECONDS:
                await asyncio.sleep(0.1)
            pcm = np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
            self._session.hear(pcm, frame.sample_rate)
            return
        if isinstance(frame, TTSStoppedFrame):
            self._stopped = frame  # goes on when the last word was shown
            return
        if isinstance(frame, InterruptionFrame):
            self._stopped = None
            self._session.interrupt()
        if isinstance(frame, EndFrame):
            while self._session.seconds_waiting:
                await asyncio.sleep(0.05)
        if isinstance(frame, (EndFrame, CancelFrame)):
            await self._end()
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._task = self.create_task(self._show())

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._end()

    async def _end(self) -> None:
        self._session.close()
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def _show(self) -> None:
        frames = self._session.frames()
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            height, width = frame.picture.shape[:2]
            picture = OutputImageRawFrame(frame.picture.tobytes(), (width, height), "RGB")
            picture.sync_with_audio = True
            await self.push_frame(picture)
            if len(frame.sound):
                pcm = (frame.sound.clip(-1, 1) * 32767).astype(np.int16)
                await self.push_frame(TTSAudioRawFrame(pcm.tobytes(), SOUND_HZ, 1))
            elif self._stopped is not None and not self._session.seconds_waiting:
                stopped, self._stopped = self._stopped, None
                await self.push_frame(stopped)
