"""Sound of the raw video → mono speech with the frames' time zero and duration."""

import math
from pathlib import Path

import numpy as np

from wildtalker_core.errors import warn
from wildtalker_core.media.audio import decode_sound, write_waveform
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.sound_checks import (
    clipped_share,
    offset_of,
    require_audible,
    sound_faults,
)
from wildtalker_core.media.sound_track import audio_streams
from wildtalker_core.media.splits import load_split
from wildtalker_core.media.video import zero_of
from workflow_scripts.job import call, job


def main(
    sound_path: str,
    manifest_path: str,
    split_path: str,
    speech_path: str,
    facts_path: str,
    audio_stream: int | None = None,
) -> None:
    """Write speech.wav of exactly the manifest's ``n_samples``, and what is known about it.

    Args:
        sound_path: the clip itself, whose sound and pictures share a clock; or another file, whose
            own beginning goes with the clip's first frame.
        audio_stream: number of the stream, from 1; None takes the default one.

    Raises InputError: no audio stream, silence, NaN.
    """
    manifest = load_json(manifest_path)
    source, sample_rate_hz = manifest["source"], manifest["sample_rate_hz"]
    is_own = Path(sound_path) == Path(source["path"])
    zero_seconds = source["first_frame_seconds"] if is_own else zero_of(sound_path)
    warnings: list[str] = []
    speech = decode_sound(
        sound_path,
        sample_rate_hz,
        zero_seconds=zero_seconds + source["start_seconds"],
        duration_seconds=manifest["n_samples"] / sample_rate_hz,
        stream_number=audio_stream,
        notes=warnings,
    )
    require_audible(speech, sample_rate_hz, sound_path, audio_streams(sound_path))
    faults = sound_faults(speech, sample_rate_hz)
    for line in faults:
        warn(sound_path, line)
    warnings += faults
    share = clipped_share(speech)
    # What is learnt must not depend on the test part: its offset and level are those of training.
    n_train = load_split(split_path).sample_ends(speech.size)[0]
    speech = speech - np.float32(offset_of(speech[:n_train]))
    peak = float(np.abs(speech[:n_train]).max())
    # Lossy codecs decode to values beyond full scale; a little less level is better than clipping.
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
        call(main, snakemake)
