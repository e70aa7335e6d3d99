"""Any sound or video file that is to drive the portrait → mono speech at the pipeline's rate."""

import numpy as np

from wildtalker_core.media.audio import decode_sound, require_audible, write_waveform
from workflow_scripts.job import job


def main(sound_path: str, speech_path: str, sample_rate_hz: int) -> None:
    """Raises InputError: no audio stream, silence, NaN."""
    speech = decode_sound(sound_path, sample_rate_hz)
    require_audible(speech, sample_rate_hz, sound_path)
    # Lossy codecs decode to values beyond full scale; a little less level is better than clipping.
    write_waveform(speech_path, speech / max(1.0, np.abs(speech).max()), sample_rate_hz)


if __name__ == "__main__":
    with job(snakemake):
        main(snakemake.input.sound, snakemake.output.speech, snakemake.params.sample_rate_hz)
