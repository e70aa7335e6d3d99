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
_OF_WHISPER = ("whisper_model", "whisper_layer")
_OF_FEATURES = {
    "auto": ("logmel_floor_db", *_OF_WHISPER),  # whisper, where its weights are
    "logmel": ("logmel_floor_db",),
    "whisper": ("logmel_floor_db", *_OF_WHISPER),
    "hf": ("hf_model", "hf_layer"),
    "deepspeech": ("deepspeech_model",),
}
#: What a portrait file keeps of how the speech was prepared that its ears know.
KEPT = ("audio_features", "logmel_floor_db", "denoiser", "scales", "over_subtraction",
        "leading_seconds")  # fmt: skip


def denoiser_options(speech: Mapping[str, Any], denoiser: str) -> dict[str, Any]:
    """What a denoiser of ``denoisers.make_denoiser``, or deepfilternet, reads."""
    return {key: speech[key] for key in _OF_DENOISER.get(denoiser, ())}


def portrait_options(speech: Mapping[str, Any]) -> dict[str, Any]:
    """What packing a portrait file reads: what is kept in it, and what finds the encoder."""
    encoder = _OF_WHISPER if speech["audio_features"] in ("auto", "whisper") else ()
    read = {name: speech[name] for name in (*KEPT, *encoder)}
    return read | denoiser_options(speech, speech["denoiser"])


def feature_options(speech: Mapping[str, Any], denoiser: str, is_own: bool) -> dict[str, Any]:
    """What the audio features of a speech read.

    Args:
        denoiser: through which it went.
        is_own: whether it is the clip's own, which a portrait also hears in noise.
    """
    of_backend = _OF_FEATURES[speech["audio_features"]]
    read = {key: speech[key] for key in ("audio_features", "look_ahead_seconds", *of_backend)}
    if not is_own:
        return read
    read["noise_training"] = speech["noise_training"]
    return read | (denoiser_options(speech, denoiser) if speech["noise_training"] else {})
