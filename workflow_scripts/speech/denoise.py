"""Any recordings → the same with less noise: rate, channels, sample format and length stay."""

from collections.abc import Sequence

import soundfile

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import (
    probe_waveform,
    read_waveform_blocks,
    write_waveform_blocks,
)
from wildtalker_core.speech.denoisers import denoise_stream
from wildtalker_core.speech.options import DenoiserOptions
from workflow_scripts.denoisers import denoiser_of
from workflow_scripts.job import job


def main(
    sound_paths: Sequence[str], denoised_paths: Sequence[str], name: str, options: DenoiserOptions
) -> None:
    """Denoise each file in pieces, so that its length does not matter.

    Raises InputError: no recording named, an unreadable one, the denoiser ``external``.
    """
    if not sound_paths:
        raise InputError(
            "config denoise", "names no recording", 'add --config denoise="{talk: talk.wav}"'
        )
    denoiser = denoiser_of(name, options)
    for sound_path, denoised_path in zip(sound_paths, denoised_paths, strict=True):
        facts = probe_waveform(sound_path)
        write_waveform_blocks(
            denoised_path,
            denoise_stream(read_waveform_blocks(sound_path), denoiser, facts.sample_rate_hz),
            facts.sample_rate_hz,
            facts.n_channels,
            wav_subtype(facts.subtype),
        )


def wav_subtype(subtype: str) -> str:
    """The sample format itself; 16 bits where a wav cannot hold it (Vorbis, Opus, MP3)."""
    is_pcm = subtype.startswith("PCM_") or subtype in ("FLOAT", "DOUBLE", "ULAW", "ALAW")
    return subtype if is_pcm and soundfile.check_format("WAV", subtype) else "PCM_16"


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.sounds,
            snakemake.output.sounds,
            snakemake.params.denoiser,
            DenoiserOptions(**snakemake.params.options),
        )
