"""Which entries of the config section ``speech`` a denoiser and the audio features read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_DENOISER = {
    "mss": ("scales", "over_subtraction", "leading_seconds"),
    "spectral_subtraction": ("over_subtraction", "leading_seconds"),
    "log_mmse": ("leading_seconds",),
    "deepfilternet": ("deepfilternet_model",),
}
_OF_FEATURES = {
    "auto": ("logmel_floor_db", "whisper_model", "whisper_layer"),
    "logmel": ("logmel_floor_db",),
    "whisper": ("logmel_floor_db", "whisper_model", "whisper_layer"),
    "hf": ("hf_model", "hf_layer"),
    "deepspeech": ("deepspeech_model",),
}


def denoiser_options(speech: Mapping[str, Any], denoiser: str) -> dict[str, Any]:
    """What a denoiser of ``denoisers.make_denoiser``, or deepfilternet, reads."""
    return {key: speech[key] for key in _OF_DENOISER.get(denoiser, ())}


def portrait_options(speech: Mapping[str, Any]) -> dict[str, Any]:
    """What a portrait file keeps of how its speech was prepared, and what finds the encoder."""
    kept = ("audio_features", "logmel_floor_db", "denoiser", "scales", "over_subtraction",
            "leading_seconds")  # fmt: skip
    encoder = ("whisper_model", "whisper_layer")
    names = (*kept, *(encoder if speech["audio_features"] in ("auto", "whisper") else ()))
    denoiser = denoiser_options(speech, speech["denoiser"])
    return {name: speech[name] for name in names} | denoiser


def feature_options(speech: Mapping[str, Any], denoiser: str, is_own: bool) -> dict[str, Any]:
    """What the audio features of a speech read.

    Args:
        denoiser: through which it went.
        is_own: whether it is the clip's own, which a portrait also hears in noise.
    """
    backend = speech["audio_features"]
    # `auto` is `whisper` where its weights are.
    names = [
        "audio_features",
        "look_ahead_seconds",
        *_OF_FEATURES[backend.replace("auto", "whisper")],
    ]
    read = {key: speech[key] for key in names}
    if not is_own:
        return read
    read["noise_training"] = speech["noise_training"]
    return read | (denoiser_options(speech, denoiser) if speech["noise_training"] else {})
