"""Which device a name means, and what training asks of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.training.conftest import tiny_preset
from wildtalker_core.devices import sent
from wildtalker_core.errors import InputError
from wildtalker_core.nerf.encoders import resolve_encoder
from wildtalker_core.option_types import options_of
from wildtalker_core.splats.rasterisers import resolve_rasteriser
from wildtalker_core.training import head, stages
from wildtalker_core.training.build import choose_device, new_portrait
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.head_targets import HeadTargets
from wildtalker_core.training.options import HeadOptions
from wildtalker_core.training.precision import compute_dtype

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.fixture
def gpus(monkeypatch):
    """Says which GPUs PyTorch finds."""

    def found(cuda: bool, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return found


def test_names_of_devices(gpus):
    gpus(cuda=False, mps=True)
    assert choose_device("mps") == MPS
    assert choose_device("auto") == CPU
    with pytest.raises(InputError, match="no CUDA device"):
        choose_device("cuda")
    gpus(cuda=False, mps=False)
    with pytest.raises(InputError, match="no Metal device"):
        choose_device("mps")


def test_mps_computes_by_the_definitions_in_float32():
    assert resolve_encoder("auto", MPS) == "torch"
    assert resolve_rasteriser("auto", MPS) == "torch"
    assert compute_dtype("auto", MPS) is None


def test_convolutions_on_a_gpu_keep_all_digits(gpus, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    gpus(cuda=True, mps=False)
    assert choose_device("auto").type == "cuda"
    assert not torch.backends.cudnn.allow_tf32


def test_host_values_go_to_a_gpu_from_pinned_memory_without_waiting(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: calls.append("pin") or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: calls.append((a, k)) or self)
    cuda = torch.device("cuda")
    sent(np.arange(3), cuda)
    assert calls == ["pin", ((cuda,), {"non_blocking": True})]
    calls.clear()
    sent(torch.arange(3), CPU)
    assert calls == [((CPU,), {})]


class NoDoubles(TorchDispatchMode):
    """Fails on an operation that makes float64, which Apple's GPUs do not have."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
                raise TypeError(f"{function} made float64")
        return result


def test_the_watch_sees_float64():
    with NoDoubles(), pytest.raises(TypeError):
        torch.ones(2).double()


@pytest.mark.parametrize("name", ["fast", "er_nerf"])
def test_steps_and_pictures_make_no_float64(scene, name):
    options = tiny_preset(name)
    portrait, clip = new_portrait(scene, options["model"], "torch", CPU, 0), Clip.of(scene, CPU)
    lip_features = stages.told_lips(portrait, clip)
    settings = options_of(HeadOptions, options["head"])
    targets = HeadTargets(clip)
    generator = torch.Generator().manual_seed(0)
    batch = head.sample_batch(targets, scene.train_frames, settings, generator)
    with NoDoubles():
        head.head_step(
            portrait, clip, lip_features, targets, batch, settings, 0.5, generator, True
        ).total.backward()
        head.update_occupancy(portrait, clip, lip_features, scene.train_frames, True, generator)
        portrait.render_frame(
            clip.T_camera_head[0], lip_features(torch.tensor([0]))[0], clip.expression[0]
        )
