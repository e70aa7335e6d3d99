"""The lips of a finished portrait of a real clip, drawn from its own speech in noise.

    python benchmarks/noisy_lips.py results/CLIP [...] --noise FILE ... [--every 3]

Noise is mixed into the speech of the whole clip, then it is denoised or not, and every third frame
of the test split is drawn as it is heard then: by the portrait's ear, which heard its speech in
noise too (``speech.noise_training``), and by one that was taught on the clean voice alone. Printed
for each ratio of speech to noise and each denoiser, mean over noises: LMD (pixels at 512) of the
two ears (clean > noise) and what it is more than with the clean voice, and the correlation of the
opening. Faces are found in each drawn frame anew, without a codec. Whisper's weights and those of
DeepFilterNet must lie in ``weights/``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from typing import Literal  # noqa: E402

from benchmarks.finished import Finished, Row, compare, load_finished, moments  # noqa: E402
from benchmarks.hearing import DENOISERS, SNRS_DB  # noqa: E402
from benchmarks.noisy_hearing import noises_for  # noqa: E402
from wildtalker_core.media.audio import read_waveform  # noqa: E402
from wildtalker_core.media.splits import load_split  # noqa: E402
from wildtalker_core.metrics.frame_scores import find_faces  # noqa: E402
from wildtalker_core.mouth.ear import Ear  # noqa: E402
from wildtalker_core.mouth.learning import learn_mouth  # noqa: E402
from wildtalker_core.mouth.options import SpeakingOptions  # noqa: E402
from wildtalker_core.mouth.shape import measure_mouth  # noqa: E402
from wildtalker_core.pretrained.mediapipe_models import FaceMesh  # noqa: E402
from wildtalker_core.speech import mixing  # noqa: E402
from wildtalker_core.speech.options import SpeechSection  # noqa: E402
from workflow_scripts.denoisers import denoiser_of  # noqa: E402
from workflow_scripts.speech.extract_audio_features import (  # noqa: E402
    extract_by_parts,
    make_extractor,
)

Find = Callable[[np.ndarray], np.ndarray]


class Listening:
    """A portrait, the ears that it can have, and where the filmed mouth is.

    Args:
        every: one test frame in so many is drawn.
    """

    def __init__(self, clip_dir: Path, method: str, every: int, find: Find) -> None:
        self.finished = load_finished(clip_dir, method, "original.mss_adaptive")
        self.find, scene = find, self.finished.scene
        self.raw, self.rate_hz = read_waveform(clip_dir / "media" / "speech.wav")
        self.split = load_split(clip_dir / "media" / "split.json")
        self.frames = scene.test_frames[::every]
        self.reference = find_faces([scene.frames[int(i)] for i in self.frames], find)
        own = self.finished.portrait.ear
        self.ears = {"clean": clean_ear(self.finished), "noise": own}
        features: Literal["whisper", "logmel"] = "whisper" if own.n_states > 0 else "logmel"
        self.speech_options = SpeechSection(audio_features=features)
        _, self.extract = make_extractor(self.speech_options)

    def scores(self, speech: np.ndarray, denoiser: str) -> list[tuple[float, float]]:
        """LMD and correlation of each ear."""
        finished, scene = self.finished, self.finished.scene
        quiet = denoiser_of(denoiser, self.speech_options)(speech, self.rate_hz)
        heard = extract_by_parts(self.extract, quiet, self.rate_hz, finished.fps, self.split)
        poses = torch.as_tensor(scene.T_camera_head[self.frames], dtype=torch.float32)
        rows = []
        for ear in self.ears.values():
            finished.portrait.ear = ear
            with torch.no_grad():
                mouth = finished.portrait.hear(
                    torch.as_tensor(heard.audio_features), heard.is_silent, self.frames, poses,
                    finished.fps, SpeakingOptions(),
                )  # fmt: skip
            rows.append(self.drawn(mouth))
        return [(row.lmd_px, row.correlation) for row in rows]

    def drawn(self, mouth: torch.Tensor) -> Row:
        """Scores of mouths [k, n], drawn."""
        told = moments(self.finished, self.frames, mouth)
        portrait, n = self.finished.portrait, len(self.frames)
        pictures = (portrait.picture(told[k])[0] for k in range(n))
        faces = find_faces(((p * 255).round().byte().numpy() for p in pictures), self.find)
        return compare("", self.reference, faces, self.finished.scene.width)

    def print_table(self, paths: list[Path]) -> None:
        scene = self.finished.scene
        print(f"\n{scene.clip}, {len(self.frames)} frames; LMD of an ear taught on the clean voice")
        print("> in noise too (more than with the clean voice); correlations")
        clean = np.array(self.scores(self.raw, "mss_adaptive"))
        print(f"{'clean voice':12s}", cell(clean, clean))
        noises = noises_for(self.raw, paths)
        for snr_db in SNRS_DB:
            for denoiser in DENOISERS:
                mixed = (
                    mixing.mix_at_snr(self.raw, noise, snr_db, self.rate_hz)
                    for noise in noises.values()
                )
                means = np.mean([self.scores(speech, denoiser) for speech in mixed], 0)
                print(f"{snr_db:5g} dB  {denoiser:16s}", cell(means, clean), flush=True)


def cell(scores: np.ndarray, clean: np.ndarray) -> str:
    """Scores [ears, 2] and what they lose."""
    (lmd, correlation), (lmd_noise, correlation_noise) = scores
    lost, lost_noise = scores[:, 0] - clean[:, 0]
    return (
        f"{lmd:.2f} ({lost:+.2f}) > {lmd_noise:.2f} ({lost_noise:+.2f}); "
        f"{correlation:.2f} > {correlation_noise:.2f}"
    )


def clean_ear(finished: Finished) -> Ear:
    """An ear of the portrait's kind that never heard noise."""
    scene, own = finished.scene, finished.portrait.ear
    quiet = replace(scene, noisy_audio_features=None)
    _, features, window = scene.audio_features.shape
    ear = Ear(features, window, len(own.rest), len(scene.mouth_train_frames))
    learn_mouth(ear, quiet, *measure_mouth(scene, len(own.rest)))
    return ear


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dirs", type=Path, nargs="+", help="results/{clip} of finished runs")
    parser.add_argument("--method", default="wildtalker_splats")
    parser.add_argument("--noise", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--every", type=int, default=3, help="draw one test frame in so many")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with FaceMesh(max_faces=1, is_tracking=False) as find:
        for clip_dir in arguments.clip_dirs:
            Listening(clip_dir, arguments.method, arguments.every, find).print_table(
                arguments.noise
            )


if __name__ == "__main__":
    main()
