"""Denoised speech → one window of audio features for each video frame."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_json, save_arrays
from wildtalker_core.media.splits import Split, load_split
from wildtalker_core.speech.audio_features import AudioFeatures, active_level_dbfs, log_mel
from workflow_scripts.job import job
from workflow_scripts.weight_inputs import read_tried, settle_audio_features, whisper_path


def main(
    speech_path: str, manifest_path: str, split_path: str | None, features_path: str, options: dict
) -> None:
    """Write ``audio_features``, ``is_silent``, ``frame_times_seconds`` and ``backend``.

    Args:
        split_path: of the clip whose speech it is: no part of it is told of the next ones. None for
            another recording, which decides itself how many frames there are.
        options: the config section ``speech``.

    Raises InputError: the clip's speech does not have the manifest's length; an encoder's weights
        are missing or not usable.
    """
    manifest = load_json(manifest_path)
    fps = manifest["fps"]
    speech, sample_rate_hz = read_waveform(speech_path)
    backend, extract = make_extractor(options)
    if split_path is None:
        # A sample more or less is rounding, not another frame.
        n_frames = math.ceil(speech.size / sample_rate_hz * fps - 1e-3)
        features = extract(speech, sample_rate_hz, n_frames, fps)
    elif speech.size != manifest["n_samples"]:
        raise InputError(
            speech_path,
            f"has {speech.size} samples, the manifest {manifest['n_samples']}",
            "run extract_speech and what follows again",
        )
    else:
        features = extract_by_parts(extract, speech, sample_rate_hz, fps, load_split(split_path))
    save_arrays(
        features_path,
        audio_features=features.audio_features,
        is_silent=features.is_silent,
        frame_times_seconds=np.arange(len(features.is_silent)) / fps,
        backend=backend,
    )


def extract_by_parts(
    extract: Callable[..., AudioFeatures],
    speech: np.ndarray,
    sample_rate_hz: int,
    fps: float,
    split: Split,
) -> AudioFeatures:
    """Each part's features from its sound and what comes before it, at the level of training."""
    sample_ends = split.sample_ends(speech.size)
    level_dbfs = active_level_dbfs(speech[: sample_ends[0]], sample_rate_hz)
    found = [
        extract(speech[:n_samples], sample_rate_hz, stop, fps, level_dbfs=level_dbfs)
        for n_samples, stop in zip(sample_ends, split.ends, strict=True)
    ]
    own = [(part, slice(*span)) for part, span in zip(found, split.spans, strict=True)]
    return AudioFeatures(
        np.concatenate([part.audio_features[frames] for part, frames in own]),
        np.concatenate([part.is_silent[frames] for part, frames in own]),
    )


def make_extractor(options: dict) -> tuple[str, Callable[..., AudioFeatures]]:
    """What makes the features that ``options`` names, and a function of waveform, sample_rate_hz,
    n_frames, fps (and level_dbfs) that gives them."""
    backend = options["audio_features"]
    if backend == "logmel":
        return backend, partial(log_mel, floor_db=options["logmel_floor_db"])
    # Only now: these cost seconds to import.
    from wildtalker_core.pretrained.audio_encoders import load_deepspeech, load_hf_encoder
    from wildtalker_core.speech.encoder_features import deepspeech_features, waveform_features

    if backend == "whisper":
        from wildtalker_core.pretrained.whisper import WhisperStates
        from wildtalker_core.speech.whisper_features import whisper_features

        model, layer = options["whisper_model"], options["whisper_layer"]
        states, ahead = WhisperStates(whisper_path(model), layer), options["look_ahead_seconds"]
        live = "" if ahead is None else f", {1000 * ahead:.0f} ms of look-ahead"
        return f"whisper: {model}, layer {layer}{live}", partial(
            whisper_features, encoder=states, floor_db=options["logmel_floor_db"],
            look_ahead_seconds=ahead,
        )  # fmt: skip
    if backend == "hf":
        model, layer = options["hf_model"], options["hf_layer"]
        encode = load_hf_encoder(model, layer)
        return f"hf: {model}, layer {layer}", partial(waveform_features, encode=encode)
    recognise = load_deepspeech(options["deepspeech_model"])
    return (
        f"deepspeech: {options['deepspeech_model']}",
        partial(deepspeech_features, recognise=recognise),
    )


if __name__ == "__main__":
    with job(snakemake):
        options, reason = settle_audio_features(
            snakemake.params.options, read_tried(snakemake.input.tried)
        )
        if reason:
            print(f"log-mel alone: {reason}")
        main(
            snakemake.input.speech,
            snakemake.input.manifest,
            str(snakemake.input.split) or None,
            snakemake.output.features,
            options,
        )
