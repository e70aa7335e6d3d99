"""Whisper's features: its own mel spectra, long files as short ones, live as whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.speech.test_encoder_features import voice
from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.whisper import load_whisper
from wildtalker_core.speech import whisper_features as wf
from wildtalker_core.speech.audio_features import log_mel
from wildtalker_core.speech.streaming import StreamingFeatures
from wildtalker_core.speech.whisper_encoder import WhisperEncoder
from wildtalker_core.speech.whisper_features import whisper_features

RATE_HZ = 16000
TINY_EN = "weights/whisper_tiny_en_encoder.safetensors"


class Loudness:
    """An encoder by hand: the mean of the two spectra that a step has."""

    n_mels, width = 80, 2

    def __call__(self, mel: np.ndarray, n_last: int | None = None) -> np.ndarray:
        loud = mel.mean(1).reshape(len(mel), -1, 2).mean(2)
        return np.stack((loud, -loud), -1)[:, -(n_last or loud.shape[1]) :]


@pytest.fixture(scope="module")
def tiny_en(shared_data):
    return load_whisper(shared_data / TINY_EN, 2)


def test_spectra_are_the_published_extractors():
    pytest.importorskip("transformers")
    from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    from transformers import WhisperFeatureExtractor

    waveform = voice(30.0)
    theirs = WhisperFeatureExtractor()(waveform, sampling_rate=RATE_HZ, return_tensors="np")
    theirs = theirs.input_features[0]
    ours = wf.mel_spectra(np.pad(waveform, 200), 80, ceiling=None)
    np.testing.assert_allclose(ours[:, 2:2990], theirs[:, 2:2990], atol=1e-4)


def test_states_are_the_published_encoders(shared_data):
    """At the length that it wants, its last layer's are those of transformers."""
    pytest.importorskip("transformers")
    from safetensors.torch import load_file

    from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    theirs = WhisperEncoder(
        WhisperConfig(
            d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536
        )
    )
    weights = load_file(shared_data / TINY_EN)
    theirs.load_state_dict({k.split("encoder.")[-1]: v.float() for k, v in weights.items()})
    mel = np.random.default_rng(0).standard_normal((1, 80, 3000)).astype("f4")
    with torch.inference_mode():
        whole = theirs.eval()(torch.from_numpy(mel)).last_hidden_state.numpy()
    ours = load_whisper(shared_data / TINY_EN, 4)(mel)
    # Published positions are half floats.
    np.testing.assert_allclose(ours, whole, atol=0.01)


@pytest.mark.parametrize("fps", [25.0, 30.0, 22.13])
@pytest.mark.parametrize("look_ahead", [None, 0.2])
def test_a_click_lies_in_the_middle_of_its_frames_window(fps, look_ahead):
    waveform = 1e-3 * np.random.default_rng(0).standard_normal(round(60 / fps * RATE_HZ))
    for frame in (20, 41):
        at = round((frame + 0.5) / fps * RATE_HZ)
        waveform[at - 100 : at + 100] += 0.3
    found = whisper_features(
        waveform.astype("f4"), RATE_HZ, 60, fps, Loudness(), look_ahead_seconds=look_ahead
    ).audio_features
    assert found.shape == (60, 82, 16)
    for frame in (20, 41):
        loud = found[frame, 80] - found[frame, 80].min()
        assert abs((loud * np.arange(16)).sum() / loud.sum() - 7.5) < 1.0


@pytest.mark.parametrize("n_layers", [0, 1, 2])
def test_the_last_states_are_those_of_all(n_layers):
    torch.manual_seed(0)
    encoder = WhisperEncoder(128, 80, n_layers, True)
    mel = np.random.default_rng(0).normal(size=(2, 80, 60)).astype(np.float32)
    whole = encoder(mel)
    assert whole.shape == (2, 30, 128)
    for n_last in (1, 7, 30):
        np.testing.assert_allclose(encoder(mel, n_last), whole[:, -n_last:], atol=1e-5)


def test_log_mel_is_in_front():
    waveform = voice(3.0)
    found = whisper_features(waveform, RATE_HZ, 75, 25.0, Loudness())
    plain = log_mel(waveform, RATE_HZ, 75, 25.0)
    np.testing.assert_array_equal(found.audio_features[:, :80], plain.audio_features)
    np.testing.assert_array_equal(found.is_silent, plain.is_silent)


@pytest.mark.slow
def test_a_part_of_a_long_file_is_heard_as_it_is_alone(tiny_en):
    """But for what lies out of its context, and for Whisper's numbering of places in a block."""
    waveform, level = voice(70.0), -26.0
    long = whisper_features(waveform, RATE_HZ, 1750, 25.0, tiny_en, level_dbfs=level)
    short = whisper_features(
        waveform[40 * RATE_HZ : 60 * RATE_HZ], RATE_HZ, 500, 25.0, tiny_en, level_dbfs=level
    )
    part = long.audio_features[1000:1500, 80:]
    error = (part - short.audio_features[:, 80:])[125:-125]
    assert np.sqrt((error**2).mean()) < 0.2 * part.std()


def test_the_causal_form_hears_no_more_than_its_look_ahead(tiny_en):
    waveform = voice(4.0)
    options = dict(encoder=tiny_en, look_ahead_seconds=0.2, level_dbfs=-26.0)
    whole = whisper_features(waveform, RATE_HZ, 100, 25.0, **options).audio_features
    changed = waveform.copy()
    changed[round((50.5 / 25 + 0.2) * RATE_HZ) :] = 0.5
    other = whisper_features(changed, RATE_HZ, 100, 25.0, **options).audio_features
    np.testing.assert_allclose(other[:51], whole[:51], atol=1e-5)
    assert np.abs(other[60] - whole[60]).max() > 0.1


@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_live_rows_are_those_of_the_whole_recording(tiny_en, fps):
    waveform = voice(6.0)
    waveform[RATE_HZ : 2 * RATE_HZ] = 0  # a pause
    n_frames = round(6 * fps)
    whole = whisper_features(
        waveform, RATE_HZ, n_frames, fps, tiny_en, look_ahead_seconds=0.2, level_dbfs=-26.0
    )
    stream, rows, silent, at = (
        StreamingFeatures(fps, level_dbfs=-26.0, encoder=tiny_en, look_ahead_seconds=0.2),
        [],
        [],
        0,
    )
    for n in np.random.default_rng(1).integers(1, 3000, 200):
        told = stream.push(waveform[at : at + n])
        rows.append(told.audio_features)
        silent.append(told.is_silent)
        at += n
        heard_seconds = min(at, len(waveform)) / RATE_HZ
        n_told = sum(map(len, rows))
        assert (n_told + 0.5) / fps + 0.2 > heard_seconds - 1e-3  # nothing is held back
    rows, silent = np.concatenate(rows), np.concatenate(silent)
    assert len(rows) > n_frames - 0.25 * fps
    np.testing.assert_allclose(rows, whole.audio_features[: len(rows)], atol=2e-3)
    np.testing.assert_array_equal(silent, whole.is_silent[: len(rows)])
    assert silent.any() and not silent.all()
    assert len(stream._samples) < 5 * RATE_HZ  # and forgets what it needs no more


@pytest.mark.parametrize(
    ("held", "named"),
    [
        ({"x": torch.zeros(3)}, "is no Whisper encoder"),
        ({"model_state_dict": torch.zeros(3)}, "is no Whisper encoder"),
        ({"model_state_dict": {"decoder.ln.weight": torch.zeros(3)}}, "is no Whisper encoder"),
        (torch.zeros(3), "holds no tensors by name"),
    ],
)
def test_a_checkpoint_of_something_else_is_named(tmp_path, held, named):
    torch.save(held, tmp_path / "other.pt")
    with pytest.raises(InputError, match=named):
        load_whisper(tmp_path / "other.pt", 2)


def test_what_is_no_whisper_is_named(tmp_path, shared_data):
    with pytest.raises(InputError, match="does not exist"):
        load_whisper(tmp_path / "absent.safetensors", 2)
    with pytest.raises(InputError, match="is no Whisper encoder"):
        from safetensors.numpy import save_file

        save_file({"x": np.zeros(3, "f4")}, tmp_path / "other.safetensors")
        load_whisper(tmp_path / "other.safetensors", 2)
    with pytest.raises(InputError, match="has the layers 0 to 4"):
        load_whisper(shared_data / TINY_EN, 5)
