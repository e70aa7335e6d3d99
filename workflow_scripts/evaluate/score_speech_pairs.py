"""Folders of clean and noisy speech → the scores of one denoiser on each file."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import decode_sound, probe_waveform, read_waveform
from wildtalker_core.media.files import atomic_path
from wildtalker_core.metrics import speech_quality
from wildtalker_core.metrics.speech_quality import NotScorable
from wildtalker_core.speech.denoisers import check_external
from wildtalker_core.speech.options import DenoiserOptions
from workflow_scripts.denoisers import denoiser_of
from workflow_scripts.job import job

#: PESQ's wide band; recordings at another rate (VoiceBank-DEMAND's 48 kHz) are brought to it first.
RATE_HZ = 16000
SCORES = (
    "pesq", "csig", "cbak", "covl", "stoi", "si_sdr_db", "segmental_snr_db", "llr", "wss",
)  # fmt: skip
SUFFIXES = (".wav", ".flac")


def main(
    clean_dir: str | None,
    noisy_dir: str | None,
    external_dir: str | None,
    scores_path: str,
    enhancer: str,
    speech_options: DenoiserOptions,
    n_processes: int = 1,
) -> None:
    """Write a line for each file: ``file``, the scores, and ``note`` (why a score is n/a).

    Args:
        external_dir: enhanced files of a method outside; those that it lacks are noted as such.
        enhancer: a denoiser's name, or what the external folder is called.

    Raises InputError: folders that are not named, are empty or do not pair; unreadable files.
    """
    if not clean_dir or not noisy_dir:
        raise InputError(
            "config evaluate.speech_pairs",
            "names no recordings",
            'add --config evaluate="{speech_pairs: {pairs_dir: FOLDER}}" or give clean_dir and '
            "noisy_dir",
        )
    names = paired_names(clean_dir, noisy_dir)
    score = partial(
        score_file,
        clean_dir=clean_dir,
        noisy_dir=noisy_dir,
        external_dir=external_dir,
        enhancer=enhancer,
        speech_options=speech_options,
    )
    with atomic_path(scores_path) as path, open(path, "w") as file:
        file.write("\t".join(["file", *SCORES, "note"]) + "\n")
        for name, (scores, note) in zip(names, in_parallel(score, names, n_processes), strict=True):
            cells = [f"{scores[key]:.6g}" if key in scores else "n/a" for key in SCORES]
            file.write("\t".join([name, *cells, note]) + "\n")


def in_parallel(score: partial, names: list[str], n_processes: int) -> Iterator:
    """Results in the order of the names."""
    # joblib's processes are fresh: forked ones hang where numba or torch have started threads.
    return Parallel(n_processes, return_as="generator")(delayed(score)(name) for name in names)


def score_file(
    name: str,
    clean_dir: str,
    noisy_dir: str,
    external_dir: str | None,
    enhancer: str,
    speech_options: DenoiserOptions,
) -> tuple[dict[str, float], str]:
    """Scores of one file, and why some are missing."""
    clean, noisy = (read_at_rate(Path(folder, name)) for folder in (clean_dir, noisy_dir))
    noisy = check_external(noisy, RATE_HZ, clean, RATE_HZ, Path(noisy_dir, name))
    if external_dir:
        path = find(Path(external_dir), name)
        if path is None:
            return {}, "not among the external files"
        estimate = check_external(read_at_rate(path), RATE_HZ, clean, RATE_HZ, path)
    else:
        estimate = denoiser_of(enhancer, speech_options)(noisy, RATE_HZ)
    scores, notes = {}, []
    try:
        scores = speech_quality.score_speech(clean, estimate, RATE_HZ)
    except NotScorable as error:
        notes.append(str(error))
    try:
        scores["si_sdr_db"] = speech_quality.si_sdr(clean, estimate)
    except NotScorable as error:
        notes.append(f"SI-SDR: {error}")
    return scores, "; ".join(notes)


def read_at_rate(path: Path) -> np.ndarray:
    """A file as [samples] float32 at 16 kHz: as it is where it is so, else resampled and mixed."""
    facts = probe_waveform(path)
    if facts.sample_rate_hz == RATE_HZ and facts.n_channels == 1:
        return read_waveform(path)[0]
    return decode_sound(path, RATE_HZ)


def paired_names(clean_dir: str, noisy_dir: str) -> list[str]:
    """File names that both folders hold. Raises InputError where they are not the same, or none."""
    names = [
        {path.name for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES}
        for folder in (clean_dir, noisy_dir)
    ]
    alone = sorted(names[0] ^ names[1])
    if alone:
        here, there = (clean_dir, noisy_dir) if alone[0] in names[0] else (noisy_dir, clean_dir)
        raise InputError(
            Path(here, alone[0]),
            f"has no partner in {there} ({len(alone)} such files)",
            "give folders with equal file names",
        )
    if not names[0]:
        raise InputError(clean_dir, "holds no wav or flac files", "name another folder")
    return sorted(names[0])


def find(folder: Path, name: str) -> Path | None:
    """The file of that name, with any known suffix."""
    candidates = [folder / name, *(folder / f"{Path(name).stem}{suffix}" for suffix in SUFFIXES)]
    return next((path for path in candidates if path.is_file()), None)


if __name__ == "__main__":
    with job(snakemake):
        main(
            str(snakemake.input.clean) or None,
            str(snakemake.input.noisy) or None,
            str(snakemake.input.external) or None,
            snakemake.output.scores,
            snakemake.wildcards.enhancer,
            DenoiserOptions(**snakemake.params.speech_options),
            min(snakemake.threads, os.cpu_count() or 1),
        )
