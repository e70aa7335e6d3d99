"""Speech encoders: wav2vec 2.0, HuBERT and XLS-R through transformers, DeepSpeech as ONNX."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.optional import import_optional
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops

#: Samples between two steps of the encoder and samples that a step hears, at 16 kHz.
HOP_SAMPLES, FIELD_SAMPLES = 320, 400
N_INPUTS, N_LOGITS = 494, 29  # of DeepSpeech 0.1.0


def load_hf_encoder(model: str | None, layer: int) -> Callable[[np.ndarray], np.ndarray]:
    """An encoder of waveforms at 16 kHz: [samples] of unit power → hidden states [steps, features].

    Args:
        model: folder of a checkpoint (``config.json`` and ``model.safetensors``), or its name on
            the model hub, which is then fetched once by transformers.
        layer: whose hidden states; 0 is what the transformer is fed, -1 its last layer.

    Raises InputError: no model named, not loadable, not an encoder of this family, no such layer.
    """
    key = "config speech.hf_model"
    if not model:
        raise InputError(
            key,
            "names no checkpoint, which audio_features: hf needs",
            "give the folder or the name of a wav2vec 2.0, HuBERT or XLS-R checkpoint",
        )
    if looks_like_path(model) and not Path(model, "config.json").is_file():
        raise InputError(
            model,
            "is no folder with a checkpoint (config.json is not there)",
            f"put config.json and model.safetensors there, or correct {key}",
        )
    ensure_torchvision_ops()  # transformers imports torchvision if it is there
    import torch

    transformers = import_optional("transformers", "speech.audio_features: hf", "hear")
    try:
        config = transformers.AutoConfig.from_pretrained(model)
        _check_geometry(config, model)
        n_layers = config.num_hidden_layers
        if not -n_layers - 1 <= layer <= n_layers:
            raise InputError(
                f"config speech.hf_layer: {layer}",
                f"{model} has the layers 0 to {n_layers}",
                "choose one of them, or -1 for the last",
            )
        network = transformers.AutoModel.from_pretrained(model, dtype=torch.float32).eval()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            model,
            f"cannot be loaded as a checkpoint ({reason})",
            f"without network, copy the checkpoint here and give its folder as {key}",
        ) from error

    def encode(waveform: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            states = network(
                torch.from_numpy(np.ascontiguousarray(waveform, np.float32))[None],
                output_hidden_states=True,
            ).hidden_states
        return states[layer][0].numpy()

    return encode


def load_deepspeech(path: AnyPath | None) -> Callable[[np.ndarray], np.ndarray]:
    """DeepSpeech 0.1.0: cepstra with context [steps, 494] → character logits [steps, 29].

    The file is the frozen graph exported to ONNX. Its inputs are ``input_node`` float32
    [1, steps, 494] (rank 2 without the leading 1 will do) and, if the graph wants it,
    ``input_lengths`` int32 or int64 [1]; its first output with 29 columns is ``logits``
    [steps, 1, 29], [1, steps, 29] or [steps, 29]. Names are free: inputs are told apart by type.

    Raises InputError: no file named, absent, not ONNX, other inputs or outputs.
    """
    key = "config speech.deepspeech_model"
    if not path:
        raise InputError(
            key,
            "names no file, which audio_features: deepspeech needs",
            "export the frozen graph of DeepSpeech 0.1.0 to ONNX and give its path",
        )
    if not Path(path).is_file():
        raise InputError(path, "does not exist", f"correct {key}")
    session = _open_onnx(path)
    cepstra, lengths = _inputs_of(session, path)

    def recognise(inputs: np.ndarray) -> np.ndarray:
        fed = inputs if len(cepstra.shape) == 2 else inputs[None]
        feed = {cepstra.name: np.ascontiguousarray(fed, np.float32)}
        for entry in lengths:
            kind = np.int32 if entry.type == "tensor(int32)" else np.int64
            feed[entry.name] = np.array([len(inputs)], kind)
        for output in session.run(None, feed):
            is_whole = output.size == len(inputs) * N_LOGITS
            if is_whole and output.ndim >= 2 and output.shape[-1] == N_LOGITS:
                return output.reshape(len(inputs), N_LOGITS).astype(np.float32)
        raise InputError(
            path,
            f"gives no output of {len(inputs)} steps and {N_LOGITS} logits",
            "export the node `logits` of DeepSpeech 0.1.0",
        )

    return recognise


def looks_like_path(model: str) -> bool:
    """A hub name is ``owner/name``; anything that is there, absolute or deeper is a path."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1


def _open_onnx(path: AnyPath) -> Any:
    """The session of an ONNX file. Raises InputError if it is none."""
    onnxruntime = import_optional("onnxruntime", "speech.audio_features: deepspeech", "hear")
    errors = onnxruntime.capi.onnxruntime_pybind11_state
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            path, f"is not a usable ONNX file ({reason})", "export it again"
        ) from error


def _inputs_of(session: Any, path: AnyPath) -> tuple[Any, list[Any]]:
    """DeepSpeech's input of cepstra, and that of lengths if there is one; InputError for others."""
    inputs = session.get_inputs()
    cepstra = [
        e for e in inputs if e.type == "tensor(float)" and e.shape and e.shape[-1] == N_INPUTS
    ]
    lengths = [e for e in inputs if e.type in ("tensor(int32)", "tensor(int64)")]
    if len(cepstra) != 1 or len(lengths) > 1 or len(inputs) > 2:
        found = ", ".join(f"{e.name} {e.type} {e.shape}" for e in inputs)
        raise InputError(
            path,
            f"has the inputs {found}",
            f"export DeepSpeech 0.1.0 with one float input [1, steps, {N_INPUTS}] and at most "
            "one length",
        )
    return cepstra[0], lengths


def _check_geometry(config: object, model: str) -> None:
    strides = getattr(config, "conv_stride", None)
    kernels = getattr(config, "conv_kernel", None)
    hop, field = 1, 1
    for stride, kernel in zip(strides or (), kernels or (), strict=True):
        field, hop = field + (kernel - 1) * hop, hop * stride
    if (hop, field) != (HOP_SAMPLES, FIELD_SAMPLES):
        raise InputError(
            model,
            "is no encoder of speech with a step of 20 ms and a field of 25 ms at 16 kHz",
            "name a wav2vec 2.0, HuBERT or XLS-R checkpoint in config speech.hf_model",
        )
