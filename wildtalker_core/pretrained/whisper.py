"""Whisper's encoder (Radford et al. 2022): what its first layers make of a mel spectrum."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops
from wildtalker_core.pretrained.weight_formats import openai_encoder

#: Width of an attention head in every Whisper.
_HEAD_WIDTH = 64
_PREFIXES = ("model.encoder.", "encoder.")


class WhisperStates:
    """Mel spectra [batch, n_mels, 2 * steps] -> hidden states [batch, steps, width] of one layer.

    Only the layers up to the wanted one are run, on as many steps as there are: the published
    encoder wants thirty seconds each time.

    Args:
        path: a file of encoder weights (the registry's, transformers' ``model.safetensors`` or
            OpenAI's ``.pt``), or a folder with ``model.safetensors``.
        layer: 0 is what the first layer is fed.

    Attributes:
        n_mels, width, n_positions: of the checkpoint; at most ``n_positions`` steps at once.

    Raises InputError: absent, of another network, no such layer.
    """

    def __init__(self, path: str | os.PathLike[str], layer: int) -> None:
        weights = _read(Path(path))
        ensure_torchvision_ops()  # transformers imports torchvision if it is there
        import torch
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        n_layers = len({name.split(".")[1] for name in weights if name.startswith("layers.")})
        if not 0 <= layer <= n_layers:
            raise InputError(
                f"config speech.whisper_layer: {layer}",
                f"{path} has the layers 0 to {n_layers}",
                "choose one of them",
            )
        self.width, self.n_mels, _ = weights["conv1.weight"].shape
        self.n_positions = len(weights["embed_positions.weight"])
        config = WhisperConfig(
            d_model=self.width,
            encoder_layers=n_layers,
            encoder_attention_heads=self.width // _HEAD_WIDTH,
            encoder_ffn_dim=4 * self.width,
            num_mel_bins=self.n_mels,
            max_source_positions=self.n_positions,
        )
        self._encoder = WhisperEncoder(config).eval().requires_grad_(False)
        try:
            self._encoder.load_state_dict(
                {name: torch.as_tensor(values).float() for name, values in weights.items()}
            )
        except RuntimeError as error:
            raise InputError(
                path, f"is no Whisper encoder ({str(error).splitlines()[-1].strip()})",
                "name a Whisper checkpoint in config speech.whisper_model",
            ) from error  # fmt: skip
        self._layers = self._encoder.layers[:layer]
        # The last layer's states are published behind a normalisation.
        self._ends = layer == n_layers

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        import torch
        from torch.nn.functional import gelu

        with torch.inference_mode():
            states = torch.from_numpy(np.ascontiguousarray(mel, np.float32))
            states = gelu(self._encoder.conv2(gelu(self._encoder.conv1(states)))).transpose(1, 2)
            states = states + self._encoder.embed_positions.weight[: states.shape[1]]
            for layer in self._layers:
                states = layer(states, None)
            return (self._encoder.layer_norm(states) if self._ends else states).numpy()


def _read(path: Path) -> dict:
    remedy = "correct config speech.whisper_model, or say speech.audio_features: logmel"
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise InputError(path, "does not exist", remedy)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: dict[str, Any] = load_file(path)
        else:
            import torch

            weights = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
            weights = openai_encoder(weights)
    except Exception as error:  # bytes of another kind fail in ways of their own
        raise InputError(
            path, f"is no readable checkpoint ({type(error).__name__})", remedy
        ) from error
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in weights):
            weights = {
                k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)
            }
    if not {"conv1.weight", "embed_positions.weight"} <= weights.keys():
        raise InputError(path, "is no Whisper encoder (has no conv1 and positions)", remedy)
    return weights
