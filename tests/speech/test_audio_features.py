import numpy as np
import pytest

from wildtalker_core.speech.audio_features import N_STEPS, log_mel, mel_matrix

RATE_HZ = 16000


def click_track(frames, n_frames, fps, offset_seconds=0.0):
    """A short burst in the middle of each of the frames, over faint noise."""
    rng = np.random.default_rng(0)
    waveform = 1e-4 * rng.standard_normal(round(n_frames / fps * RATE_HZ))
    for frame in frames:
        at = round(((frame + 0.5) / fps + offset_seconds) * RATE_HZ)
        waveform[at - 16 : at + 16] += rng.uniform(-0.5, 0.5, 32)
    return waveform.astype(np.float32)


@pytest.mark.parametrize("fps", [25.0, 30.0, 22.13])
def test_click_lies_in_the_middle_of_its_frame_s_window(fps):
    clicks = [3, 20, 41, 57]
    result = log_mel(click_track(clicks, 60, fps), RATE_HZ, 60, fps)
    energy = result.audio_features.mean(axis=1)  # [frames, steps]
    for frame in clicks:
        loud = energy[frame] > 0.5 * (energy[frame].max() + energy[frame].min())
        centre = np.flatnonzero(loud).mean()
        # Half a frame is 20 ms at 25 fps, 1.6 steps of 12.5 ms.
        assert abs(centre - (N_STEPS - 1) / 2) < 0.51
        others = [
            energy[f][N_STEPS // 2 - 1 : N_STEPS // 2 + 1].mean() for f in (frame - 2, frame + 2)
        ]
        assert energy[frame][7:9].mean() > max(others) + 0.1
    assert np.flatnonzero(~result.is_silent).tolist() == clicks


def test_known_delay_moves_the_click_by_that_much():
    steps = []
    for delay_seconds in (0.0, 0.025, 0.05):
        features = log_mel(click_track([20], 40, 25.0, delay_seconds), RATE_HZ, 40, 25.0)
        energy = features.audio_features[20].mean(axis=0)
        steps.append(np.flatnonzero(energy > 0.5 * (energy.max() + energy.min())).mean())
    np.testing.assert_allclose(np.diff(steps), 2.0, atol=0.3)  # 25 ms are two steps


def test_shapes_and_neighbouring_windows_agree():
    rng = np.random.default_rng(0)
    waveform = 0.1 * rng.standard_normal(3 * RATE_HZ).astype(np.float32)
    features = log_mel(waveform, RATE_HZ, 75, 25.0).audio_features
    assert features.shape == (75, 80, 16) and features.dtype == np.float32
    # At 40 fps a frame is 25 ms, two steps: the next window is the same, two steps on.
    features = log_mel(waveform, RATE_HZ, 120, 40.0).audio_features
    np.testing.assert_allclose(features[1:, :, :-2], features[:-1, :, 2:], atol=1e-5)


@pytest.mark.parametrize("gain", [0.05, 0.3, 2.0])
def test_loudness_changes_nothing(gain):
    rng = np.random.default_rng(1)
    waveform = (0.1 * rng.standard_normal(RATE_HZ) * np.sin(np.arange(RATE_HZ) / 900)).astype("f4")
    plain, scaled = (log_mel(w, RATE_HZ, 25, 25.0) for w in (waveform, gain * waveform))
    np.testing.assert_allclose(plain.audio_features, scaled.audio_features, atol=1e-4)
    np.testing.assert_array_equal(plain.is_silent, scaled.is_silent)


def test_silence_and_edges_are_the_floor():
    features = log_mel(np.zeros(RATE_HZ, np.float32), RATE_HZ, 25, 25.0)
    assert features.is_silent.all() and (features.audio_features == -1).all()
    rng = np.random.default_rng(0)
    loud = log_mel(rng.standard_normal(RATE_HZ).astype("f4"), RATE_HZ, 25, 25.0)
    assert not loud.is_silent.any()
    assert (loud.audio_features[0][:, :5] == -1).all()  # before the beginning
    assert (loud.audio_features[0][:, -5:] > -0.6).all()


def test_mel_filters_are_flat_for_white_noise_and_ordered():
    matrix = mel_matrix()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-5)
    centres = matrix @ np.arange(401) * 20.0
    assert (np.diff(centres) > 0).all() and centres[0] > 55 and centres[-1] < 7600
    # A mel is linear below 1 kHz and logarithmic above.
    low, high = centres[centres < 900], centres[centres > 1500]
    assert np.ptp(np.diff(low)) < 15
    assert np.ptp(np.diff(np.log(high))) < 0.02


def test_other_rates_are_refused():
    with pytest.raises(ValueError, match="16000"):
        log_mel(np.zeros(8000, np.float32), 8000, 25, 25.0)


def test_what_is_fainter_than_the_floor_does_not_count():
    rng = np.random.default_rng(0)
    voice = 0.1 * np.sin(2 * np.pi * 300 * np.arange(2 * RATE_HZ) / RATE_HZ)
    hiss = 1e-4 * rng.standard_normal(voice.size)  # 57 dB below the voice
    changes = {}
    for floor_db in (-80.0, -20.0):
        alone, with_hiss = (
            log_mel(waveform.astype(np.float32), RATE_HZ, 50, 25.0, floor_db).audio_features
            for waveform in (voice, voice + hiss)
        )
        assert alone.min() == -1.0
        changes[floor_db] = np.abs(with_hiss - alone).max()
    assert changes[-20.0] < 0.02
    assert changes[-80.0] > 0.1
