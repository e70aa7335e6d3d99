"""Tiny encoders saved to disk: transformers checkpoints, and an ONNX file written byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops


def save_tiny_hf(folder: Path, family: str = "hubert", n_layers: int = 2) -> Path:
    """A random wav2vec 2.0 or HuBERT of 24 features with the published strides."""
    ensure_torchvision_ops()
    import torch
    import transformers

    torch.manual_seed(0)
    config_class, model_class = {
        "hubert": (transformers.HubertConfig, transformers.HubertModel),
        "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    }[family]
    config = config_class(
        hidden_size=24,
        num_hidden_layers=n_layers,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    model_class(config).save_pretrained(folder)
    return folder


def save_tiny_deepspeech(path: Path, n_inputs: int = 494, n_logits: int = 29) -> np.ndarray:
    """``logits`` [steps, 1, 29] = transpose(input_node [1, steps, 494] @ weights) as ONNX.

    Returns the weights [494, 29]: logit j is the j-th cepstrum of the middle of the context, the
    last three are zero. Fields are numbered as in onnx.proto.
    """
    weights = np.zeros((n_inputs, n_logits), np.float32)
    weights[9 * 26 + np.arange(26), np.arange(26)] = 1.0
    initializer = (
        _number(1, n_inputs) + _number(1, n_logits) + _number(2, 1)
        + _bytes(8, b"weights") + _bytes(9, weights.tobytes())
    )  # fmt: skip
    matmul = (
        _bytes(1, b"input_node") + _bytes(1, b"weights") + _bytes(2, b"product")
        + _bytes(4, b"MatMul")
    )  # fmt: skip
    permutation = _bytes(1, b"perm") + b"".join(_number(8, i) for i in (1, 0, 2)) + _number(20, 7)
    transpose = (
        _bytes(1, b"product") + _bytes(2, b"logits") + _bytes(4, b"Transpose")
        + _bytes(5, permutation)
    )  # fmt: skip
    graph = (
        _bytes(1, matmul) + _bytes(1, transpose) + _bytes(2, b"tiny") + _bytes(5, initializer)
        + _bytes(11, _value(b"input_node", 1, [1, "steps", n_inputs]))
        + _bytes(11, _value(b"input_lengths", 6, [1]))
        + _bytes(12, _value(b"logits", 1, ["steps", 1, n_logits]))
    )  # fmt: skip
    opset = _bytes(1, b"") + _number(2, 13)
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, opset))
    return weights


def _value(name: bytes, element: int, shape: list[int | str]) -> bytes:
    dimensions = b"".join(
        _bytes(1, _bytes(2, n.encode()) if isinstance(n, str) else _number(1, n)) for n in shape
    )
    tensor = _number(1, element) + _bytes(2, dimensions)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes(result) + bytes([number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
