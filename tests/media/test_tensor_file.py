"""Tensors come back as they were, from small files; broken ones are said in one line."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from wildtalker_core.errors import InputError
from wildtalker_core.media.tensor_file import load_tensors, save_tensors


def test_every_type_and_shape_comes_back(tmp_path):
    torch.manual_seed(0)
    tensors = {
        "half": torch.randn(7, 3).half(), "float": torch.randn(2, 3, 4).mT,
        "scalar": torch.ones(()),
        "bytes": torch.arange(-9, 9, dtype=torch.int8), "long": torch.tensor(-5),
        "int": torch.arange(12, dtype=torch.int32).view(3, 4), "none": torch.zeros(0, 4),
        "infinite": torch.tensor([-torch.inf, torch.inf]),
    }  # fmt: skip
    save_tensors(tmp_path / "a", tensors, {"version": 1})
    found, header = load_tensors(tmp_path / "a")
    assert header == {"version": 1} and found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
        found[name].add_(1)  # it is its own memory


def test_smooth_numbers_take_less_than_their_bytes(tmp_path):
    """Deflate alone hardly packs floats: their last bytes are noise between the exponents."""
    save_tensors(tmp_path / "a", {"wave": 1 + torch.rand(40000) / 2}, {})
    assert (tmp_path / "a").stat().st_size < 0.9 * 4 * 40000


def test_a_size_that_is_not_the_headers_is_refused(tmp_path):
    save_tensors(tmp_path / "a", {"x": torch.zeros(1000)}, {})
    with safe_open(tmp_path / "a", framework="pt") as archive:
        packed = archive.get_tensor("x")
    for kind in (["float32", [999]], ["float32", [10**12]], ["nonsense", [1000]], 3,
                 ["float32", [-1000]]):  # fmt: skip
        header = {"header": json.dumps({"deflated": {"x": kind}})}
        save_file({"x": packed}, tmp_path / "b", header)
        with pytest.raises(InputError) as error:
            load_tensors(tmp_path / "b")
        assert "\n" not in str(error.value)
    save_file({"x": packed[:5].clone()}, tmp_path / "b",
              {"header": json.dumps({"deflated": {"x": ["float32", [1000]]}})})  # fmt: skip
    with pytest.raises(InputError):
        load_tensors(tmp_path / "b")
