import numpy as np
import pytest
import soundfile

from tests.media.made_clips import brightness_ramp, run_ffmpeg
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import (
    decode_sound,
    probe_waveform,
    read_waveform,
    read_waveform_blocks,
    write_waveform,
    write_waveform_blocks,
)
from wildtalker_core.media.sound_checks import clipped_share, require_audible
from wildtalker_core.media.video import first_frame_seconds

RATE_HZ = 16000


def clicks(path, seconds=2.0, rate_hz=44100, every_seconds=0.25):
    """Short bursts at 0.1, 0.35, 0.6, ... s."""
    waveform = np.zeros(round(seconds * rate_hz), np.float32)
    for start in np.arange(0.1, seconds - 0.01, every_seconds):
        at = round(start * rate_hz)
        waveform[at : at + rate_hz // 500] = 0.8 * np.sin(np.arange(rate_hz // 500) * 0.7)
    soundfile.write(path, waveform, rate_hz)
    return path


def onsets(waveform):
    loud = np.flatnonzero(np.abs(waveform) > 0.2)
    return loud[np.diff(loud, prepend=-10000) > 1000] / RATE_HZ


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "mov"])
@pytest.mark.parametrize("offset_seconds", [0.0, 0.5, -0.32])
def test_sound_is_aligned_to_the_first_frame(tmp_path, container, offset_seconds):
    """A sound that starts later or earlier than the pictures keeps its instants to 5 ms."""
    ramp = brightness_ramp(tmp_path / "ramp.mp4", "25", 2.0)
    sound = clicks(tmp_path / "clicks.wav")
    path = tmp_path / f"both.{container}"
    # Both are shifted, so that no time stamp need be negative.
    late = (max(0.0, -offset_seconds), max(0.0, offset_seconds))
    run_ffmpeg("-itsoffset", late[0], "-i", ramp, "-itsoffset", late[1], "-i", sound,
               "-c:v", "copy", "-c:a", "aac", "-b:a", "192k", path)  # fmt: skip
    speech = decode_sound(path, RATE_HZ, first_frame_seconds(path), 2.0)
    assert speech.size == 2 * RATE_HZ
    truth = np.arange(0.1, 1.99, 0.25) + offset_seconds
    truth = truth[(truth > 0.01) & (truth < 1.95)]
    np.testing.assert_allclose(onsets(speech), truth, atol=0.005)


def test_hole_in_the_track_becomes_silence(tmp_path):
    ramp = brightness_ramp(tmp_path / "ramp.mp4", "25", 2.0)
    sound = clicks(tmp_path / "clicks.wav")
    path = tmp_path / "holed.mkv"
    run_ffmpeg("-i", ramp, "-i", sound, "-af", "aselect='lt(t,0.5)+gt(t,1.2)'", "-c:v", "copy",
               "-c:a", "pcm_s16le", path)  # fmt: skip
    speech = decode_sound(path, RATE_HZ, first_frame_seconds(path), 2.0)
    np.testing.assert_allclose(onsets(speech), [0.1, 0.35, 1.35, 1.6, 1.85], atol=0.005)


def test_own_length_and_start_of_a_driving_sound(tmp_path):
    sound = clicks(tmp_path / "clicks.wav", seconds=1.5)
    path = tmp_path / "late.mkv"
    run_ffmpeg("-itsoffset", 3, "-i", sound, "-c:a", "flac", path)
    speech = decode_sound(path, RATE_HZ)
    assert abs(speech.size - 1.5 * RATE_HZ) <= 16
    np.testing.assert_allclose(onsets(speech)[0], 0.1, atol=0.005)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_and_stereo_become_mono_16k(tmp_path, rate_hz):
    t = np.arange(rate_hz) / rate_hz
    stereo = np.stack([0.4 * np.sin(2 * np.pi * 500 * t), np.zeros_like(t)], axis=1)
    soundfile.write(tmp_path / "tone.wav", stereo, rate_hz)
    mono = decode_sound(tmp_path / "tone.wav", RATE_HZ)
    assert abs(mono.size - RATE_HZ) <= 1
    middle = mono[4000:12000]
    np.testing.assert_allclose(np.sqrt(2 * np.mean(middle**2)), 0.2, rtol=0.02)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 250


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("shape", [(1000,), (1000, 2)])
def test_waveform_survives_writing(tmp_path, subtype, shape):
    waveform = np.random.default_rng(0).uniform(-0.9, 0.9, shape).astype(np.float32)
    path = tmp_path / "new" / "w.wav"
    write_waveform(path, waveform, 22050, subtype)
    again, rate_hz = read_waveform(path)
    facts = probe_waveform(path)
    assert (rate_hz, facts.subtype, facts.n_samples) == (22050, subtype, 1000)
    step = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-22, "FLOAT": 1e-9}[subtype]
    assert again.shape == shape and np.abs(again - waveform).max() <= step
    blocks = read_waveform_blocks(path, n_samples=300)
    write_waveform_blocks(tmp_path / "b.wav", blocks, 22050, facts.n_channels, subtype)
    np.testing.assert_array_equal(read_waveform(tmp_path / "b.wav")[0], again)


def test_bad_sound_is_named(tmp_path):
    waveform = np.full(8000, 0.1, np.float32)
    waveform[5000] = np.nan
    soundfile.write(tmp_path / "nan.wav", waveform, RATE_HZ, subtype="FLOAT")
    waveform[5000] = np.inf
    soundfile.write(tmp_path / "inf.wav", waveform, 44100, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), RATE_HZ)
    brightness_ramp(tmp_path / "mute.mp4", "25", 0.4)
    for name, problem in {
        "nan.wav": "NaN or infinite", "inf.wav": "NaN or infinite", "text.wav": "not a readable",
        "absent.wav": "does not exist", "empty.wav": "empty audio stream",
        "mute.mp4": "no audio stream",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=problem) as caught:
            decode_sound(tmp_path / name, RATE_HZ)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for name, problem in {
        "nan.wav": "the first is 5000", "text.wav": "not a readable", "empty.wav": "no samples",
        "absent.wav": "does not exist",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=problem):
            read_waveform(tmp_path / name)
    with pytest.raises(ValueError, match="NaN"):
        write_waveform(tmp_path / "out.wav", waveform, RATE_HZ)
    assert not (tmp_path / "out.wav").exists()


def test_silence_is_refused_and_a_whisper_is_not():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(RATE_HZ).astype(np.float32)
    for silent in (np.zeros(RATE_HZ, np.float32), 10 ** (-63 / 20) * noise):
        with pytest.raises(InputError, match="is silent"):
            require_audible(silent, RATE_HZ, "clip.mp4")
    require_audible(10 ** (-50 / 20) * noise, RATE_HZ, "clip.mp4")
    word = np.zeros(RATE_HZ, np.float32)  # one word in a second of silence
    word[4000:6000] = 0.01 * noise[:2000]
    require_audible(word, RATE_HZ, "clip.mp4")


def test_clipping_is_measured_through_a_lossy_codec(tmp_path):
    rng = np.random.default_rng(0)
    rhythm = np.maximum(np.sin(np.arange(5 * 44100) / 44100 * 18), 0) ** 2
    voice = 0.2 * rng.laplace(0, 1, rhythm.size) * rhythm
    voice = 0.95 * voice / np.abs(voice).max()
    for gain, is_clipped in ((1.0, False), (8.0, True)):
        soundfile.write(tmp_path / "v.wav", np.clip(gain * voice, -1, 1), 44100)
        run_ffmpeg("-i", tmp_path / "v.wav", "-c:a", "aac", "-b:a", "192k", tmp_path / "v.m4a")
        share = clipped_share(decode_sound(tmp_path / "v.m4a", RATE_HZ))
        assert (share > 0.0005) == is_clipped
    assert clipped_share(np.zeros(100, np.float32)) == 0.0
