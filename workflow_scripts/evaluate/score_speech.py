"""Denoised speech against the clean one → PESQ, STOI, composite measures, SI-SDR."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wildtalker_core.media.audio import decode_sound, read_waveform
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.metrics import speech_quality
from wildtalker_core.metrics.speech_quality import NotScorable
from workflow_scripts.job import job

BACKENDS = {
    "pesq": "pesq package, wide band (P.862.2)",
    "stoi": "pystoi package",
    "csig": "own, Hu and Loizou 2008, wide-band PESQ",
    "cbak": "own, Hu and Loizou 2008, wide-band PESQ",
    "covl": "own, Hu and Loizou 2008, wide-band PESQ",
    "segmental_snr_db": "own",
    "llr": "own",
    "wss": "own",
    "si_sdr_db": "own",
}


def main(
    estimate_path: str,
    reference: np.ndarray,
    sample_rate_hz: int,
    scores_path: str,
    identity: dict[str, Any],
    speech_seconds: float,
) -> None:
    """Write the means over parts of about ``speech_seconds``, or n/a with the reason.

    Where nothing was denoised, the reference's scores against itself are written as well: the
    table's ground truth.

    Args:
        reference: [samples] clean speech with the estimate's time zero.
        identity: what the result is of: clip, speech, denoiser, reference.
    """
    estimate, rate = read_waveform(estimate_path)
    if rate != sample_rate_hz or len(estimate) != len(reference):
        raise ValueError(
            f"{estimate_path}: {len(estimate)} samples at {rate} Hz, "
            f"reference {len(reference)} at {sample_rate_hz} Hz"
        )
    parts, skipped = score_parts(reference, estimate, sample_rate_hz, speech_seconds)
    result = {
        **identity,
        "n_parts": len(parts),
        "skipped": skipped,
        "scores": means_of(parts, skipped),
    }
    if identity["denoiser"] == "none":
        own = score_parts(reference, reference, sample_rate_hz, speech_seconds)
        result["reference_scores"] = means_of(*own)
    save_json(scores_path, result)


def means_of(
    parts: Sequence[Mapping[str, float]], skipped: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Mean of each score over the parts that have it, with its backend; else n/a and why."""
    scores = {}
    for name, backend in BACKENDS.items():
        values = [part[name] for part in parts if name in part]
        if values:
            scores[name] = {"value": float(np.mean(values)), "backend": backend}
        else:
            reason = skipped[0] if skipped else "the reference holds no speech"
            scores[name] = {"value": None, "backend": None, "reason": reason}
    return scores


def score_parts(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, speech_seconds: float
) -> tuple[list[dict[str, float]], list[str]]:
    """Scores of each part, and why parts (or SI-SDR of parts) have none."""
    parts, skipped = [], []
    bounds = speech_quality.utterance_bounds(reference, sample_rate_hz, speech_seconds)
    for first, last in bounds:
        pair = reference[first:last], estimate[first:last]
        try:
            scores = speech_quality.score_speech(*pair, sample_rate_hz)
        except NotScorable as error:
            skipped.append(str(error))
            continue
        try:
            scores["si_sdr_db"] = speech_quality.si_sdr(*pair)
        except NotScorable as error:
            skipped.append(f"SI-SDR: {error}")
        parts.append(scores)
    return parts, skipped


def clean_reference(truth_path: str | None, own_path: str, manifest: dict[str, Any]) -> np.ndarray:
    """The clip's known clean speech with the frames' time zero, else the clip's own speech."""
    if not truth_path:
        return read_waveform(own_path)[0]
    rate = manifest["sample_rate_hz"]
    # The truth begins with the clip's first frame, on a clock of its own.
    return decode_sound(
        truth_path,
        rate,
        zero_seconds=manifest["source"]["start_seconds"],
        duration_seconds=manifest["n_samples"] / rate,
    )


if __name__ == "__main__":
    with job(snakemake):
        manifest = load_json(snakemake.input.manifest)
        truth_path = snakemake.input.truth or None
        main(
            snakemake.input.speech,
            clean_reference(truth_path, snakemake.input.own_speech, manifest),
            manifest["sample_rate_hz"],
            snakemake.output.scores,
            {
                "clip": snakemake.wildcards.clip,
                "speech": snakemake.wildcards.speech,
                "denoiser": snakemake.wildcards.denoiser,
                "reference": "known clean speech" if truth_path else "the clip's own speech",
            },
            speech_seconds=snakemake.params.options["speech_seconds"],
        )
