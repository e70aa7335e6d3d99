"""Measures the denoisers and tunes ``mss_adaptive``.

    python benchmarks/denoising.py [--data FOLDER] pairs      scores on real noisy pairs
    python benchmarks/denoising.py [--data FOLDER] mixes      known noises, speech from mid-word on
    python benchmarks/denoising.py [--data FOLDER] leading    alpha and the silent beginning of mss
    python benchmarks/denoising.py [--data FOLDER] features   nearness to the clean voice's features
    python benchmarks/denoising.py [--data FOLDER] definitions  PESQ by band and by reference
    python benchmarks/denoising.py speed                      times faster than real time, one core
    python benchmarks/denoising.py memory                     an hour of sound from file to file
    python benchmarks/denoising.py [--data FOLDER] tune --speaker p232 --seconds 300
                                                              search on one speaker, test on others

FOLDER holds ``pairs/clean``, ``pairs/noisy`` (same file names, 16 kHz) and ``noise``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

# Before numpy is imported: one core is what is measured.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from denoiser_search import tune  # noqa: E402
from noisy_pairs import (  # noqa: E402
    RATE_HZ,
    ROOT,
    SNRS_DB,
    Pair,
    composites,
    mixes,
    named,
    read_pairs,
    scores,
)
from pesq import pesq  # noqa: E402

from wildtalker_core.media.audio import (  # noqa: E402
    read_waveform,
    write_waveform_blocks,
)
from wildtalker_core.speech.audio_features import log_mel  # noqa: E402
from wildtalker_core.speech.encoder_features import waveform_features  # noqa: E402
from workflow_scripts.evaluate.options import SpeechPairs  # noqa: E402

#: As the table of real pairs has them by default.
DENOISERS = SpeechPairs().denoisers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "speech")
    jobs: dict[str, Callable[[], None]] = {
        "pairs": lambda: print_pairs(read_pairs(arguments.data), arguments.data),
        "mixes": lambda: print_mixes(arguments.data, arguments.every),
        "leading": lambda: print_leading(read_pairs(arguments.data)),
        "features": lambda: print_features(arguments.data),
        "definitions": lambda: print_definitions(read_pairs(arguments.data)),
        "speed": print_speed,
        "memory": print_memory,
        "tune": lambda: tune(
            read_pairs(arguments.data),
            arguments.speaker,
            arguments.seconds,
            arguments.seed,
            arguments.margin,
        ),
    }
    parser.add_argument("what", choices=jobs)
    parser.add_argument("--speaker", default="p232", help="tune: speaker to search on, or all")
    parser.add_argument("--seconds", type=float, default=300.0, help="tune: time to search")
    parser.add_argument("--seed", type=int, default=0, help="tune: of the search")
    parser.add_argument(
        "--margin", type=float, default=0.0015, help="tune: STOI that a constant may cost"
    )
    parser.add_argument("--every", type=int, default=4, help="mixes: use one utterance in so many")
    arguments = parser.parse_args()
    jobs[arguments.what]()


def print_pairs(pairs: list[Pair], data: Path) -> None:
    speakers = sorted({name.split("_")[0] for name, *_ in pairs})
    print(f"{len(pairs)} pairs; PESQ wide band / STOI / SI-SDR in dB; PESQ by speaker")
    for name in DENOISERS:
        table = scores(pairs, named(name))
        means = " / ".join(f"{value:.3f}" for value in table.mean(axis=0))
        by_speaker = ", ".join(
            f"{speaker} {table[[n.startswith(speaker) for n, *_ in pairs], 0].mean():.3f}"
            for speaker in speakers
        )
        print(f"{name:26s} {means}   {by_speaker}   {composites(pairs, named(name))}", flush=True)
    finished = [p for p in pairs if (data / "pairs" / "cmgan" / f"{p[0]}.wav").is_file()]
    if finished:
        rows = [
            pesq(RATE_HZ, clean, read_waveform(data / "pairs" / "cmgan" / f"{name}.wav")[0], "wb")
            for name, clean, _ in finished
        ]
        print(f"{'CMGAN, its authors files':26s} {np.mean(rows):.3f}   ({len(rows)} pairs)")


def print_leading(pairs: list[Pair]) -> None:
    print("mss: PESQ / STOI by alpha (rows) and seconds of silent beginning (columns)")
    leading = (0.05, 0.1, 0.2, 0.3)
    print("alpha", *(f"{seconds:>13g}" for seconds in leading))
    for alpha in (0.7, 1.0, 1.3, 2.0, 3.0):
        cells = []
        for seconds in leading:
            mean = scores(
                pairs, named("mss", over_subtraction=alpha, leading_seconds=seconds)
            ).mean(axis=0)
            cells.append(f"{mean[0]:.3f} / {mean[1]:.3f}")
        print(f"{alpha:5g}", *cells, flush=True)


def print_mixes(data: Path, every: int) -> None:
    table: dict[tuple[str, object], list[float]] = defaultdict(list)
    made = mixes(data, every)
    for name in ("none", "mss", "mss_adaptive"):
        for noise_name, snr_db, pair in made:
            value = scores([pair], named(name))[0, 0]
            table[name, snr_db].append(value)
            table[name, noise_name].append(value)
    columns = [*SNRS_DB, *dict.fromkeys(noise_name for noise_name, *_ in made)]
    print(f"PESQ on {len(made)} mixes that begin in mid-word, by dB and by noise")
    for column in columns:
        cells = [f"{np.mean(table[name, column]):.3f}" for name in ("none", "mss", "mss_adaptive")]
        print(f"{column!s:26s} noisy {cells[0]}  mss {cells[1]}  mss_adaptive {cells[2]}")


def print_features(data: Path) -> None:
    """Mean cosine of features with those of the clean voice, under each noise at 5 dB."""
    from tests.speech.made_encoders import save_tiny_hf
    from wildtalker_core.pretrained.audio_encoders import load_hf_encoder

    made = [(clean, mixed) for _, snr_db, (_, clean, mixed) in mixes(data, every=4, snrs_db=(5.0,))]
    with tempfile.TemporaryDirectory() as folder:
        encode = load_hf_encoder(str(save_tiny_hf(Path(folder))), -1)
    extractors = {
        "logmel": lambda x, n: log_mel(x, RATE_HZ, n, 25.0).audio_features,
        "hf (tiny, random weights)": lambda x, n: (
            waveform_features(x, RATE_HZ, n, 25.0, encode).audio_features
        ),
    }
    print(f"{len(made)} mixes at 5 dB; mean cosine with the clean voice's features")
    for backend, extract in extractors.items():
        cosines = defaultdict(list)
        for clean, mixed in made:
            n_frames = int(clean.size / RATE_HZ * 25)
            reference = extract(clean, n_frames)
            # What all frames of a random network have in common says nothing.
            middle = 0.0 if backend == "logmel" else reference.mean((0, 2), keepdims=True)
            a = reference - middle
            for name in ("none", "mss", "mss_adaptive"):
                b = extract(named(name)(mixed), n_frames) - middle
                cosines[name].append(np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2)))
        cells = (f"{name} {np.mean(values):.3f}" for name, values in cosines.items())
        print(f"{backend:26s}", *cells)


def print_definitions(pairs: list[Pair]) -> None:
    """What the number would be under other definitions of PESQ."""
    print("PESQ: wide band, narrow band, wide band with the noisy recording as the reference")
    for name in ("none", "mss", "mss_adaptive"):
        rows = []
        for _, clean, noisy in pairs:
            estimate = named(name)(noisy)
            rows.append(
                (
                    pesq(RATE_HZ, clean, estimate, "wb"),
                    pesq(RATE_HZ, clean, estimate, "nb"),
                    pesq(RATE_HZ, noisy, estimate, "wb"),
                )
            )
        print(f"{name:26s}", *(f"{value:.2f}" for value in np.mean(rows, axis=0)))


def print_memory() -> None:
    """Peak memory of the process that denoises an hour of sound, written and read in pieces."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        noisy, denoised = Path(folder) / "noisy.wav", Path(folder) / "denoised.wav"
        blocks = (
            0.1 * rng.standard_normal((60 * RATE_HZ, 1)).astype(np.float32) for _ in range(60)
        )
        write_waveform_blocks(noisy, blocks, RATE_HZ, 1, "PCM_16")
        print("peak memory of denoising an hour, file to file")
        for name in ("mss", "mss_adaptive"):
            script = (
                "import resource, sys\n"
                "from wildtalker_core.speech.options import DenoiserOptions\n"
                "from workflow_scripts.speech.denoise_speech import main\n"
                f"paths = {str(noisy)!r}, {str(denoised)!r}\n"
                f"main(*paths, {name!r}, DenoiserOptions(), None, None)\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
            )
            command = [sys.executable, "-c", script]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            print(f"{name:26s} {int(done.stdout)} MB", flush=True)


def print_speed() -> None:
    rng = np.random.default_rng(0)
    seconds = 60
    noisy = (0.1 * rng.standard_normal(seconds * RATE_HZ)).astype(np.float32)
    print("times faster than real time on one core (processor time of 60 s of sound)")
    for name in DENOISERS[1:]:
        denoise = named(name)
        denoise(noisy[: 2 * RATE_HZ])  # compile, import
        begin = time.process_time()
        denoise(noisy)
        print(f"{name:26s} {seconds / (time.process_time() - begin):.0f}")


if __name__ == "__main__":
    main()
