"""Any sound or video file that is to drive the portrait → mono speech at the pipeline's rate."""

import numpy as np

from wildtalker_core.media.audio import decode_sound, write_waveform
from wildtalker_core.media.sound_checks import require_audible
from workflow_scripts.job import call, job
from workflow_scripts.speech.corrupt_speech import corrupted


def main(
    sound_path: str,
    noise_path: str | None,
    speech_path: str,
    clean_path: str,
    sample_rate_hz: int,
    corruption: dict,
) -> None:
    """Write the speech as it drives, and as it was before ``corruption`` (a value of
    speech.corruptions, or empty) put noise over it: lips are scored against the latter.

    Raises InputError: no audio stream, silence, NaN.
    """
    speech = decode_sound(sound_path, sample_rate_hz)
    require_audible(speech, sample_rate_hz, sound_path)
    # Lossy codecs decode to values beyond full scale; a little less level is better than clipping.
    speech = speech / max(1.0, np.abs(speech).max())
    write_waveform(clean_path, speech, sample_rate_hz)
    noisy = corrupted(speech, sample_rate_hz, noise_path, corruption, sound_path)
    write_waveform(speech_path, noisy, sample_rate_hz)


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake)
