"""Finished videos: the number of frames is the caller's, whatever the sound and the rate."""

import subprocess
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.media.test_audio import onsets
from wildtalker_core.media import video_writer as video_module
from wildtalker_core.media.audio import decode_sound, write_waveform
from wildtalker_core.media.video import read_video
from wildtalker_core.media.video_writer import VideoWriter

RATES = [24.0, 25.0, 29.97, 30000 / 1001, 30.0, 50.0, 60.0]
RATE_HZ = 16000


def frame_of(number: int, size: int = 64) -> np.ndarray:
    """Its grey level says its number modulo 64."""
    return np.full((size, size, 3), 16 + 3 * (number % 64), np.uint8)


def write(path, fps, n_frames, sound_path=None, **options):
    with VideoWriter(path, fps, sound_path, crf=1, **options) as video:
        for i in range(n_frames):
            video.append(frame_of(i))
    return path


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("n_frames", [1, 2, 3, 7, 23, 31, 48, 61])
def test_count_and_instants_are_the_callers(tmp_path, fps, n_frames):
    """Sound a sample shorter or longer than the picture changes neither."""
    n_samples = round(n_frames / fps * RATE_HZ) + (n_frames % 3 - 1)
    write_waveform(tmp_path / "s.wav", np.full(n_samples, 0.1, np.float32), RATE_HZ)
    path = write(tmp_path / "v.mp4", fps, n_frames, tmp_path / "s.wav")
    frames = list(read_video(path))
    assert [round((float(image.mean()) - 16) / 3) for image, _ in frames] == list(range(n_frames))
    np.testing.assert_allclose([t for _, t in frames], np.arange(n_frames) / fps, atol=1e-3)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == n_frames
        stream = container.streams.audio[0]
        assert stream.duration * stream.time_base == pytest.approx(n_frames / fps, abs=2e-3)


@pytest.mark.parametrize("share", [0.0, 0.4, 3.0])
def test_sound_is_padded_or_cut_to_the_pictures(tmp_path, share):
    """Clicks keep their instants; beyond the sound there is silence."""
    sound = np.zeros(round(share * RATE_HZ) or 1, np.float32)
    for start in range(800, len(sound) - 100, 4000):
        sound[start : start + 60] = 0.8
    write_waveform(tmp_path / "s.wav", sound, RATE_HZ)
    path = write(tmp_path / "v.mp4", 25.0, 25, tmp_path / "s.wav")
    assert len(list(read_video(path))) == 25
    heard = decode_sound(path, RATE_HZ, 0.0)
    assert abs(len(heard) - RATE_HZ) <= 1024
    expected = np.arange(800, min(len(sound), RATE_HZ) - 100, 4000) / RATE_HZ
    np.testing.assert_allclose(onsets(heard), expected, atol=0.003)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 96000, 11111])
def test_sound_of_any_rate_keeps_its_instants(tmp_path, rate_hz):
    sound = np.zeros(rate_hz, np.float32)
    sound[rate_hz // 2 : rate_hz // 2 + rate_hz // 200] = 0.8
    write_waveform(tmp_path / "s.wav", sound, rate_hz)
    path = write(tmp_path / "v.mp4", 30.0, 30, tmp_path / "s.wav")
    np.testing.assert_allclose(onsets(decode_sound(path, RATE_HZ, 0.0))[0], 0.5, atol=0.003)


def test_picture_and_sound_alternate_in_the_file(tmp_path):
    """A player that reads on and on finds each second's sound beside its pictures."""
    write_waveform(tmp_path / "s.wav", np.zeros(4 * RATE_HZ, np.float32), RATE_HZ)
    path = write(tmp_path / "v.mp4", 25.0, 100, tmp_path / "s.wav")
    seen = {"video": 0.0, "audio": 0.0}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                seen[packet.stream.type] = float(packet.dts * packet.time_base)
                assert abs(seen["video"] - seen["audio"]) < 1.5
    assert min(seen.values()) > 3.5


def test_encoder_works_beside_the_caller(tmp_path, monkeypatch):
    """While the encoder is slow, frames are taken without waiting, up to the queue's length."""
    gate = threading.Event()
    add = video_module._add_pictures

    def wait_first(*arguments):
        gate.wait(10)
        return add(*arguments)

    monkeypatch.setattr(video_module, "_add_pictures", wait_first)
    with VideoWriter(tmp_path / "v.mp4", 25.0) as video:
        started = time.perf_counter()
        image = frame_of(0)
        for i in range(VideoWriter.QUEUE):
            image[:] = frame_of(i)  # the caller may use its memory again
            video.append(image)
        assert time.perf_counter() - started < 2
        gate.set()
    levels = [round((float(frame.mean()) - 16) / 3) for frame, _ in read_video(video.path)]
    assert levels == list(range(VideoWriter.QUEUE))


def test_a_failing_encoder_neither_hangs_nor_leaves_a_file(tmp_path, monkeypatch):
    def fail(*arguments):
        raise av.error.InvalidDataError(1094995529, "Invalid data", "x")

    monkeypatch.setattr(video_module, "_add_pictures", fail)
    with (
        pytest.raises(OSError, match="cannot be written"),
        VideoWriter(tmp_path / "v.mp4", 25) as v,
    ):
        for i in range(100):
            v.append(frame_of(i))
    assert list(tmp_path.iterdir()) == []


def test_a_muxer_that_loses_a_frame_is_caught(tmp_path, monkeypatch):
    """The count is read from the finished file."""
    encode = video_module.VideoWriter._encode

    def lose_one(self):
        self._waiting.get()
        encode(self)

    monkeypatch.setattr(video_module.VideoWriter, "_encode", lose_one)
    with pytest.raises(RuntimeError, match="9 frames written of 10"):
        write(tmp_path / "v.mp4", 25.0, 10)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_so(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        rng = np.random.default_rng(0)
        with pytest.raises(OSError) as caught, VideoWriter(disk / "v.mp4", 25.0, crf=1) as video:
            for _ in range(20):
                video.append(rng.integers(0, 256, (256, 256, 3), np.uint8))
        assert caught.value.errno == 28, caught.value
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_rates_are_written_as_they_are(tmp_path):
    for fps in RATES:
        with av.open(str(write(tmp_path / "v.mp4", fps, 5))) as container:
            rate = container.streams.video[0].average_rate
        assert float(rate) == pytest.approx(fps, rel=1e-6)
        assert rate == Fraction(fps).limit_denominator(1001)
