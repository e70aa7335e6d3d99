"""Denoised speech → one window of audio features for each video frame."""

import math

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_json, save_arrays
from wildtalker_core.speech.audio_features import log_mel
from workflow_scripts.job import job


def main(
    speech_path: str, manifest_path: str, features_path: str, is_drive: bool, options: dict
) -> None:
    """Write ``audio_features``, ``is_silent``, ``frame_times_seconds`` and ``backend``.

    Args:
        is_drive: the speech is another recording and decides itself how many frames there are;
            else it is the clip's, whose manifest does.
        options: the config section ``speech``.

    Raises InputError: the clip's speech does not have the manifest's length.
    """
    manifest = load_json(manifest_path)
    fps = manifest["fps"]
    speech, sample_rate_hz = read_waveform(speech_path)
    if is_drive:
        # A sample more or less is rounding, not another frame.
        n_frames = math.ceil(speech.size / sample_rate_hz * fps - 1e-3)
    else:
        n_frames = manifest["n_frames"]
        if speech.size != manifest["n_samples"]:
            raise InputError(
                speech_path,
                f"has {speech.size} samples, the manifest {manifest['n_samples']}",
                "run extract_speech and what follows again",
            )
    backend = options["audio_features"]
    if backend != "logmel":
        raise InputError(
            f"config speech.audio_features: {backend}", "is not available yet", "use logmel"
        )
    features = log_mel(speech, sample_rate_hz, n_frames, fps)
    save_arrays(
        features_path,
        audio_features=features.audio_features,
        is_silent=features.is_silent,
        frame_times_seconds=np.arange(n_frames) / fps,
        backend=backend,
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.speech,
            snakemake.input.manifest,
            snakemake.output.features,
            snakemake.params.is_drive,
            snakemake.params.options,
        )
