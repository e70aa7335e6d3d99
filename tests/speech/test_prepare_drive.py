"""Speech that drives: as recorded, or with a corruption's noise, and always the clean beside it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.speech.mixing import active_power
from workflow_scripts import configuration
from workflow_scripts.speech import prepare_drive

RATE = 16000


@pytest.fixture
def recording(tmp_path):
    """Two seconds at another rate, in stereo."""
    times = np.arange(2 * 22050) / 22050
    tone = 0.4 * np.sin(2 * np.pi * 300 * times) * (np.sin(2 * np.pi * 2 * times) > 0)
    soundfile.write(tmp_path / "hello.wav", np.stack([tone, tone], 1), 22050)
    return str(tmp_path / "hello.wav")


def prepare(recording, tmp_path, corruption, noise_path=None):
    paths = [str(tmp_path / name) for name in ("speech.wav", "clean.wav")]
    prepare_drive.main(recording, noise_path, *paths, RATE, corruption)
    return [read_waveform(path)[0] for path in paths]


def test_without_a_corruption_both_are_the_recording(recording, tmp_path):
    speech, clean = prepare(recording, tmp_path, {})
    np.testing.assert_array_equal(speech, clean)
    assert len(speech) == 2 * RATE


@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_corruption_has_its_ratio_and_the_clean_stays_clean(recording, tmp_path, is_recorded):
    noise_path = None
    corruption = {"noise": "pink", "snr_db": 7.5}
    if is_recorded:
        noise_path = str(tmp_path / "noise.wav")
        soundfile.write(noise_path, 0.1 * np.random.default_rng(0).standard_normal(9000), RATE)
        corruption = {"noise_path": noise_path, "snr_db": 7.5}
    speech, clean = prepare(recording, tmp_path, corruption, noise_path)
    undisturbed, _ = prepare(recording, tmp_path, {})
    np.testing.assert_array_equal(clean, undisturbed)
    gain = speech @ clean / (clean @ clean)  # a mix that would clip is scaled down
    noise = speech / gain - clean
    ratio_db = 10 * np.log10(active_power(clean, RATE) / np.mean(noise**2))
    assert ratio_db == pytest.approx(7.5, abs=0.3)


def test_a_corruption_that_is_not_there_is_named():
    config = {
        "clips": {"me": {"path": "me.mp4"}},
        "drive": {"hi": {"path": "hi.wav", "corruption": "cafe"}},
        "speech": {"corruptions": {"cafes": {"noise": "pink", "snr_db": 5}}},
    }
    with pytest.raises(InputError, match="did you mean cafes"):
        configuration.complete_config(config, ROOT / "config")
    config["drive"] = {"hi": "hi.wav"}
    completed = configuration.complete_config(config, ROOT / "config")
    assert completed["drive"]["hi"] == {"path": "hi.wav", "corruption": None}
