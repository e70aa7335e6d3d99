"""Windows of encoders: their time, their pieces, DeepSpeech's inputs, and weights that lack."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from tests.speech.made_encoders import save_tiny_deepspeech, save_tiny_hf
from wildtalker_core.errors import InputError
from wildtalker_core.media.splits import Split, save_split
from wildtalker_core.pretrained.audio_encoders import load_deepspeech, load_hf_encoder
from wildtalker_core.speech import encoder_features
from wildtalker_core.speech.encoder_features import (
    deepspeech_features,
    deepspeech_inputs,
    frame_windows,
    in_pieces,
    waveform_features,
)
from wildtalker_core.speech.mfcc import mfcc
from wildtalker_core.speech.options import SpeechSection
from workflow_scripts.speech import extract_audio_features

RATE_HZ = 16000


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory):
    pytest.importorskip("transformers")
    return save_tiny_hf(tmp_path_factory.mktemp("hubert"))


@pytest.fixture(scope="module")
def deepspeech_path(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("deepspeech") / "tiny.onnx"
    save_tiny_deepspeech(path)
    return path


def voice(seconds, seed=0):
    """Noise in the rhythm of syllables."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.1 * rng.standard_normal(times.size) * np.sin(8 * times) ** 2).astype(np.float32)


def loudness(waveform):
    """An encoder by hand: the energy of the 25 ms that a step hears, Hann-weighted."""
    views = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::320]
    return (views**2 * np.hanning(400)).sum(axis=1, keepdims=True)


def window_middle(features, frame):
    """Where in a frame's window the energy lies, in steps from its middle."""
    weights = np.abs(features[frame]).sum(axis=0)
    return np.sum(weights * np.arange(16)) / weights.sum() - 7.5


@pytest.mark.parametrize("fps", [25.0, 30.0, 22.13])
@pytest.mark.parametrize("delay_seconds", [0.0, 0.04])
def test_click_lies_in_the_middle_of_its_window(fps, delay_seconds):
    for frame in (0, 3, 20, 59):
        waveform = np.zeros(round(60 / fps * RATE_HZ) + RATE_HZ, np.float32)
        at = round(((frame + 0.5) / fps + delay_seconds) * RATE_HZ)
        waveform[at - 8 : at + 8] = 0.5
        features = waveform_features(waveform, RATE_HZ, 60, fps, loudness).audio_features
        seconds = 0.02 * window_middle(features, frame) - delay_seconds
        # Half a frame at 25 fps is 20 ms; steps of 20 ms can be met to 10 ms.
        assert abs(seconds) < 0.0125


def test_windows_are_those_of_16_steps_at_50_hz():
    steps = np.arange(200, dtype=np.float32)[:, None]
    windows = frame_windows(steps, 50, 25.0)
    assert windows.shape == (50, 1, 16)
    np.testing.assert_array_equal(np.diff(windows[:, 0], axis=1), 1)  # consecutive steps
    np.testing.assert_array_equal(np.diff(windows[:, 0], axis=0), 2)  # two steps a frame


def test_pieces_are_whole_and_in_order():
    def run(first, last):
        return np.arange(first, last, dtype=np.float32)[:, None]

    for n_steps in (1, 999, 1000, 1001, 1500, 2337):
        np.testing.assert_array_equal(in_pieces(n_steps, run)[:, 0], np.arange(n_steps))


def test_a_long_recording_has_the_features_of_its_parts(hf_folder, monkeypatch):
    """HuBERT attends to everything: pieces with context must come near to one run of the whole."""
    encode = load_hf_encoder(str(hf_folder), -1)
    waveform = voice(16.0)
    whole = waveform_features(waveform, RATE_HZ, 400, 25.0, encode).audio_features
    # The function itself: the tests wrap it in checks of its annotations.
    monkeypatch.setattr(inspect.unwrap(in_pieces), "__defaults__", (100, 100))
    pieces = waveform_features(waveform, RATE_HZ, 400, 25.0, encode).audio_features
    spread = np.std(whole, axis=(0, 2)).mean()
    assert np.abs(pieces - whole).mean() < 0.02 * spread
    assert np.abs(pieces - whole).max() > 0  # it was run in pieces
    # Beyond the context a later change is not heard at all.
    changed = waveform.copy()
    changed[-RATE_HZ:] = changed[-RATE_HZ:][::-1]
    again = waveform_features(changed, RATE_HZ, 400, 25.0, encode).audio_features
    np.testing.assert_allclose(again[:200], pieces[:200], atol=1e-4)


@pytest.mark.parametrize("family", ["hubert", "wav2vec2"])
def test_hf_checkpoint_from_disk(family, tmp_path):
    pytest.importorskip("transformers")
    folder = save_tiny_hf(tmp_path / family, family)
    results = {
        layer: waveform_features(voice(2.0), RATE_HZ, 50, 25.0, load_hf_encoder(str(folder), layer))
        for layer in (0, 1, 2, -1)
    }
    for features in results.values():
        assert features.audio_features.shape == (50, 24, 16)
        assert features.audio_features.dtype == np.float32
        assert np.isfinite(features.audio_features).all()
    np.testing.assert_array_equal(results[2].audio_features, results[-1].audio_features)
    assert np.abs(results[0].audio_features - results[1].audio_features).max() > 1e-3


def test_hf_hears_a_change_where_it_is(hf_folder):
    encode = load_hf_encoder(str(hf_folder), 0)
    voices = [voice(3.0) for _ in range(2)]
    at = round(40.5 / 25 * RATE_HZ)
    voices[1][at - 100 : at + 100] *= -1  # as loud as before
    a, b = (waveform_features(w, RATE_HZ, 75, 25.0, encode).audio_features for w in voices)
    # The positional convolution of 16 steps spreads a little of it over its neighbours.
    assert abs(window_middle((b - a) ** 2, 40)) < 1.0


@pytest.mark.parametrize("gain", [0.05, 2.0])
def test_loudness_changes_nothing(hf_folder, deepspeech_path, gain):
    encode, recognise = load_hf_encoder(str(hf_folder), -1), load_deepspeech(deepspeech_path)
    for extract, run in ((waveform_features, encode), (deepspeech_features, recognise)):
        plain, scaled = (
            extract(w, RATE_HZ, 50, 25.0, run) for w in (voice(2.0), gain * voice(2.0))
        )
        np.testing.assert_allclose(plain.audio_features, scaled.audio_features, atol=2e-3)
        np.testing.assert_array_equal(plain.is_silent, scaled.is_silent)


def test_silence_is_finite_and_marked(hf_folder, deepspeech_path):
    encode, recognise = load_hf_encoder(str(hf_folder), -1), load_deepspeech(deepspeech_path)
    for extract, run in ((waveform_features, encode), (deepspeech_features, recognise)):
        features = extract(np.zeros(RATE_HZ, np.float32), RATE_HZ, 25, 25.0, run)
        assert features.is_silent.all() and np.isfinite(features.audio_features).all()


def test_mfcc_against_the_sums_of_its_definition():
    """One frame, every sum written out."""
    rng = np.random.default_rng(0)
    waveform = rng.uniform(-0.5, 0.5, 400).astype(np.float32)
    x = waveform.astype(float) * 32768
    x = np.concatenate([x[:1], x[1:] - 0.97 * x[:-1]])
    bins = np.arange(257)
    transform = np.exp(-2j * np.pi * bins[:, None] * np.arange(400) / 512) @ x
    power = np.abs(transform) ** 2 / 512
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    corners = [int(513 * 700 * (10 ** (m / 2595) - 1) / 16000) for m in mels]
    bands = np.zeros(26)
    for j in range(26):
        a, b, c = corners[j : j + 3]
        for i in range(a, b):
            bands[j] += power[i] * (i - a) / (b - a)
        for i in range(b, c):
            bands[j] += power[i] * (c - i) / (c - b)
    expected = []
    for n in range(26):
        angles = np.cos(np.pi * n * (2 * np.arange(26) + 1) / 52)
        value = np.sum(np.log(bands) * angles) * np.sqrt((1 if n == 0 else 2) / 26)
        expected.append(value * (1 + 11 * np.sin(np.pi * n / 22)))
    expected[0] = np.log(power.sum())
    np.testing.assert_allclose(mfcc(waveform)[0], expected, rtol=1e-6)
    assert mfcc(np.zeros(401, np.float32)).shape == (2, 26)  # a started step is filled with zeros


def test_deepspeech_inputs_are_windows_of_normalised_cepstra():
    inputs = deepspeech_inputs(voice(1.0))
    assert inputs.shape == (50, 494) and inputs.dtype == np.float32
    assert abs(inputs.mean()) < 1e-4 and abs(inputs.std() - 1) < 1e-3
    windows = inputs.reshape(50, 19, 26)
    np.testing.assert_array_equal(windows[1:, 8], windows[:-1, 9])  # the neighbour before
    np.testing.assert_array_equal(windows[:-1, 10], windows[1:, 9])  # and after
    assert np.ptp(windows[0, :9]) == 0  # beyond the beginning


def test_deepspeech_file_runs(deepspeech_path):
    inputs = deepspeech_inputs(voice(1.0))
    logits = load_deepspeech(deepspeech_path)(inputs)
    assert logits.shape == (50, 29)
    np.testing.assert_allclose(logits[:, :26], inputs.reshape(50, 19, 26)[:, 9], atol=1e-5)
    features = deepspeech_features(
        voice(1.0), RATE_HZ, 25, 25.0, load_deepspeech(deepspeech_path)
    ).audio_features
    assert features.shape == (25, 29, 16)


def test_deepspeech_hears_a_click_where_it_is(deepspeech_path):
    waveform = 1e-4 * voice(3.0)
    at = round(40.5 / 25 * RATE_HZ)
    waveform[at - 8 : at + 8] += 0.3
    features = deepspeech_features(
        waveform, RATE_HZ, 75, 25.0, load_deepspeech(deepspeech_path)
    ).audio_features
    energy = features[40, 0] - np.median(features[40, 0])  # logit 0 is the log energy
    assert abs(np.sum(np.arange(16) * energy**2) / np.sum(energy**2) - 7.5) <= 1.0


def test_weights_that_lack_or_are_wrong(tmp_path, hf_folder):
    with pytest.raises(InputError, match="names no checkpoint.*give the folder"):
        load_hf_encoder(None, -1)
    with pytest.raises(InputError, match=r"config\.json is not there"):
        load_hf_encoder(str(tmp_path), -1)
    with pytest.raises(InputError, match="layers 0 to 2"):
        load_hf_encoder(str(hf_folder), 3)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="no encoder of speech"):
        load_hf_encoder(str(tmp_path / "other"), -1)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text((hf_folder / "config.json").read_text())
    with pytest.raises(InputError, match="copy the checkpoint here"):
        load_hf_encoder(str(tmp_path / "broken"), -1)
    with pytest.raises(InputError, match="names no file.*export"):
        load_deepspeech(None)
    with pytest.raises(InputError, match="does not exist"):
        load_deepspeech(tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(InputError, match="ONNX"):
        load_deepspeech(tmp_path / "noise.onnx")
    save_tiny_deepspeech(tmp_path / "other.onnx", n_inputs=260)
    with pytest.raises(InputError, match="494"):
        load_deepspeech(tmp_path / "other.onnx")


def test_rule_writes_any_backend(tmp_path, hf_folder, deepspeech_path):
    soundfile.write(tmp_path / "speech.wav", voice(2.0), RATE_HZ)
    facts = {"fps": 25.0, "n_frames": 50, "n_samples": 2 * RATE_HZ}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    save_split(tmp_path / "split.json", Split((40, 45, 50), np.ones(50, bool)))
    options = SpeechSection(
        look_ahead_seconds=0.2,
        hf_model=str(hf_folder),
        hf_layer=1,
        deepspeech_model=str(deepspeech_path),
    )
    for backend, n_features in (("logmel", 80), ("hf", 24), ("deepspeech", 29)):
        extract_audio_features.main(
            str(tmp_path / "speech.wav"),
            str(tmp_path / "manifest.json"),
            str(tmp_path / "split.json"),
            str(tmp_path / f"{backend}.npz"),
            replace(options, audio_features=backend),
            str(tmp_path / "speech.wav"),
        )
        with np.load(tmp_path / f"{backend}.npz") as written:
            assert written["audio_features"].shape == (50, n_features, 16)
            assert written["is_silent"].shape == (50,)
            assert str(written["backend"]).startswith(backend)
            assert written["frames_ahead"] == 2
            noisy = written["noisy_audio_features"]
            assert noisy.shape == (40, n_features, 16)  # of the training frames
            assert np.abs(noisy - written["audio_features"][:40]).max() > 0.1


def test_other_rates_are_refused():
    with pytest.raises(ValueError, match="16000"):
        encoder_features.waveform_features(voice(1.0), 8000, 25, 25.0, loudness)
