"""Sound of the raw video → mono speech with the frames' time zero and duration."""

import math
import sys

import numpy as np

from wildtalker_core.media.audio import (
    clipped_share,
    decode_sound,
    require_audible,
    write_waveform,
)
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.splits import load_split
from workflow_scripts.job import job

_MAX_CLIPPED_SHARE = 0.0005  # see clipped_share


def main(
    video_path: str, manifest_path: str, split_path: str, speech_path: str, facts_path: str
) -> None:
    """Write speech.wav of exactly the manifest's ``n_samples``, and what is known about it.

    Raises InputError: no audio stream, silence, NaN.
    """
    manifest = load_json(manifest_path)
    source, sample_rate_hz = manifest["source"], manifest["sample_rate_hz"]
    speech = decode_sound(
        video_path,
        sample_rate_hz,
        zero_seconds=source["first_frame_seconds"] + source["start_seconds"],
        duration_seconds=manifest["n_samples"] / sample_rate_hz,
    )
    require_audible(speech, sample_rate_hz, video_path)
    share = clipped_share(speech)
    warnings = []
    if share > _MAX_CLIPPED_SHARE:
        warnings.append(f"{100 * share:.1f} % of the samples are clipped: record with less gain")
        print(f"warning: {video_path}: {warnings[-1]}", file=sys.stderr)
    # Lossy codecs decode to values beyond full scale; a little less level is better than clipping.
    # The level is that of training, so that the test changes nothing that is learnt.
    n_train = load_split(split_path).sample_ends(speech.size)[0]
    peak = float(np.abs(speech[:n_train]).max())
    write_waveform(speech_path, speech / max(1.0, peak), sample_rate_hz)
    save_json(
        facts_path,
        {
            "peak_dbfs": round(20.0 * math.log10(max(peak, 1e-5)), 2),
            "clipped_share": round(share, 6),
            "warnings": warnings,
        },
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.video,
            snakemake.input.manifest,
            snakemake.input.split,
            snakemake.output.speech,
            snakemake.output.facts,
        )
