"""Whisper's encoder (Radford et al. 2022): what its first layers make of a mel spectrum."""

from __future__ import annotations

from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.weight_files import read_weights
from wildtalker_core.pretrained.weight_formats import openai_encoder
from wildtalker_core.speech.whisper_encoder import WhisperEncoder

_PREFIXES = ("model.encoder.", "encoder.")
_POSITIONS = "embed_positions.weight"


def load_whisper(path: AnyPath, layer: int) -> WhisperEncoder:
    """The layers up to the wanted one, on as many steps as there are.

    The published encoder wants thirty seconds each time.

    Args:
        path: a file of encoder weights (the registry's, transformers' ``model.safetensors`` or
            OpenAI's ``.pt``), or a folder with ``model.safetensors``.
        layer: 0 is what the first layer is fed.

    Raises InputError: absent, of another network, no such layer.
    """
    import torch

    weights = _read(Path(path))
    n_layers = len({name.split(".")[1] for name in weights if name.startswith("layers.")})
    if not 0 <= layer <= n_layers:
        raise InputError(
            f"config speech.whisper_layer: {layer}",
            f"{path} has the layers 0 to {n_layers}",
            "choose one of them",
        )
    width, n_mels, _ = weights["conv1.weight"].shape
    encoder = WhisperEncoder(width, n_mels, layer, is_whole=layer == n_layers)
    known = {
        name: torch.as_tensor(values).float()
        for name, values in weights.items()
        if name in encoder.state_dict()
    }
    try:
        encoder.load_state_dict(known)
    except RuntimeError as error:
        raise InputError(
            path, f"is no Whisper encoder ({str(error).splitlines()[-1].strip()})",
            "name a Whisper checkpoint in config speech.whisper_model",
        ) from error  # fmt: skip
    return encoder.eval().requires_grad_(False)


def _read(path: Path) -> dict:
    remedy = "correct config speech.whisper_model, or say speech.audio_features: logmel"
    if path.is_dir():
        path = path / "model.safetensors"
    weights = read_weights(path, remedy, remedy)
    if path.suffix != ".safetensors":
        published = weights.get("model_state_dict")
        # Of another network: what is asked for below is not there.
        weights = openai_encoder(published) if isinstance(published, dict) else {}
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in weights):
            weights = {
                k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)
            }
    if not {"conv1.weight", _POSITIONS} <= weights.keys():
        raise InputError(path, "is no Whisper encoder (has no conv1 and positions)", remedy)
    return weights
