"""What the ear hears of a mouth, by features: log-mel, layers of Whisper, live forms.

    python benchmarks/hearing.py results/anchor results/congress ... --weights FILE
    python benchmarks/hearing.py results/anchor ... --weights FILE --noise [FILE ...]

Takes clips as far as their head poses (targets ``pose/head_pose.npz`` and
``speech/original.mss_adaptive/audio_features.npz`` under a clip's results); nothing is drawn. A row
of the first table has the part of the mouth's motion that cross-validation over training frames
leaves unexplained, by which features are chosen; and on the test split, which chooses nothing: the
mouth's landmark distance (LMD, 20 points, pixels had the frame been 512 wide), its part that is a
constant
shift of the mouth (nothing heard could change it by much: the mean mouth of those seconds is
another), the correlation of the opening and its spread over the filmed one.

The second mixes noise into the test split's speech, and prints LMD and correlation by its level and
denoiser, of ears that were trained on the clean voice, and on the clean voice and noise (babble and
pink; give others here). ``weights/DeepFilterNet3_onnx.tar.gz`` must be there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.noisy_hearing import noises_for  # noqa: E402
from wildtalker_core.geometry.rotations import matrix_to_axis_angle  # noqa: E402
from wildtalker_core.media.audio import read_waveform  # noqa: E402
from wildtalker_core.media.files import load_arrays, load_json  # noqa: E402
from wildtalker_core.media.splits import load_split  # noqa: E402
from wildtalker_core.mouth.ear import Ear, n_remembered  # noqa: E402
from wildtalker_core.mouth.shape import (  # noqa: E402
    LIPS,
    MouthBasis,
    fit_mouth_basis,
    mouth_points,
    mouth_shapes,
)
from wildtalker_core.person.landmarks import MOUTH_OF_68  # noqa: E402
from wildtalker_core.pretrained.whisper import load_whisper  # noqa: E402
from wildtalker_core.speech import mixing  # noqa: E402
from wildtalker_core.speech.audio_features import LIVE_SECONDS, log_mel  # noqa: E402
from wildtalker_core.speech.options import SpeechSection  # noqa: E402
from wildtalker_core.speech.whisper_features import whisper_features  # noqa: E402
from workflow_scripts.denoisers import denoiser_of  # noqa: E402
from workflow_scripts.speech.extract_audio_features import in_noise  # noqa: E402

SPEECH = "original.mss_adaptive"
LAYERS, N_SHAPES = (0, 1, 2, 3, 4), 5
FILE_FRAMES_AHEAD = 1  # of the live ear in a portrait file
SNRS_DB = (20.0, 10.0, 5.0, 0.0, -5.0, -10.0)
DENOISERS = ("none", "mss", "mss_adaptive", "deepfilternet")

Features = Callable[[np.ndarray, int, float], torch.Tensor]


@dataclass(frozen=True)
class Clip:
    """A clip's mouth and voice; ``shapes`` [n, k], ``turns`` [n, 3], ``points`` [n, p * 2]."""

    name: str
    fps: float
    speech: np.ndarray
    raw_speech: np.ndarray
    rate_hz: int
    points: np.ndarray
    basis: MouthBasis
    shapes: torch.Tensor
    turns: torch.Tensor
    pixels: float  # of a head unit, had the frame been 512 wide
    train: np.ndarray
    test: np.ndarray


def load_clip(folder: Path) -> Clip:
    """Read what the workflow has left of a clip."""
    manifest = load_json(folder / "media" / "manifest.json")
    face = load_arrays(folder / "person" / "landmarks.npz", "landmarks", "is_interpolated")
    pose = load_arrays(folder / "pose" / "head_pose.npz", "T_camera_head", "focal_length")
    speech, rate_hz = read_waveform(folder / "speech" / SPEECH / "speech.wav")
    raw_speech, _ = read_waveform(folder / "media" / "speech.wav")
    size = manifest["size_px"]
    seen = ~face["is_interpolated"]
    split = load_split(folder / "media" / "split.json")
    train, test = (part[seen[part]] for part in (split.frames("train"), split.frames("test")))
    T = pose["T_camera_head"]
    landmarks = face["landmarks"].astype(float)
    points = mouth_points(landmarks, T, float(pose["focal_length"]), size, size, train)
    basis = fit_mouth_basis(points[train], N_SHAPES)
    flat = of_68(points)
    pixels = (flat * landmarks[:, list(MOUTH_OF_68)]).sum() / (flat**2).sum() * 512 / size
    return Clip(
        folder.name, manifest["fps"], speech, raw_speech, rate_hz, points, basis,
        torch.as_tensor(mouth_shapes(points, basis)).float(),
        matrix_to_axis_angle(torch.as_tensor(T[:, :3, :3])).float(),
        pixels, train, test,
    )  # fmt: skip


def of_68(points: np.ndarray) -> np.ndarray:
    """The mouth's 20 points [n, 20, 2] of mouth points [n, p * 2], around their mean."""
    flat = points.reshape(len(points), -1, 2)[:, [LIPS.index(i) for i in MOUTH_OF_68]]
    return flat - flat.mean(1, keepdims=True)


def score(clip: Clip, guess: np.ndarray) -> tuple[float, float, float, float]:
    """LMD, its constant part, correlation and spread of shapes [k, n_shapes] of the test split."""
    estimate, truth = clip.basis.mean + guess @ clip.basis.basis, clip.points[clip.test]
    error = (of_68(estimate) - of_68(truth)) * clip.pixels
    heard = clip.basis.opening(guess)
    filmed = clip.basis.opening(clip.shapes[clip.test].numpy())
    return (
        np.linalg.norm(error, axis=-1).mean(),
        np.linalg.norm(error.mean(0), axis=-1).mean(),
        np.corrcoef(heard, filmed)[0, 1] if heard.std() > 0 else float("nan"),
        heard.std() / filmed.std(),
    )


def features_by_name(weights: Path) -> Iterator[tuple[str, Features, int | None]]:
    """(name, features of a waveform, frames ahead that are heard in live speech)."""

    def plain(waveform: np.ndarray, n: int, fps: float) -> torch.Tensor:
        return torch.as_tensor(log_mel(waveform, 16000, n, fps).audio_features)

    yield "log-mel", plain, None
    for layer in LAYERS:
        yield f"... and layer {layer}", with_states(weights, layer), None
    yield "log-mel, live", plain, FILE_FRAMES_AHEAD
    yield "... layer 2, live", with_states(weights, 2, LIVE_SECONDS), FILE_FRAMES_AHEAD


def with_states(weights: Path, layer: int, look_ahead: float | None = None) -> Features:
    encoder = load_whisper(weights, layer)

    def features(waveform: np.ndarray, n: int, fps: float) -> torch.Tensor:
        heard = whisper_features(waveform, 16000, n, fps, encoder, look_ahead_seconds=look_ahead)
        return torch.as_tensor(heard.audio_features)

    return features


def taught(
    clip: Clip, features: torch.Tensor, ahead: int | None, noisy: torch.Tensor | None = None
) -> tuple[Ear, dict]:
    n_windows = n_remembered(len(clip.train), noisy is not None)
    ear = Ear(features.shape[1], features.shape[2], N_SHAPES, n_windows)
    variances = torch.as_tensor(clip.basis.variances).float()
    return ear, ear.fit(features, clip.turns, clip.shapes, variances, clip.train, ahead, noisy)


def heard(clip: Clip, ear: Ear, features: torch.Tensor) -> np.ndarray:
    test = torch.as_tensor(clip.test)
    return ear.shapes(features, test, clip.turns[test]).double().numpy()


def print_clip(clip: Clip, weights: Path) -> None:
    print(f"{clip.name}: {len(clip.train)} training frames, {len(clip.test)} of the test split")
    heads = ("unexplained", "delay", "LMD px", "shift", "correlation", "spread")
    print(f"{'':20s}", *(f"{head:>11s}" for head in heads))
    mean = clip.shapes[clip.train].double().mean(0).numpy()
    print_row("mean mouth", float("nan"), 0, *score(clip, np.tile(mean, (len(clip.test), 1))))
    for name, features_of, ahead in features_by_name(weights):
        features = features_of(clip.speech, len(clip.shapes), clip.fps)
        ear, chosen = taught(clip, features, ahead)
        print_row(
            name, chosen.get("unexplained_variance", float("nan")), chosen["delay_frames"],
            *score(clip, heard(clip, ear, features)),
        )  # fmt: skip


def print_row(name: str, *figures: float) -> None:
    print(f"{name:20s}", *(f"{figure:11.3f}" for figure in figures), flush=True)


def print_noise(clip: Clip, weights: Path, paths: list[Path]) -> None:
    """LMD of the test split under noise, mean over noises."""
    options = SpeechSection()
    features_of, n = with_states(weights, options.whisper_layer), len(clip.shapes)
    clean = features_of(clip.speech, n, clip.fps)
    noisy = features_of(
        in_noise(clip.raw_speech, clip.rate_hz, "mss_adaptive", options), n, clip.fps
    )
    ears = [taught(clip, clean, None, known)[0] for known in (None, noisy)]
    print(f"{clip.name}: LMD / correlation, each without and with training in noise")
    print("clean      ", *(cell(score(clip, heard(clip, ear, clean))) for ear in ears))
    noises = noises_for(clip.raw_speech, paths)
    for snr_db in SNRS_DB:
        cells = []
        for denoiser in DENOISERS:
            scores = []
            for noise in noises.values():
                mixed = mixing.mix_at_snr(clip.raw_speech, noise, snr_db, clip.rate_hz)
                quiet = denoiser_of(denoiser, options)(mixed, clip.rate_hz)
                features = features_of(quiet, n, clip.fps)
                scores.append([score(clip, heard(clip, ear, features)) for ear in ears])
            cells.append(" ".join([denoiser, *map(cell, np.mean(scores, 0))]))
        print(f"{snr_db:5g} dB  ", "   ".join(cells), flush=True)


def cell(scores: tuple[float, float, float, float]) -> str:
    return f"{scores[0]:.2f} / {scores[2]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", help="results/{clip}")
    parser.add_argument("--weights", type=Path, required=True, help="Whisper's encoder")
    parser.add_argument("--noise", type=Path, nargs="*", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for folder in arguments.clips:
        clip = load_clip(folder)
        if arguments.noise is None:
            print_clip(clip, arguments.weights)
        else:
            print_noise(clip, arguments.weights, arguments.noise)


if __name__ == "__main__":
    main()
