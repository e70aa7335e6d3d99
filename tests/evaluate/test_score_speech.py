"""The rule for speech: means over parts, the right reference, reasons instead of numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from workflow_scripts.evaluate import score_speech

RATE = 16000


def pair(shared_data) -> tuple[np.ndarray, np.ndarray]:
    pairs = shared_data / "speech/pairs"
    clean, noisy = (
        soundfile.read(pairs / kind / "p232_005.wav", dtype="float32")[0]
        for kind in ("clean", "noisy")
    )
    n = min(len(clean), len(noisy))
    return clean[:n], noisy[:n]


def run(tmp_path, reference, estimate, denoiser: str = "mss") -> dict:
    soundfile.write(tmp_path / "speech.wav", estimate, RATE, subtype="FLOAT")
    identity = {"clip": "c", "denoiser": denoiser}
    score_speech.main(
        str(tmp_path / "speech.wav"), reference, RATE, str(tmp_path / "s.json"), identity, 10.0
    )
    return json.loads((tmp_path / "s.json").read_text())


def test_noise_costs_every_score(shared_data, tmp_path):
    clean, noisy = pair(shared_data)
    milder = run(tmp_path, clean, clean + 0.3 * (noisy - clean))["scores"]
    worse = run(tmp_path, clean, noisy)["scores"]
    for key in ("pesq", "stoi", "csig", "cbak", "covl", "si_sdr_db", "segmental_snr_db"):
        assert milder[key]["value"] > worse[key]["value"], key
        assert milder[key]["backend"]


def test_a_long_recording_is_the_mean_of_its_parts(shared_data, tmp_path):
    """The same utterance four times over (with the cut between two of them)."""
    clean, noisy = pair(shared_data)
    once = run(tmp_path, clean, noisy)
    n_times = max(2, round(20 * RATE / len(clean)))
    many = run(tmp_path, np.tile(clean, n_times), np.tile(noisy, n_times))
    assert once["n_parts"] == 1 and many["n_parts"] == 2
    assert many["scores"]["pesq"]["value"] == pytest.approx(
        once["scores"]["pesq"]["value"], abs=0.3
    )


def test_the_reference_itself_and_silence(shared_data, tmp_path):
    clean, noisy = pair(shared_data)
    perfect = run(tmp_path, clean, clean)["scores"]
    assert perfect["pesq"]["value"] > 4.6 and perfect["csig"]["value"] == 5
    assert perfect["si_sdr_db"]["value"] is None and "infinite" in perfect["si_sdr_db"]["reason"]
    # The table's ground truth is written where nothing was denoised, and nowhere else.
    assert run(tmp_path, clean, noisy, "none")["reference_scores"] == perfect
    assert "reference_scores" not in run(tmp_path, clean, noisy)
    silent = run(tmp_path, np.zeros(RATE * 3, np.float32), np.zeros(RATE * 3, np.float32))
    assert all(score["value"] is None and score["reason"] for score in silent["scores"].values())


def test_lengths_must_agree(tmp_path):
    with pytest.raises(ValueError, match="samples"):
        run(tmp_path, np.ones(100, np.float32), np.ones(99, np.float32))


def test_truth_is_cut_as_the_clip_was(tmp_path):
    """The clip begins at 0.5 s of its source, so does its truth."""
    times = np.arange(3 * RATE) / RATE
    truth = np.where(times >= 0.5, 0.25, 0.0)
    soundfile.write(tmp_path / "truth.flac", truth, RATE)
    manifest = {"sample_rate_hz": RATE, "n_samples": 2 * RATE, "source": {"start_seconds": 0.5}}
    found = score_speech.clean_reference(str(tmp_path / "truth.flac"), "", manifest)
    assert found.shape == (2 * RATE,)
    np.testing.assert_allclose(found, 0.25, atol=0.01)
