"""A portrait as the video of a LiveKit agent: a generator for ``livekit.agents``' AvatarRunner.

runner = AvatarRunner(room, audio_recv=receiver, video_gen=PortraitVideo(portrait),
                      options=options_of(portrait))
await runner.start()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator

from wildtalker_core.live.talking import TalkingPortrait

SOUND_HZ = 16000
_AHEAD_SECONDS = 5.0


def options_of(portrait: TalkingPortrait) -> AvatarOptions:
    """What the runner has to know of the portrait's pictures and sound."""
    return AvatarOptions(portrait.width, portrait.height, portrait.fps, SOUND_HZ, 1)


class PortraitVideo(VideoGenerator):
    """Hears the agent's voice; gives pictures all the time, and sound with those that speak."""

    def __init__(self, portrait: TalkingPortrait) -> None:
        self._session = portrait.live()
        self._is_ending = False

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        if isinstance(frame, AudioSegmentEnd):
            self._is_ending = True
            return
        while self._session.seconds_waiting > _AHEAD_SECONDS:
            await asyncio.sleep(0.1)
        pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        self._session.hear(pcm, frame.sample_rate)

    def clear_buffer(self) -> None:
        self._is_ending = False
        self._session.interrupt()

    def close(self) -> None:
        """End the iteration."""
        self._session.close()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        frames = self._session.frames()
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            height, width = frame.picture.shape[:2]
            kind = rtc.VideoBufferType.RGB24
            yield rtc.VideoFrame(width, height, kind, frame.picture.tobytes())
            if len(frame.sound):
                pcm = (frame.sound.clip(-1, 1) * 32767).astype(np.int16)
                yield rtc.AudioFrame(pcm.tobytes(), SOUND_HZ, 1, len(pcm))
            elif self._is_ending and not self._session.seconds_waiting:
                self._is_ending = False
                yield AudioSegmentEnd()
