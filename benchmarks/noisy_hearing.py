"""How well a mouth that was learnt from clean speech is heard from noisy speech.

    python benchmarks/noisy_hearing.py [--noise FILE ...]   on the example, whose truth is known
    python benchmarks/noisy_hearing.py --clip FOLDER ...    results folders of clips

The first prints the part of the mouth's motion (opening and rounding) that stays unexplained on
the last third of the example, when hearing was learnt from the clean voice of the rest: by noise
(babble, pink, or files), ratio of speech to noise, denoiser and floor of the log-mel features. The
second prints what each floor costs on clean real speech: unexplained motion of the mouth,
cross-validated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from wildtalker_core.geometry.rotations import matrix_to_axis_angle  # noqa: E402
from wildtalker_core.media.audio import decode_sound, read_waveform  # noqa: E402
from wildtalker_core.media.files import load_json  # noqa: E402
from wildtalker_core.mouth.ear import Ear  # noqa: E402
from wildtalker_core.mouth.shape import measure_mouth  # noqa: E402
from wildtalker_core.scene.scene import load_scene  # noqa: E402
from wildtalker_core.speech import mixing  # noqa: E402
from wildtalker_core.speech.audio_features import log_mel  # noqa: E402
from wildtalker_core.speech.denoisers import make_denoiser  # noqa: E402
from wildtalker_core.speech.options import DenoiserOptions  # noqa: E402
from workflow_scripts.scene_inputs import scene_files, scene_paths  # noqa: E402

TRUTH = ROOT / "examples" / "truth"
SNRS_DB = (15.0, 10.0, 5.0, 0.0)
FLOORS_DB = (-40.0, -30.0, -20.0, -15.0)
DENOISERS = ("none", "mss", "mss_adaptive")
RATE_HZ, FPS = 16000, 25.0
TRAIN, TEST = torch.arange(200), torch.arange(210, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--clip", type=Path, nargs="*", default=[], metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for folder in arguments.clip:
        print_clip(folder)
    if not arguments.clip:
        print_example(arguments.noise)


def print_example(noise_paths: list[Path]) -> None:
    speech, _ = read_waveform(TRUTH / "clean_speech.flac")
    with np.load(TRUTH / "truth.npz") as truth:
        filmed = np.stack([truth["mouth_opening"], truth["mouth_rounding"]], 1)
    mouth = torch.as_tensor(filmed / filmed[TRAIN].std(0))
    noises = noises_for(speech, noise_paths)
    for floor_db in FLOORS_DB:

        def features(waveform: np.ndarray, floor_db: float = floor_db) -> torch.Tensor:
            heard = log_mel(waveform, RATE_HZ, len(mouth), FPS, floor_db)
            return torch.as_tensor(heard.audio_features)

        clean = features(speech)
        ear = Ear(clean.shape[1], clean.shape[2], mouth.shape[1], len(TRAIN))
        ear.standardise(clean[TRAIN])
        ear.remember(ear.describe(clean, TRAIN), mouth[TRAIN], 1.0, 0.3)

        def unexplained(heard: torch.Tensor, ear: Ear = ear) -> float:
            still = (mouth[TEST] - mouth[TRAIN].mean(0)).square().mean()
            return ((ear.shapes(heard, TEST) - mouth[TEST]).square().mean() / still).item()

        print(f"floor {floor_db:g} dB: clean voice {unexplained(clean):.2f}", flush=True)
        means: dict[tuple[str, float], list[float]] = {}
        for name, noise in noises.items():
            for snr_db in SNRS_DB:
                noisy = mixing.mix_at_snr(speech, noise, snr_db, RATE_HZ)
                for denoiser in DENOISERS:
                    denoised = make_denoiser(denoiser, DenoiserOptions())(noisy, RATE_HZ)
                    means.setdefault((name, snr_db), []).append(unexplained(features(denoised)))
        rows = dict(means)
        for snr_db in SNRS_DB:
            of_snr = [values for (_, snr), values in means.items() if snr == snr_db]
            rows["mean", snr_db] = np.mean(of_snr, axis=0)
        for (name, snr_db), values in rows.items():
            cells = (f"{d} {v:.2f}" for d, v in zip(DENOISERS, values, strict=True))
            print(f"  {name:24s}{snr_db:5g} dB ", *cells)


def noises_for(speech: np.ndarray, paths: list[Path]) -> dict[str, np.ndarray]:
    """Noises as long as the speech, by name: of these files, or babble and pink noise."""
    rng = np.random.default_rng(0)
    return {
        path.stem: mixing.fit_length(decode_sound(path, RATE_HZ), speech.size, RATE_HZ)
        for path in paths
    } or {
        "babble": mixing.babble_noise(speech, speech.size, rng),
        "pink": mixing.pink_noise(speech.size, rng),
    }


def print_clip(folder: Path) -> None:
    denoised = "original.mss_adaptive"
    scene = load_scene(**scene_paths(scene_files(folder, denoised)))
    fps = load_json(folder / "media" / "manifest.json")["fps"]
    speech, rate_hz = read_waveform(folder / "speech" / denoised / "speech.wav")
    measured, basis = measure_mouth(scene, 8)
    seen = scene.mouth_train_frames
    shapes, importance = (
        torch.as_tensor(x, dtype=torch.float32) for x in (measured, basis.variances)
    )
    turns = matrix_to_axis_angle(torch.as_tensor(scene.T_camera_head[:, :3, :3])).float()
    print(f"{folder}: unexplained motion of the mouth, cross-validated on training frames")
    for floor_db in FLOORS_DB:
        heard = log_mel(speech, rate_hz, scene.n_frames, fps, floor_db)
        features = torch.as_tensor(heard.audio_features)
        ear = Ear(features.shape[1], features.shape[2], shapes.shape[1], len(seen))
        figures = ear.fit(features, turns, shapes, importance, seen)
        print(f"  floor {floor_db:g} dB: {figures['unexplained_variance']:.3f}", flush=True)


if __name__ == "__main__":
    main()
