"""Scores as score_render and score_speech write them, for two clips and a handful of methods."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_scripts.score_tables import (
    MORE_COLUMNS,
    MOVEMENT_COLUMNS,
    SPEECH_COLUMNS,
    TABLE1_COLUMNS,
)

ABSENT = {
    "lpips": "no backbone weights (evaluate.lpips_weights)",
    "lse_c": "no SyncNet weights (evaluate.syncnet_weights)",
    "lse_d": "no SyncNet weights (evaluate.syncnet_weights)",
}
MADE_WITH = {
    "commit": "0123456789",
    "code_digest": "c0de",
    "config_digest": "c0f1",
    "python": "3.11",
    "versions": {"torch": "2.13.0"},
    "system": "Linux",
    "cpu": "a processor",
    "n_cores": 2,
    "gpu": "none",
}


def video_score(clip: str, method: str, setting: str, level: float) -> dict[str, Any]:
    """All scores at ``level``; higher is better for PSNR, so a test can tell rows apart."""
    keys = {column.key for column in (*TABLE1_COLUMNS, *MORE_COLUMNS, *MOVEMENT_COLUMNS)}
    scores = {key: {"value": level, "backend": "own"} for key in sorted(keys)}
    for key, reason in ABSENT.items():
        scores[key] = {"value": None, "backend": None, "reason": reason}
    if method in ("ground_truth", "mean_frame"):
        reason = "nothing is trained here"
        scores["training_hours"] = {"value": None, "backend": None, "reason": reason}
    return {
        "clip": clip,
        "method": method,
        "setting": setting,
        "seed": 0,
        "kind": "baseline" if method in ("ground_truth", "mean_frame") else "nerf",
        "mode": "portrait",
        "device": "cpu",
        "training_device": "cpu",
        "n_frames": 50,
        "n_faceless_frames": 3 if method == "no_mss" else 0,
        "scores": scores,
    }


def speech_score(clip: str, speech: str, denoiser: str, level: float) -> dict[str, Any]:
    scores = {c.key: {"value": level, "backend": "own"} for c in SPEECH_COLUMNS}
    own = {c.key: {"value": 4.6, "backend": "own"} for c in SPEECH_COLUMNS}
    return {
        **({"reference_scores": own} if denoiser == "none" else {}),
        "clip": clip,
        "speech": speech,
        "denoiser": denoiser,
        "reference": "known clean speech",
        "scores": scores,
    }


METHODS = {"ground_truth": 45.0, "mean_frame": 20.0, "wildtalker": 30.0, "no_mss": 28.0}


@pytest.fixture
def video_scores() -> list[dict[str, Any]]:
    scores = [
        video_score(clip, method, "self_driven", level + 2 * (clip == "bert"))
        for clip in ("anna", "bert")
        for method, level in METHODS.items()
    ]
    return scores + [
        video_score(clip, method, "drive_greeting", 1.0)
        for clip in ("anna", "bert")
        for method in ("wildtalker", "no_mss")
    ]


@pytest.fixture
def speech_scores() -> list[dict[str, Any]]:
    return [
        speech_score("anna", speech, denoiser, level)
        for speech in ("original", "cafe")
        for denoiser, level in (("none", 2.0), ("mss", 2.5))
    ]


@pytest.fixture
def made_with() -> dict[str, Any]:
    return dict(MADE_WITH)
