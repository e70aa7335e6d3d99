"""The examples' adapters against the libraries themselves, each where it is installed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")
from tests.live.test_page_mouth import bright_portrait
from tests.live.test_session import RATE, voice
from wildtalker_core.live.talking import open_portrait
from wildtalker_core.media.audio import write_waveform
from wildtalker_core.media.video import probe

TTS_HZ = 24000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    portrait = bright_portrait(tmp_path_factory.mktemp("adapters"))
    next(portrait.live().frames())  # compiles what draws
    return portrait.name


def pieces(seconds):
    """A voice as int16 bytes at 24 kHz, 20 ms each."""
    pcm = (voice(seconds, rate=TTS_HZ) * 32767).astype("<i2")
    return [part.tobytes() for part in np.split(pcm, range(480, len(pcm), 480))]


def test_gradio(path, tmp_path):
    pytest.importorskip("gradio", reason="gradio is not installed")
    from gradio_client import Client, handle_file

    from examples.adapters.gradio_demo import demo

    write_waveform(tmp_path / "voice.wav", voice(2), RATE)
    page = demo(path)
    try:
        _, address, _ = page.launch(prevent_thread_lock=True, quiet=True)
        client = Client(address, verbose=False, download_files=str(tmp_path))
        said = client.predict(handle_file(tmp_path / "voice.wav"), "", api_name="/say")
        with pytest.raises(Exception, match="give"):
            client.predict(None, "x" * 5000, api_name="/say")
    finally:
        page.close()
    video_path = said["video"] if isinstance(said, dict) else said
    facts = probe(video_path)
    assert (facts.width, facts.height) == (64, 64)
    assert facts.duration_seconds == pytest.approx(2, abs=0.1)


def test_livekit(path):
    """The runner of livekit-agents, with a room that only takes the tracks."""
    pytest.importorskip("livekit.agents", reason="livekit-agents is not installed")
    asyncio.run(livekit_run(open_portrait(path)))


async def livekit_run(portrait):
    from livekit import rtc
    from livekit.agents.voice.avatar import AvatarRunner, QueueAudioOutput

    from examples.adapters.livekit_avatar import PortraitVideo, options_of

    class Room(rtc.EventEmitter):
        """Connected, and everybody who looks has subscribed."""

        tracks = []

        @property
        def local_participant(self):
            return self

        def isconnected(self):
            return True

        async def publish_track(self, track, options):
            self.tracks.append(track)
            return self

        async def wait_for_subscription(self):
            pass

    class Watched(PortraitVideo):
        given = []

        async def __aiter__(self):
            async for frame in super().__aiter__():
                self.given.append(frame)
                yield frame

    voice_out, video = QueueAudioOutput(sample_rate=TTS_HZ), Watched(portrait)
    room = Room()
    runner = AvatarRunner(room, audio_recv=voice_out, video_gen=video, options=options_of(portrait))
    await runner.start()
    heard = []
    for seconds in (1.0, 3.0):
        first = len(video.given)
        for data in pieces(seconds):
            await voice_out.capture_frame(rtc.AudioFrame(data, TTS_HZ, 1, len(data) // 2))
        voice_out.flush()
        if seconds > 1:
            while not any(isinstance(f, rtc.AudioFrame) for f in video.given[first:]):
                await asyncio.sleep(0.05)
            voice_out.clear_buffer()
        heard.append(await asyncio.wait_for(voice_out.wait_for_playout(), 60))
    video.close()
    await runner.aclose()
    assert {type(track) for track in room.tracks} == {rtc.LocalAudioTrack, rtc.LocalVideoTrack}
    assert not heard[0].interrupted and heard[0].playback_position == pytest.approx(1, abs=0.1)
    assert heard[1].interrupted and heard[1].playback_position < 2.9
    shown = [frame for frame in video.given if isinstance(frame, rtc.VideoFrame)]
    assert {(frame.width, frame.height) for frame in shown} == {(64, 64)}
    assert len({bytes(frame.data) for frame in shown}) > 3  # it moves
    at = [i for i, frame in enumerate(video.given) if isinstance(frame, rtc.AudioFrame)]
    assert all(isinstance(video.given[i - 1], rtc.VideoFrame) for i in at)  # each has a picture
    loud = np.concatenate([np.frombuffer(video.given[i].data, np.int16) for i in at])
    assert np.abs(loud).max() > 3000


def test_pipecat(path):
    pytest.importorskip("pipecat", reason="pipecat-ai is not installed")
    asyncio.run(pipecat_run(open_portrait(path)))


async def pipecat_run(portrait):
    from pipecat.frames.frames import (
        InterruptionFrame,
        OutputImageRawFrame,
        TTSAudioRawFrame,
        TTSStartedFrame,
        TTSStoppedFrame,
    )
    from pipecat.tests.utils import SleepFrame, run_test

    from examples.adapters.pipecat_avatar import PortraitVideo

    def words(seconds):
        sound = [TTSAudioRawFrame(data, TTS_HZ, 1) for data in pieces(seconds)]
        return [TTSStartedFrame(), *sound, TTSStoppedFrame()]

    sent = [*words(1), SleepFrame(4.0), *words(8), SleepFrame(4.0), InterruptionFrame(),
            SleepFrame(1.0)]  # fmt: skip
    down, _ = await run_test(PortraitVideo(portrait), frames_to_send=sent)
    kinds = [type(frame) for frame in down]
    before = kinds.index(InterruptionFrame)
    assert kinds.count(TTSStoppedFrame) == 1  # the second sentence was not finished
    stop = kinds.index(TTSStoppedFrame)
    first = np.concatenate(
        [np.frombuffer(f.audio, np.int16) for f in down[:stop] if isinstance(f, TTSAudioRawFrame)]
    )
    assert len(first) == pytest.approx(RATE, rel=0.1) and np.abs(first).max() > 3000
    at = [i for i, kind in enumerate(kinds) if kind is TTSAudioRawFrame]
    for i in at:  # each piece of sound has its picture before it
        earlier = [k for k in kinds[:i] if k in (OutputImageRawFrame, TTSAudioRawFrame)]
        assert earlier[-1] is OutputImageRawFrame
    assert max(at) < before + 5 and min(i for i in at if i > stop) < before
    pictures = [frame for frame in down if isinstance(frame, OutputImageRawFrame)]
    assert {(p.size, p.format, p.sync_with_audio, len(p.image)) for p in pictures} == {
        ((64, 64), "RGB", True, 64 * 64 * 3)
    }
    assert len({picture.image for picture in pictures}) > 3
