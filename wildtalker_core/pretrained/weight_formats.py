"""Weights as others store them -> safetensors under the names of the networks that we run.

All of these files are read as data. What comes out depends on the values alone, so that a file has
one sum whatever source it was made from.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath

Arrays = dict[str, np.ndarray]

_ALEXNET_LAYERS = (0, 3, 6, 8, 10)  # of torchvision's ``features``
#: Of OpenAI's and transformers' names of a Whisper encoder.
_OPENAI_NAMES = (
    ("blocks.", "layers."),
    ("attn_ln.", "self_attn_layer_norm."),
    ("attn.query.", "self_attn.q_proj."),
    ("attn.key.", "self_attn.k_proj."),
    ("attn.value.", "self_attn.v_proj."),
    ("attn.out.", "self_attn.out_proj."),
    ("mlp_ln.", "final_layer_norm."),
    ("mlp.0.", "fc1."),
    ("mlp.2.", "fc2."),
    ("ln_post.", "layer_norm."),
)
_CT2_NAMES = (
    ("layer_norm/gamma", "layer_norm.weight"),
    ("layer_norm/beta", "layer_norm.bias"),
    ("self_attention/layer_norm", "self_attn_layer_norm"),
    ("self_attention/linear_1", "self_attn.out_proj"),
    ("ffn/layer_norm", "final_layer_norm"),
    ("ffn/linear_0", "fc1"),
    ("ffn/linear_1", "fc2"),
    ("position_encodings/encodings", "embed_positions.weight"),
)
_CT2_TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2")


def convert(kind: str, raw: AnyPath, path: AnyPath) -> None:
    """Write what the file ``raw`` of a ``kind`` of ``READERS`` holds to ``path``, as safetensors.

    Raises InputError: the file is not of that kind.
    """
    try:
        arrays = READERS[kind](Path(raw))
    except Exception as error:  # bytes of another kind fail in ways of their own
        raise InputError(
            raw, f"cannot be read as {kind} ({type(error).__name__}: {error})", "fetch it again"
        ) from error
    stored = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    Path(path).write_bytes(stored)


def torchvision_alexnet(path: Path) -> Arrays:
    """The convolutions of torchvision's AlexNet (``features.*``); its classifier is left out."""
    import torch

    weights = torch.load(path, map_location="cpu", weights_only=True)
    return {k: v.numpy() for k, v in weights.items() if k.startswith("features.")}


def flax_alexnet(path: Path) -> Arrays:
    """The same from a pickle of arrays [height, width, in, out], as JAX's users keep them."""
    trunk = _ArraysOnly(io.BytesIO(path.read_bytes())).load()["AlexNet_0"]
    arrays = {}
    for i, layer in enumerate(_ALEXNET_LAYERS):
        arrays[f"features.{layer}.weight"] = trunk[f"Conv_{i}"]["kernel"].transpose(3, 2, 0, 1)
        arrays[f"features.{layer}.bias"] = trunk[f"Conv_{i}"]["bias"]
    return arrays


def openai_whisper(path: Path) -> Arrays:
    """The encoder of a checkpoint that OpenAI published, under transformers' names, half floats."""
    import torch

    weights = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
    return openai_encoder({name: values.half().numpy() for name, values in weights.items()})


def openai_encoder(weights: Mapping[str, Any]) -> Arrays:
    """The encoder's entries of OpenAI's ``encoder.*``, renamed as transformers has them."""
    arrays = {}
    for name, values in weights.items():
        if not name.startswith("encoder."):
            continue
        name = name.removeprefix("encoder.")
        if name == "positional_embedding":
            name = "embed_positions.weight"
        for theirs, ours in _OPENAI_NAMES:
            name = name.replace(theirs, ours)
        arrays[name] = values
    return arrays


def ctranslate2_whisper(path: Path) -> Arrays:
    """The encoder of a Whisper model of CTranslate2, under transformers' names."""
    stored = {
        name.removeprefix("encoder/"): values
        for name, values in read_ctranslate2(path.read_bytes()).items()
        if name.startswith("encoder/") and values.ndim
    }
    arrays = {}
    for name, values in stored.items():
        for theirs, ours in _CT2_NAMES:
            name = name.replace(theirs, ours)
        name = re.sub(r"^layer_(\d)", r"layers.\1", name).replace("/", ".")
        if "self_attention.linear_0" not in name:
            arrays[name] = values
            continue
        # Queries, keys and values lie above one another; keys have no bias in Whisper.
        for part, piece in zip("qkv", np.split(values, 3), strict=True):
            if (part, values.ndim) != ("k", 1):
                arrays[name.replace("self_attention.linear_0", f"self_attn.{part}_proj")] = piece
    return arrays


def read_ctranslate2(data: bytes) -> Arrays:
    """All variables of a CTranslate2 model file (its binary version 6)."""
    place = 0

    def take(kind: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{kind}", data, place)
        place += struct.calcsize(kind)
        return value

    def text() -> str:
        nonlocal place
        length = take("H")
        place += length
        return data[place - length : place - 1].decode()  # ends in a zero byte

    version = take("I")
    if version != 6:
        raise ValueError(f"version {version} of CTranslate2's format is not known")
    text(), take("I")  # the model's kind and its revision
    variables = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        dtype, n_bytes = np.dtype(_CT2_TYPES[take("B")]), take("I")
        values = np.frombuffer(data, dtype, n_bytes // dtype.itemsize, place)
        variables[name] = values.reshape(shape)
        place += n_bytes
    return variables


class _ArraysOnly(pickle.Unpickler):
    """Knows numpy arrays and nothing else: what any other pickle names is refused, not called."""

    _KNOWN = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"holds {module}.{name}, which is no array")
        return super().find_class(module, name)


READERS: dict[str, Callable[[Path], Arrays]] = {
    "torchvision AlexNet": torchvision_alexnet,
    "flax AlexNet": flax_alexnet,
    "OpenAI Whisper": openai_whisper,
    "CTranslate2 Whisper": ctranslate2_whisper,
}
