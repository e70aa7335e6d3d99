"""Make the bundled example again: `python examples/make_example.py [--out DIR] [--synthesise]`.

Writes astronaut.mp4, greeting.wav and truth/ (see README.md). The shipped clean speech is read
back, so no speech synthesiser is needed; `--synthesise` speaks the texts anew with flite.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import soundfile

EXAMPLES_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(EXAMPLES_DIR.parent))

from photograph import build_portrait  # noqa: E402
from situation import Situation, SituationTruth  # noqa: E402
from synthetic_portrait import render_situation  # noqa: E402
from synthetic_speech import mix_at_snr, room_noise  # noqa: E402

from wildtalker_core.robustness.gesture import Gesture  # noqa: E402

SAMPLE_RATE_HZ = 16000
N_FRAMES, FPS, SIZE_PX, SEED = 300, 25, 256, 7
SNR_DB = 6.5
LEAD_SECONDS = 0.44
# ASSUME: a loud but unclipped recording; noise adds to this peak.
CLEAN_PEAK = 0.55

# Each sentence and the pause after it, seconds. Both texts are ours.
SPEECH = (
    ("Hello, and welcome.", 0.40),
    ("Today I tell you a small story about space.", 0.42),
    ("Long ago, people looked up at the moon, and wondered who might live there.", 0.40),
    ("Thank you for listening.", 0.0),
)
GREETING = "Good evening. How are you today? I am happy to meet you."

GESTURES = (
    Gesture(
        "held_hand", "left", start_seconds=0.95, duration_seconds=2.75, target_px=(84.0, 222.0)
    ),
    Gesture(
        "fast_wave", "right", start_seconds=4.55, duration_seconds=1.75, target_px=(178.0, 226.0)
    ),
    Gesture("beat", "left", start_seconds=6.95, duration_seconds=1.65, target_px=(92.0, 232.0)),
    Gesture(
        "slow_entry", "right", start_seconds=9.15, duration_seconds=2.55, target_px=(170.0, 224.0)
    ),
)


def _speak(text: str, voice: str) -> np.ndarray:
    """Speech [samples] at 16 kHz from flite, silence trimmed at both ends."""
    flite = shutil.which("flite")
    if flite is None:
        raise SystemExit(
            "flite is not installed: run without --synthesise to use the shipped speech"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([flite, "-voice", voice, "-t", text, "-o", str(path)], check=True)
        waveform, rate = soundfile.read(path)
    if rate != SAMPLE_RATE_HZ:
        raise SystemExit(f"flite spoke at {rate} Hz; {SAMPLE_RATE_HZ} Hz is needed")
    loud = np.flatnonzero(np.abs(waveform) > 0.01 * np.abs(waveform).max())
    return waveform[max(loud[0] - 400, 0) : loud[-1] + 800]


def synthesise_speech() -> tuple[np.ndarray, np.ndarray]:
    """Clean speech [12 s] of the clip and the greeting, both at 16 kHz."""
    speech = np.zeros(N_FRAMES * SAMPLE_RATE_HZ // FPS)
    at = int(LEAD_SECONDS * SAMPLE_RATE_HZ)
    for sentence, pause_seconds in SPEECH:
        spoken = _speak(sentence, "slt")
        if at + len(spoken) > len(speech):
            raise SystemExit(f"the text is too long for {N_FRAMES / FPS:g} s at {sentence!r}")
        speech[at : at + len(spoken)] = spoken
        at += len(spoken) + int(pause_seconds * SAMPLE_RATE_HZ)
    greeting = _speak(GREETING, "rms")
    return tuple(wave * CLEAN_PEAK / np.abs(wave).max() for wave in (speech, greeting))


def write_video(path: Path, frames: np.ndarray, crf: int, sound: np.ndarray | None = None) -> None:
    """h264 (yuv420p) of frames [n, height, width, 3] uint8, with aac of `sound` [samples] if
    given."""
    height, width = frames.shape[1:3]
    with tempfile.TemporaryDirectory() as folder:
        picture = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=FPS
        ).video.filter("scale", out_color_matrix="bt709", out_range="tv")
        streams = [picture]
        options = {
            "vcodec": "libx264", "pix_fmt": "yuv420p", "crf": crf, "preset": "slow", "threads": 1,
            "colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range":
            "tv", "movflags": "+faststart", "fflags": "+bitexact", "flags:v": "+bitexact",
        }  # fmt: skip
        if sound is not None:
            wav_path = Path(folder) / "sound.wav"
            soundfile.write(wav_path, sound, SAMPLE_RATE_HZ, subtype="PCM_16")
            streams.append(ffmpeg.input(str(wav_path)).audio)
            options |= {"acodec": "aac", "audio_bitrate": "80k", "flags:a": "+bitexact"}
        command = ffmpeg.output(*streams, str(path), **options).overwrite_output()
        command.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), input=frames.tobytes(), quiet=True)


def write_truth(folder: Path, truth: SituationTruth, clean: np.ndarray) -> None:
    """Write truth/ (formats in README.md)."""
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "clean_speech.flac", clean, SAMPLE_RATE_HZ, subtype="PCM_16")
    write_video(folder / "hand_free.mp4", truth.hand_free_frames, crf=12)
    shape = np.array(truth.occluder_masks.shape)
    np.savez_compressed(
        folder / "occluder_masks.npz",
        occluder=np.packbits(truth.occluder_masks, axis=-1),
        shape=shape,
    )
    np.savez_compressed(
        folder / "parsing.npz",
        person=np.packbits(truth.person_masks, axis=-1),
        head=np.packbits(truth.head_masks, axis=-1),
        shape=shape,
    )
    arrays = (
        "head_rotations", "head_translations", "yaw_pitch_roll_radians", "mouth_opening",
        "mouth_rounding", "blink", "camera_shift_px", "rigid_points", "rigid_points_px",
    )  # fmt: skip
    np.savez_compressed(
        folder / "truth.npz",
        **{name: getattr(truth, name).astype(np.float32) for name in arrays},
        focal_length_px=np.float32(truth.focal_length_px),
    )
    n_train = int(N_FRAMES * 10 / 11)
    facts = {
        "fps": FPS,
        "n_frames": N_FRAMES,
        "size_px": SIZE_PX,
        "seed": SEED,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "snr_db": SNR_DB,
        "lead_seconds": LEAD_SECONDS,
        "split": {"train": [0, n_train], "test": [n_train, N_FRAMES]},
        "focal_length_px": truth.focal_length_px,
        "text": " ".join(sentence for sentence, _ in SPEECH),
        "greeting_text": GREETING,
        "gestures": [vars(gesture) for gesture in GESTURES],
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


def make_example(out_dir: Path, synthesise: bool = False) -> None:
    """Write the whole example under `out_dir`; same inputs, same result."""
    if synthesise:
        clean, greeting = synthesise_speech()
    else:
        clean, _ = soundfile.read(EXAMPLES_DIR / "truth" / "clean_speech.flac")
        greeting, _ = soundfile.read(EXAMPLES_DIR / "greeting.wav")
    # What is written is 16 bit: quantise first, so that the mouth is the same with or without the
    # synthesiser.
    clean, greeting = (np.round(wave * 32768.0) / 32768.0 for wave in (clean, greeting))
    out_dir.mkdir(parents=True, exist_ok=True)
    soundfile.write(out_dir / "greeting.wav", greeting, SAMPLE_RATE_HZ, subtype="PCM_16")

    situation = Situation(n_frames=N_FRAMES, size_px=SIZE_PX, fps=FPS, seed=SEED, gestures=GESTURES)
    frames, truth = render_situation(situation, build_portrait(SIZE_PX), clean, SAMPLE_RATE_HZ)
    noise = room_noise([clean, greeting], len(clean), SAMPLE_RATE_HZ, np.random.default_rng(SEED))
    noisy = mix_at_snr(clean, noise, SNR_DB)
    if np.abs(noisy).max() > 1.0:
        raise SystemExit("the noisy speech clips: lower CLEAN_PEAK")
    write_video(out_dir / "astronaut.mp4", frames, crf=14, sound=noisy)
    write_truth(out_dir / "truth", truth, clean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=EXAMPLES_DIR, help="folder to write to")
    parser.add_argument("--synthesise", action="store_true", help="speak the texts anew with flite")
    arguments = parser.parse_args()
    make_example(arguments.out, arguments.synthesise)


if __name__ == "__main__":
    main()
