"""Denoised speech → one window of audio features for each video frame."""

import math

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_json, save_arrays
from wildtalker_core.speech.audio_features import LIVE_SECONDS, AudioFeatures, log_mel
from wildtalker_core.speech.mixing import changing_noise
from workflow_scripts.denoisers import denoiser_of
from workflow_scripts.job import job
from workflow_scripts.weight_inputs import read_tried, settle_audio_features, whisper_path


def main(
    speech_path: str,
    manifest_path: str,
    features_path: str,
    is_drive: bool,
    options: dict,
    raw_speech_path: str | None = None,
    denoiser: str = "none",
) -> None:
    """Write the features of each frame, what made them, and how far an ear may listen ahead.

    Of a clip's speech also ``noisy_audio_features``, if ``options`` have ``noise_training``.

    Args:
        raw_speech_path: the clip's speech before the ``denoiser``.
        is_drive: the speech is another recording and decides itself how many frames there are;
            else it is the clip's, whose manifest does.
        options: the config section ``speech``.

    Raises InputError: the clip's speech does not have the manifest's length; an encoder's weights
        are missing or not usable.
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
    backend, features = extract(speech, sample_rate_hz, n_frames, fps, options)
    more = {}
    if options["noise_training"] and raw_speech_path and not is_drive:
        raw, _ = read_waveform(raw_speech_path)
        noisy = in_noise(raw, sample_rate_hz, denoiser, options)
        _, heard = extract(noisy, sample_rate_hz, n_frames, fps, options)
        more = {"noisy_audio_features": heard.audio_features}
    save_arrays(
        features_path,
        audio_features=features.audio_features,
        is_silent=features.is_silent,
        frame_times_seconds=np.arange(n_frames) / fps,
        backend=backend,
        frames_ahead=frames_ahead(options["look_ahead_seconds"], fps),
        **more,
    )


def frames_ahead(look_ahead_seconds: float | None, fps: float) -> int:
    """How many frames behind a picture's own an ear may listen to; -1 for any.

    >>> frames_ahead(0.2, 25.0), frames_ahead(None, 25.0)
    (2, -1)
    """
    if look_ahead_seconds is None:
        return -1
    return int((look_ahead_seconds - LIVE_SECONDS) * fps + 1e-6)


def in_noise(raw: np.ndarray, sample_rate_hz: int, denoiser: str, options: dict) -> np.ndarray:
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


def extract(
    speech: np.ndarray, sample_rate_hz: int, n_frames: int, fps: float, options: dict
) -> tuple[str, AudioFeatures]:
    """The features that ``options`` names, and what made them."""
    timing = (sample_rate_hz, n_frames, fps)
    backend, floor_db = options["audio_features"], options["logmel_floor_db"]
    if backend == "logmel":
        return backend, log_mel(speech, *timing, floor_db)
    # Only now: these cost seconds to import.
    from wildtalker_core.pretrained.audio_encoders import load_deepspeech, load_hf_encoder
    from wildtalker_core.speech.encoder_features import deepspeech_features, waveform_features

    if backend == "whisper":
        from wildtalker_core.pretrained.whisper import WhisperStates
        from wildtalker_core.speech.whisper_features import whisper_features

        model, layer = options["whisper_model"], options["whisper_layer"]
        states = WhisperStates(whisper_path(model), layer)
        is_live = options["look_ahead_seconds"] is not None
        live = ", live" if is_live else ""
        return f"whisper: {model}, layer {layer}{live}", whisper_features(
            speech, *timing, states, floor_db, LIVE_SECONDS if is_live else None
        )
    if backend == "hf":
        model, layer = options["hf_model"], options["hf_layer"]
        encode = load_hf_encoder(model, layer)
        return f"hf: {model}, layer {layer}", waveform_features(speech, *timing, encode)
    recognise = load_deepspeech(options["deepspeech_model"])
    return (
        f"deepspeech: {options['deepspeech_model']}",
        deepspeech_features(speech, *timing, recognise),
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
            snakemake.output.features,
            snakemake.params.is_drive,
            options,
            snakemake.input.raw,
            snakemake.wildcards.denoiser,
        )
