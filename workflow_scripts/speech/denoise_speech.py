"""Speech → the same speech with less noise, by the backend that the path names."""

from wildtalker_core.media.audio import (
    probe_waveform,
    read_waveform,
    read_waveform_blocks,
    write_waveform,
    write_waveform_blocks,
)
from wildtalker_core.media.splits import load_split
from wildtalker_core.speech.denoisers import check_external, denoise_stream
from wildtalker_core.speech.options import DenoiserOptions
from workflow_scripts.denoisers import denoiser_of
from workflow_scripts.job import job


def main(
    noisy_path: str,
    denoised_path: str,
    denoiser: str,
    options: DenoiserOptions,
    external_path: str | None,
    split_path: str | None,
) -> None:
    """Write the denoised speech: same rate, length, channels and sample format.

    Args:
        external_path: the finished file of the denoiser ``external``.
        split_path: of the clip whose speech it is: no part of it is told of the next ones. None for
            a speech that only drives.

    Raises InputError: unreadable input; an external file of another rate or length.
    """
    facts = probe_waveform(noisy_path)
    if denoiser == "external":
        noisy, rate_hz = read_waveform(noisy_path)
        assert external_path is not None  # the rule gives it
        enhanced, enhanced_rate_hz = read_waveform(external_path)
        denoised = check_external(enhanced, enhanced_rate_hz, noisy, rate_hz, external_path)
        write_waveform(denoised_path, denoised, rate_hz, facts.subtype)
        return
    part_ends = load_split(split_path).sample_ends(facts.n_samples) if split_path else ()
    write_waveform_blocks(
        denoised_path,
        denoise_stream(
            read_waveform_blocks(noisy_path),
            denoiser_of(denoiser, options),
            facts.sample_rate_hz,
            part_ends,
        ),
        facts.sample_rate_hz,
        facts.n_channels,
        facts.subtype,
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.speech,
            snakemake.output.speech,
            snakemake.wildcards.denoiser,
            DenoiserOptions(**snakemake.params.options),
            str(snakemake.input.external) or None,
            str(snakemake.input.split) or None,
        )
