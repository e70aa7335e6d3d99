"""The published network behind our signal processing: what it was trained behind, it must be."""

from __future__ import annotations

import numpy as np
import pytest

from tests.speech.test_encoder_features import voice
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.metrics.speech_quality import si_sdr
from wildtalker_core.pretrained import deepfilternet
from wildtalker_core.pretrained.weight_fetching import fetch
from wildtalker_core.pretrained.weight_registry import REGISTRY
from wildtalker_core.speech.options import DenoiserOptions
from workflow_scripts.denoisers import denoiser_of

FILE = "DeepFilterNet3_onnx.tar.gz"


class Open:
    """Networks that let everything pass: gain 1, and the filter's middle tap 1."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_outputs(self):
        return [type("Output", (), {"name": "emb"})]

    def get_inputs(self):
        return [type("Input", (), {"name": "emb"})]

    def run(self, outputs, feed):
        n_frames = next(iter(feed.values())).shape[2 if self.name == "enc" else 1]
        if self.name == "enc":
            return [np.zeros((1, n_frames, 512))]
        if self.name == "erb_dec":
            return [np.ones((1, 1, n_frames, 32))]
        taps = np.zeros((1, n_frames, 96, 10))
        taps[..., 4] = 1  # the frame itself: third tap of five, real part
        return [taps]


def test_what_the_network_lets_pass_comes_out_as_it_was():
    waveform = voice(1.003)
    sessions = {name: Open(name) for name in ("enc", "erb_dec", "df_dec")}
    np.testing.assert_allclose(deepfilternet._enhance(waveform, sessions), waveform, atol=1e-6)


def test_bands_are_the_publisheds():
    widths = deepfilternet.band_widths()
    assert widths.sum() == 481 and len(widths) == 32
    assert widths[:13].tolist() == [2] * 13 and widths[-1] == 67  # libDF, default state


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / FILE
    try:
        fetch(REGISTRY[FILE], path)
    except InputError as error:
        pytest.skip(f"no source answers: {error}")
    return denoiser_of("deepfilternet", DenoiserOptions(deepfilternet_model=str(path)))


def test_it_denoises_a_real_recording_at_its_rate(network, shared_data):
    name = "p232_005.wav"
    noisy, rate_hz = read_waveform(shared_data / "speech/pairs/noisy" / name)
    clean, _ = read_waveform(shared_data / "speech/pairs/clean" / name)
    denoised = network(noisy, rate_hz)
    assert denoised.shape == noisy.shape and denoised.dtype == noisy.dtype
    assert si_sdr(clean, denoised) > si_sdr(clean, noisy) + 5
    stereo = network(np.stack((noisy, noisy), 1), rate_hz)
    np.testing.assert_allclose(stereo[:, 1], denoised, atol=1e-6)


def test_a_file_that_is_not_it_is_named(tmp_path):
    (tmp_path / FILE).write_bytes(b"other")
    with pytest.raises(InputError, match="does not hold DeepFilterNet 3"):
        denoiser_of("deepfilternet", DenoiserOptions(deepfilternet_model=str(tmp_path / FILE)))
