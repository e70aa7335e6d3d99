"""Denoised speech → one window of audio features for each video frame."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_json, save_arrays
from wildtalker_core.media.splits import Split, load_split
from wildtalker_core.option_types import options_of
from wildtalker_core.speech.audio_features import (
    LIVE_SECONDS,
    AudioFeatures,
    active_level_dbfs,
    log_mel,
)
from wildtalker_core.speech.mixing import changing_noise
from wildtalker_core.speech.options import DenoiserOptions, SpeechSection
from workflow_scripts.denoisers import denoiser_of
from workflow_scripts.job import call, job
from workflow_scripts.weight_inputs import read_tried, settle_audio_features, whisper_path


def main(
    speech_path: str,
    manifest_path: str,
    split_path: str | None,
    features_path: str,
    options: SpeechSection,
    raw_path: str | None = None,
    denoiser: str = "none",
) -> None:
    """Write the features of each frame, what made them, and how far an ear may listen ahead.

    Of a clip's speech also ``noisy_audio_features`` of its training frames, if ``options`` have
    ``noise_training``.

    Args:
        split_path: of the clip whose speech it is: no part of it is told of the next ones. None for
            another recording, which decides itself how many frames there are.
        raw_path: the clip's speech before the ``denoiser``.

    Raises InputError: the clip's speech does not have the manifest's length; an encoder's weights
        are missing or not usable.
    """
    manifest = load_json(manifest_path)
    fps = manifest["fps"]
    speech, sample_rate_hz = read_waveform(speech_path)
    backend, extract = make_extractor(options)
    more: dict[str, np.ndarray] = {}
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
        split = load_split(split_path)
        features = extract_by_parts(extract, speech, sample_rate_hz, fps, split)
        if options.noise_training and raw_path:
            raw = read_waveform(raw_path)[0]
            heard = extract_in_noise(extract, raw, sample_rate_hz, fps, split, denoiser, options)
            more = {"noisy_audio_features": heard.audio_features}
    save_arrays(
        features_path,
        audio_features=features.audio_features,
        is_silent=features.is_silent,
        frame_times_seconds=np.arange(len(features.is_silent)) / fps,
        backend=backend,
        frames_ahead=frames_ahead(options.look_ahead_seconds, fps),
        **more,
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


def extract_in_noise(
    extract: Callable[..., AudioFeatures],
    raw: np.ndarray,
    sample_rate_hz: int,
    fps: float,
    split: Split,
    denoiser: str,
    options: DenoiserOptions,
) -> AudioFeatures:
    """Features of the training frames, whose speech is spoken in noise: see :func:`in_noise`."""
    n_samples = split.sample_ends(raw.size)[0]
    noisy = in_noise(raw[:n_samples], sample_rate_hz, denoiser, options)
    return extract(noisy, sample_rate_hz, split.ends[0], fps)


def frames_ahead(look_ahead_seconds: float | None, fps: float) -> int:
    """How many frames behind a picture's own an ear may listen to; -1 for any.

    >>> frames_ahead(0.2, 25.0), frames_ahead(None, 25.0)
    (2, -1)
    """
    if look_ahead_seconds is None:
        return -1
    return int((look_ahead_seconds - LIVE_SECONDS) * fps + 1e-6)


def in_noise(
    raw: np.ndarray, sample_rate_hz: int, denoiser: str, options: DenoiserOptions
) -> np.ndarray:
    """A clip's speech in changing noise, every other second and a half as the denoiser leaves it.

    ASSUME: so the ear knows both, noise itself for who speaks without that denoiser, and what is
    left of it. A denoiser of finished files has never heard this noise: its half stays as it is.
    """
    noisy = changing_noise(raw, sample_rate_hz, np.random.default_rng(0))
    if denoiser in ("none", "external"):
        return noisy
    left = denoiser_of(denoiser, options)(noisy, sample_rate_hz)
    piece = np.arange(noisy.size) // round(1.5 * sample_rate_hz)
    return np.where(piece % 2 == 1, left, noisy).astype(np.float32)


def make_extractor(options: SpeechSection) -> tuple[str, Callable[..., AudioFeatures]]:
    """What makes the features that ``options`` names, and a function of waveform, sample_rate_hz,
    n_frames, fps (and level_dbfs) that gives them."""
    backend = options.audio_features
    if backend == "logmel":
        return backend, partial(log_mel, floor_db=options.logmel_floor_db)
    # Only now: these cost seconds to import.
    from wildtalker_core.pretrained.audio_encoders import load_deepspeech, load_hf_encoder
    from wildtalker_core.speech.encoder_features import deepspeech_features, waveform_features

    if backend == "whisper":
        from wildtalker_core.pretrained.whisper import load_whisper
        from wildtalker_core.speech.whisper_features import whisper_features

        model, layer = options.whisper_model, options.whisper_layer
        states = load_whisper(whisper_path(model), layer)
        is_live = options.look_ahead_seconds is not None
        return f"whisper: {model}, layer {layer}{', live' if is_live else ''}", partial(
            whisper_features, encoder=states, floor_db=options.logmel_floor_db,
            look_ahead_seconds=LIVE_SECONDS if is_live else None,
        )  # fmt: skip
    if backend == "hf":
        encode = load_hf_encoder(options.hf_model or "", options.hf_layer)
        name = f"hf: {options.hf_model}, layer {options.hf_layer}"
        return name, partial(waveform_features, encode=encode)
    recognise = load_deepspeech(options.deepspeech_model or "")
    name = f"deepspeech: {options.deepspeech_model}"
    return name, partial(deepspeech_features, recognise=recognise)


if __name__ == "__main__":
    with job(snakemake):
        options, reason = settle_audio_features(
            snakemake.params.options, read_tried(snakemake.input.tried)
        )
        if reason:
            print(f"log-mel alone: {reason}")
        call(main, snakemake, options=options_of(SpeechSection, options))
