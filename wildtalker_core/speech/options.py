"""Options of the stage speech, and which of them a denoiser and the audio features read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from wildtalker_core.option_types import Count, Natural, Positive, limits

#: Denoisers that are made here; ``external`` takes finished files.
Made = Literal[
    "none", "mss", "mss_adaptive", "spectral_subtraction", "log_mmse", "noisereduce",
    "noisereduce_nonstationary", "deepfilternet",
]  # fmt: skip
DenoiserName = Literal[Made, "external"]

_CORRUPTION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["snr_db"],
    "oneOf": [{"required": ["noise"]}, {"required": ["noise_path"]}],
    "properties": {
        "noise": {
            "description": "A noise made here; babble are many voices at once, pink falls as "
            "1 / frequency.",
            "enum": ["babble", "pink"],
        },
        "noise_path": {
            "description": "Any sound file with noise; it is repeated if it is too short.",
            "type": "string",
        },
        "snr_db": {
            "description": "Level of the active speech over that of the noise, decibels.",
            "type": "number",
        }
        | limits(-20, 60),
    },
}


@dataclass(frozen=True)
class DenoiserOptions:
    """What denoisers read; each only some of it."""

    scales: Annotated[
        Sequence[Annotated[Sequence[Count], limits(minItems=3, maxItems=3)]], limits(minItems=1)
    ] = ((512, 128, 512), (1024, 256, 1024), (2048, 512, 2048))
    """Scales of mss, each [n_fft, hop_length, win_length] in samples at 16 kHz. Ours; the paper
    does not tell its scales."""
    over_subtraction: Annotated[float, limits(0, 10)] = 1
    """Alpha of Eq. 1, the multiple of the noise magnitude that mss and spectral_subtraction take
    away (1, the best of 1, 2 and 3 on real pairs)."""
    leading_seconds: Positive = 0.2
    """The beginning of the recording that holds noise only, for mss and spectral_subtraction,
    seconds. Ours; the paper speaks of initial frames."""
    deepfilternet_model: str = "weights/DeepFilterNet3_onnx.tar.gz"
    """DeepFilterNet 3 as ONNX, for the denoiser deepfilternet; fetched where it is not."""


@dataclass(frozen=True)
class SpeechSection(DenoiserOptions):
    """From the recorded speech to one window of audio features for each video frame."""

    source: str = "original"
    """The speech that the portrait is trained with: original, or a name under corruptions."""
    corruptions: Annotated[
        Mapping[str, Any],
        limits(
            propertyNames={"pattern": "^(?!original$)(?!drive_)[A-Za-z0-9_-]+$"},
            additionalProperties=_CORRUPTION,
        ),
    ] = field(default_factory=dict)
    """Noisy versions of the clip's speech by name, each with its noise and its ratio of speech to
    noise."""
    denoiser: DenoiserName = "mss_adaptive"
    """What removes the noise. mss is the paper's multi-scale spectral subtraction (Eq. 1, 2);
    mss_adaptive ours, which needs no silent start; spectral_subtraction the single scale of Boll
    (1979); log_mmse Ephraim and Malah (1985); noisereduce and noisereduce_nonstationary that
    package; deepfilternet a trained network (deepfilternet_model); external takes files from
    external_dir."""
    external_dir: str | None = None
    """Folder with finished files {clip}/{speech}.wav for the denoiser external; null if there is
    none."""
    audio_features: Literal["auto", "logmel", "whisper", "hf", "deepspeech"] = "auto"
    """What the portrait hears, in windows of 16 steps around the middle of each video frame. logmel
    are 80 mel bands every 12.5 ms and needs no weights; whisper has hidden states of Whisper's
    encoder beside them (whisper_model, whisper_layer); auto is whisper where its weights can be
    had, else logmel, as the features' file and head.json say; hf hidden states of a wav2vec 2.0,
    HuBERT or XLS-R checkpoint every 20 ms (hf_model, hf_layer); deepspeech 29 character logits
    every 20 ms (deepspeech_model)."""
    logmel_floor_db: Annotated[float, limits(-90, 0)] = -40
    """Fainter mel bands of logmel count as this, decibels for speech at -26 dBov, whose loudest
    bands reach about 15. A portrait that noisy speech will drive hears more with -20, at a small
    price for clean speech (docs/denoising.md)."""
    noise_training: bool = True
    """Let the portrait also hear its own speech with noise mixed in (babble and pink noise, 20 to
    -5 dB, half of it denoised), so that it speaks in a street (docs/denoising.md)."""
    whisper_model: str = "tiny.en"
    """Whisper's checkpoint: tiny.en (English, and what carries over from it), tiny (many
    languages), or a file or folder of another one (transformers' model.safetensors, OpenAI's
    .pt)."""
    whisper_layer: Natural = 2
    """Layer of Whisper whose states are taken; 0 is what the first layer is fed (2, chosen by
    cross-validation over four clips, benchmarks/hearing.py)."""
    look_ahead_seconds: Annotated[float | None, limits(0.12, 2)] = None
    """How far behind a picture the sound may lie that its mouth is told from, for portraits that
    speak live (logmel and whisper; 0.2 costs little, docs/portrait.md): 0.12 of it is in the
    features, the rest in the frames around; null for as far as it helps."""
    hf_model: str | None = None
    """Checkpoint of hf that transformers can load: a folder (config.json, model.safetensors), or a
    name such as facebook/hubert-large-ls960-ft, which is fetched once; null if there is none."""
    hf_layer: int = -1
    """Layer of hf whose hidden states are taken; 0 is what its transformer is fed, -1 the last
    layer (which ER-NeRF and SyncTalk take of HuBERT)."""
    deepspeech_model: str | None = None
    """DeepSpeech 0.1.0 exported to ONNX (float input [1, steps, 494], optional length, output of 29
    logits, see docs/denoising.md); null if there is none."""


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
