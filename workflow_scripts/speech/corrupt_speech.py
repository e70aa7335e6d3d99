"""The clip's speech as recorded (`original`), or with noise added at a known ratio."""

import zlib

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import decode_sound, read_waveform, write_waveform
from wildtalker_core.media.splits import load_split
from wildtalker_core.speech import mixing
from workflow_scripts.job import job


def main(
    speech_path: str, noise_path: str | None, split_path: str, corrupted_path: str, corruption: dict
) -> None:
    """Write the speech with the noise that ``corruption`` (a value of speech.corruptions) names.

    What depends on the speech (its level, which noise is drawn) is taken from its training part.
    """
    speech, sample_rate_hz = read_waveform(speech_path)
    n_train = load_split(split_path).sample_ends(speech.size)[0]
    noisy = corrupted(speech, sample_rate_hz, noise_path, corruption, speech_path, n_train)
    write_waveform(corrupted_path, noisy, sample_rate_hz)


def corrupted(
    speech: np.ndarray,
    sample_rate_hz: int,
    noise_path: str | None,
    corruption: dict,
    speech_path: str,
    n_measured: int | None = None,
) -> np.ndarray:
    """``speech`` [samples] with noise; an empty corruption leaves it as it is.

    Which piece of noise is taken, and what is drawn, follow from the speech itself, so that a rerun
    gives the same.

    Args:
        speech_path: where the speech is from, for messages.
        n_measured: what depends on the speech comes from so many of its first samples; None: all.

    Raises InputError: the noise file is unreadable or silent.
    """
    if not corruption:
        return speech
    rng = np.random.default_rng(zlib.crc32(speech[:n_measured].tobytes()))
    noise = _noise(
        speech[:n_measured], speech.size, sample_rate_hz, noise_path, corruption.get("noise"), rng
    )
    try:
        return mixing.mix_at_snr(speech, noise, corruption["snr_db"], sample_rate_hz, n_measured)
    except ValueError as error:
        raise InputError(noise_path or speech_path, str(error), "name another noise") from error


def _noise(
    speech: np.ndarray,
    n_samples: int,
    sample_rate_hz: int,
    noise_path: str | None,
    kind: str | None,
    rng: np.random.Generator,
) -> np.ndarray:
    if noise_path:
        noise = decode_sound(noise_path, sample_rate_hz)
        spare = max(0, noise.size - n_samples)
        noise = noise[rng.integers(spare + 1) :]
        return mixing.fit_length(noise, n_samples, sample_rate_hz)
    if kind == "babble":
        return mixing.babble_noise(speech, n_samples, rng)
    if kind == "pink":
        return mixing.pink_noise(n_samples, rng)
    raise InputError(
        "config speech.corruptions", "an entry names no noise", "give it `noise` or `noise_path`"
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.speech,
            str(snakemake.input.noise) or None,
            snakemake.input.split,
            snakemake.output.speech,
            snakemake.params.corruption,
        )
