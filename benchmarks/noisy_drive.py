"""What denoising is for: a portrait that learnt from clean speech listens to noisy speech.

    python benchmarks/noisy_drive.py [FOLDER] [--noise FILE ...] [--floor-db -40]

The example, with its known clean voice in place of its sound, is trained in FOLDER (default
results/noisy_drive; about five minutes on two cores, once; the last third of the clip is kept for
testing). Then the voice is mixed with noises (babble and pink noise, or files), denoised or not,
and the head is rendered from it before the hand-free reference. Printed: LMD in pixels at 512, and
the correlation of mouth opening with the truth, by denoiser and ratio of speech to noise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

# Before numpy is imported: the rest is one core's work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ffmpeg
import imageio_ffmpeg
import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.finished import compare  # noqa: E402
from benchmarks.noisy_hearing import noises_for  # noqa: E402
from wildtalker_core.media.audio import read_waveform  # noqa: E402
from wildtalker_core.media.files import load_json  # noqa: E402
from wildtalker_core.metrics.frame_scores import find_faces  # noqa: E402
from wildtalker_core.mouth.options import SpeakingOptions  # noqa: E402
from wildtalker_core.option_types import options_of  # noqa: E402
from wildtalker_core.pretrained.mediapipe_models import FaceMesh  # noqa: E402
from wildtalker_core.scene.body_motion import load_body_motion  # noqa: E402
from wildtalker_core.scene.scene import load_scene  # noqa: E402
from wildtalker_core.speech import mixing  # noqa: E402
from wildtalker_core.speech.denoisers import make_denoiser  # noqa: E402
from wildtalker_core.speech.options import SpeechSection  # noqa: E402
from wildtalker_core.training.build import restore_portrait  # noqa: E402
from workflow_scripts.configuration import complete_config  # noqa: E402
from workflow_scripts.reference import read_reference  # noqa: E402
from workflow_scripts.render.render_portrait import Performance, moments_of, render  # noqa: E402
from workflow_scripts.scene_inputs import scene_files, scene_paths  # noqa: E402
from workflow_scripts.speech.extract_audio_features import make_extractor  # noqa: E402

TRUTH = ROOT / "examples" / "truth"
SNRS_DB = (15.0, 10.0, 5.0)
DENOISERS = ("none", "mss", "mss_adaptive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=ROOT / "results" / "noisy_drive", metavar="FOLDER"
    )
    parser.add_argument("--noise", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--every", type=int, default=2, help="render one test frame in so many")
    parser.add_argument("--floor-db", type=float, default=-40.0, help="speech.logmel_floor_db")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = write_config(arguments.folder, arguments.floor_db)
    listener = train(arguments.folder, config)
    with FaceMesh(max_faces=1, is_tracking=False) as mesh:
        Listening(listener, config, arguments.every, mesh).print_table(arguments.noise)


def write_config(folder: Path, floor_db: float) -> dict:
    """The clip with a clean voice, and a config that trains on it; returns the whole config."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / "clean_voice.mp4"
    if not clip.exists():
        picture = ffmpeg.input(str(ROOT / "examples" / "astronaut.mp4")).video
        speech = ffmpeg.input(str(TRUTH / "clean_speech.flac")).audio
        options = {"vcodec": "copy", "acodec": "aac", "audio_bitrate": "128k", "loglevel": "error"}
        both = ffmpeg.output(picture, speech, str(clip), **options)
        both.run(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    user = {
        "results_dir": str(folder / "results"),
        "clips": {"clip": {"path": str(clip), "truth": str(TRUTH)}},
        "methods": {"listener": {"speech": {"denoiser": "none"}}},
        "speech": {"audio_features": "logmel", "logmel_floor_db": floor_db},
        # 12 seconds are few: a third of them is kept to listen to.
        "media": {"size_px": 192, "train_fraction": 0.67},
        "train": {"preset": "example"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(user))
    return complete_config(user, ROOT / "config")


def train(folder: Path, config: dict) -> Path:
    """Head and lips, by the workflow; returns the clip's results folder."""
    results = Path(config["results_dir"]) / "clip"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
    command += [
        "--configfile",
        str(folder / "config.yaml"),
        "--rerun-triggers",
        "mtime",
        "params",
        "--",
    ]
    subprocess.run(
        [*command, str(results / "train" / "listener" / "lips.safetensors")], cwd=ROOT, check=True
    )
    return results


class Listening:
    """A trained portrait, the truth of its test frames, and the scores of what it hears."""

    def __init__(self, results: Path, config: dict, every: int, find_landmarks) -> None:
        self.find_landmarks = find_landmarks
        self.speech_options = options_of(SpeechSection, config["speech"])
        self.speaking = options_of(SpeakingOptions, config["render"], close_in_silence=False)
        self.scene = load_scene(**scene_paths(scene_files(results, "original.none")))
        self.motion = load_body_motion(results / "scene" / "body_motion.npz")
        self.manifest = load_json(results / "media" / "manifest.json")
        self.portrait, _ = restore_portrait(
            results / "train" / "listener" / "lips.safetensors", "numba", torch.device("cpu")
        )
        self.speech, self.rate_hz = read_waveform(results / "media" / "speech.wav")
        self.frames = self.scene.test_frames[::every]
        truth = read_reference(str(TRUTH / "hand_free.mp4"), self.manifest, self.frames)
        self.truth = find_faces(truth, find_landmarks)

    def print_table(self, noise_paths: list[Path]) -> None:
        print(f"{len(self.frames)} test frames; LMD px at 512 / correlation of mouth opening")
        print(f"{'clean voice':34s}", self.score(self.speech))
        for name, noise in noises_for(self.speech, noise_paths).items():
            for snr_db in SNRS_DB:
                noisy = mixing.mix_at_snr(self.speech, noise, snr_db, self.rate_hz)
                cells = []
                for denoiser in DENOISERS:
                    clean = make_denoiser(denoiser, self.speech_options)(noisy, self.rate_hz)
                    cells.append(f"{denoiser} {self.score(clean)}")
                print(f"{name:26s}{snr_db:5g} dB ", "   ".join(cells), flush=True)

    @torch.no_grad()
    def score(self, speech: np.ndarray) -> str:
        """LMD and opening correlation of the head that hears ``speech``."""
        _, extract = make_extractor(self.speech_options)
        fps = self.manifest["fps"]
        heard = extract(speech, self.rate_hz, self.manifest["n_frames"], fps)
        performance = Performance(self.frames, self.frames, self.scene.expression[self.frames])
        poses = torch.as_tensor(self.scene.T_camera_head[self.frames], dtype=torch.float32)
        mouth = self.portrait.hear(
            torch.as_tensor(heard.audio_features), heard.is_silent, self.frames, poses, fps,
            self.speaking,
        )  # fmt: skip
        moments = moments_of(self.scene, self.motion, performance, mouth)
        pictures = render(
            self.portrait, moments, lambda i: self.scene.hand_free_frames[int(self.frames[i])]
        )
        seen = find_faces(pictures, self.find_landmarks)
        row = compare("", self.truth, seen, self.manifest["size_px"])
        return f"{row.lmd_px:.2f} / {row.correlation:.2f}"


if __name__ == "__main__":
    main()
