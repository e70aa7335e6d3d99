from typing import get_args

import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.speech.denoisers import (
    check_external,
    denoise_stream,
    make_denoiser,
    stretched,
)
from wildtalker_core.speech.options import DenoiserOptions, Made
from wildtalker_core.speech.spectral_subtraction import Scale

RATE_HZ = 16000
OPTIONS = DenoiserOptions()
#: Without the network (test_deepfilternet).
NAMES = [name for name in get_args(Made) if name != "deepfilternet"]


def recording(seconds, seed=0):
    """A voice-like buzz that comes and goes over noise that grows."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 15))
    is_on = (t > 0.5) & (np.sin(2 * np.pi * 1.3 * t) > 0)
    noise = (0.02 + 0.0005 * t) * rng.standard_normal(t.size)
    return (0.2 * buzz * is_on + noise).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_schema_keeps_shape_and_is_finite(name):
    waveform = recording(2.0)
    denoiser = make_denoiser(name, OPTIONS)
    mono = denoiser(waveform, RATE_HZ)
    assert mono.shape == waveform.shape and np.isfinite(mono).all()
    stereo = denoiser(np.stack([waveform, waveform[::-1]], axis=1), RATE_HZ)
    assert stereo.shape == (waveform.size, 2)
    assert np.std(mono[: RATE_HZ // 2]) <= np.std(waveform[: RATE_HZ // 2]) + 1e-6


def test_none_is_the_input():
    waveform = recording(1.0)
    np.testing.assert_array_equal(make_denoiser("none", OPTIONS)(waveform, RATE_HZ), waveform)


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="mss_adaptive"):
        make_denoiser("magic", OPTIONS)


@pytest.mark.parametrize("name", ["mss", "mss_adaptive", "spectral_subtraction", "log_mmse"])
@pytest.mark.parametrize("n_block", [7000, 200000])
def test_pieces_of_a_long_recording_join_without_a_seam(name, n_block):
    waveform = recording(75.0)
    denoiser = make_denoiser(name, OPTIONS)
    whole = denoiser(waveform, RATE_HZ)
    parts = (waveform[i : i + n_block] for i in range(0, waveform.size, n_block))
    streamed = np.concatenate(list(denoise_stream(parts, denoiser, RATE_HZ)))
    assert streamed.shape == whole.shape
    difference = streamed - whole
    # At least 40 dB below the sound, everywhere.
    for i in range(0, whole.size, RATE_HZ):
        piece = slice(i, i + RATE_HZ)
        assert np.std(difference[piece]) < 0.01 * np.std(whole[piece]), f"second {i // RATE_HZ}"


def test_short_and_empty_streams():
    denoiser = make_denoiser("mss_adaptive", OPTIONS)
    waveform = recording(1.0)
    (one,) = denoise_stream([waveform], denoiser, RATE_HZ)
    np.testing.assert_array_equal(one, denoiser(waveform, RATE_HZ))
    assert list(denoise_stream([], denoiser, RATE_HZ)) == []


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_scales_last_as_long_at_any_rate(rate_hz):
    (scale,) = stretched([Scale(512, 128, 512)], rate_hz)
    assert scale.n_fft / rate_hz == pytest.approx(0.032, rel=0.01)
    assert scale.hop_length / scale.n_fft == pytest.approx(0.25, rel=0.02)
    waveform = recording(1.0)
    for name in ("mss", "mss_adaptive"):
        assert make_denoiser(name, OPTIONS)(waveform, rate_hz).shape == waveform.shape


def test_external_files_must_belong_to_the_speech():
    noisy, path = np.zeros(RATE_HZ, np.float32), "enhanced.wav"
    fitted = check_external(np.ones(RATE_HZ - 100, np.float32), RATE_HZ, noisy, RATE_HZ, path)
    assert fitted.shape == noisy.shape and fitted[-101] == 1 and fitted[-1] == 0
    for enhanced, rate_hz, problem in (
        (np.ones(RATE_HZ // 2, np.float32), RATE_HZ, "8000 samples"),
        (np.ones(RATE_HZ, np.float32), 48000, "48000 Hz"),
        (np.ones((RATE_HZ, 2), np.float32), RATE_HZ, "convert"),
    ):
        with pytest.raises(InputError, match=problem):
            check_external(enhanced, rate_hz, noisy, RATE_HZ, path)
