"""One part of ``gpu_day.py``: a kernel, a preset, or a head; rows are written as they come.

python benchmarks/gpu_day_parts.py KIND NAME DEVICE SIZE TINY ENDS ROWS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_day_training import try_longest, try_preset, try_splats
from tests.splats import clouds
from tests.training.conftest import CONFIG
from wildtalker_core.errors import InputError
from wildtalker_core.nerf import hash_grid
from wildtalker_core.nerf.encoders import ENCODERS, layout_of, look_up_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.splats.rasterisers import RASTERISERS, resolve_rasteriser
from wildtalker_core.training.build import choose_device, device_name
from wildtalker_core.training.photometric_loss import IMPLEMENTATIONS, photometric_loss

# Largest error that float32 may have, as a part of the largest value of the definition in float64.
# Gradients add up in any order over thousands of samples.
_TOLERANCE = 1e-3
_CALLS = 10


class Part:
    """What a part is told, and where its rows go."""

    def __init__(self, device: str, size: str, tiny: str, ends: str, rows: str) -> None:
        self.device = choose_device(device)
        self.size, self.is_tiny = int(size), bool(int(tiny))
        self.ends, self.rows = float(ends), Path(rows)

    def write(self, **row: Any) -> None:
        """Append a row."""
        with self.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def synchronise(self) -> None:
        """Wait for all that the device was asked to do."""
        if self.device.type in ("cuda", "mps"):
            getattr(torch, self.device.type).synchronize()

    def milliseconds(self, run: Callable[[], Any], n: int = _CALLS) -> float:
        """Of a call, the quickest of ``n``; one goes before, which compiles."""
        run()
        spans = []
        for _ in range(n):
            self.synchronise()
            started = time.perf_counter()
            run()
            self.synchronise()
            spans.append(1e3 * (time.perf_counter() - started))
        return min(spans)

    def memory_gb(self) -> float:
        """Largest memory of the device so far; 0 where PyTorch does not count it."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.device.type == "cuda" else 0.0


def look_around(part: Part) -> None:
    """Name the device, its software, and what there is to be tried on it."""
    facts: dict[str, Any] = {"device": device_name(part.device), "torch": torch.__version__}
    if part.device.type == "cuda":
        properties = torch.cuda.get_device_properties(part.device)
        facts |= {
            "CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version()),
            "capability": f"{properties.major}.{properties.minor}",
            "memory GB": properties.total_memory / 1e9,
        }  # fmt: skip
    part.write(**facts)
    for kind, names, resolve in (
        ("hash_grid", ENCODERS, resolve_encoder),
        ("rasteriser", RASTERISERS, resolve_rasteriser),
    ):
        for name in names:
            try:
                if resolve(name, part.device) == name:
                    part.write(kind=kind, name=name)
            except InputError as error:
                part.write(**{"left out": f"{kind} {name}", "reason": str(error)})
    part.write(kind="photometric_loss", name="all")
    for path in sorted((CONFIG / "presets").glob("*.yaml")):
        part.write(kind="preset", name=path.stem)
    part.write(kind="splats", name="fast")


def compare(
    part: Part, kernel: str, found: dict[str, Tensor], expected: dict[str, Tensor], run: Callable
) -> None:
    """Write how far a kernel is from its definition in float64, and how quick it is."""
    errors = {}
    for name, wanted in expected.items():
        scale = max(wanted.abs().max().item(), 1e-12)
        difference = (found[name].cpu().double() - wanted).abs().flatten() / scale
        # It jumps at a cell's border, and rounding may put a place on the other side of it.
        of_places = name == "gradient of positions"
        errors[name] = (difference.quantile(0.99) if of_places else difference.max()).item()
    worst = max(errors, key=lambda name: np.nan_to_num(errors[name], nan=np.inf))
    part.write(
        kernel=kernel, agrees=bool(errors[worst] <= _TOLERANCE), worst=worst,
        error=errors[worst], milliseconds=part.milliseconds(run),
    )  # fmt: skip


def try_hash_grid(part: Part, encoder: str) -> None:
    """Values and gradients of planes as the head has them, of the torso's grid and a volume."""
    layout = layout_of(encoder)
    n, table, finest = (200, 10, 64) if part.is_tiny else (16384, 16, 2048)
    for n_grids, n_dims, levels, features in ((3, 2, 12, 1), (1, 2, 16, 2), (1, 3, 16, 2)):
        shape = HashGridShape(n_dims, levels, features, table, 16, finest, layout=layout)
        made = torch.Generator().manual_seed(0)
        places = torch.rand(n_grids, n, n_dims, generator=made)
        tables = torch.randn(n_grids, shape.n_entries, shape.n_features_per_level, generator=made)
        wishes = torch.randn(n, n_grids * shape.n_features, generator=made)

        def outcome(look_up, device, dtype, given=(places, tables, wishes), shape=shape):
            positions, entries, weights = (x.to(device, dtype).detach() for x in given)
            inputs = (positions.requires_grad_(), entries.requires_grad_())
            features = look_up(*inputs, shape)
            gradients = torch.autograd.grad(features, inputs, weights.to(features.dtype))
            return {
                "features": features.detach(), "gradient of positions": gradients[0],
                "gradient of tables": gradients[1],
            }  # fmt: skip

        expected = outcome(hash_grid.look_up, "cpu", torch.float64)

        def run(outcome=outcome):
            return outcome(look_up_of(encoder), part.device, torch.float32)

        kernel = f"hash grid {encoder}, {n_grids} x {n_dims}-D x {levels} x {features}, {n} points"
        compare(part, kernel, run(), expected, run)


def try_rasteriser(part: Part, rasteriser: str) -> None:
    """Picture and gradients of a cloud of Gaussians."""
    n, side = (200, 32) if part.is_tiny else (3000, 128)
    cloud = clouds.random_cloud(n)
    single = {name: tensor.to(part.device) for name, tensor in clouds.single(cloud).items()}
    exact = {name: tensor.double() for name, tensor in clouds.single(cloud).items()}
    expected = clouds.values_and_gradients(exact, side, side, "compact", "torch")

    def run() -> dict[str, Tensor]:
        return clouds.values_and_gradients(single, side, side, "compact", rasteriser)

    kernel = f"rasteriser {rasteriser}, {n} Gaussians, {side} pixels"
    compare(part, kernel, run(), expected, run)


def try_photometric_loss(part: Part, _: str) -> None:
    """L1 with SSIM, and its gradient."""
    side = 64 if part.is_tiny else 512
    made = torch.Generator().manual_seed(0)
    # Smooth pictures that differ a little: there SSIM subtracts nearly equal numbers.
    coarse = torch.rand(2, 3, side // 16, side // 16, generator=made)
    picture, reference = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    reference = picture + 0.02 * reference
    weight = torch.rand(side, side, generator=made)

    def outcome(device, dtype, implementation):
        a, b = (x.permute(1, 2, 0).to(device, dtype).contiguous() for x in (picture, reference))
        a = a.detach().requires_grad_()
        loss = photometric_loss(a, b, weight.to(device, dtype), implementation=implementation)
        return {"loss": loss.detach(), "gradient": torch.autograd.grad(loss, a)[0]}

    expected = outcome("cpu", torch.float64, "torch")
    for name in IMPLEMENTATIONS:
        if name == "auto" or (name == "numba" and part.device.type != "cpu"):
            continue

        def run(name=name):
            return outcome(part.device, torch.float32, name)

        compare(part, f"photometric loss {name}, {side} pixels", run(), expected, run)


KINDS = {
    "look": lambda part, _: look_around(part), "hash_grid": try_hash_grid,
    "rasteriser": try_rasteriser, "photometric_loss": try_photometric_loss,
    "preset": try_preset, "splats": try_splats, "longest": try_longest,
}  # fmt: skip


if __name__ == "__main__":
    kind, name, *told = sys.argv[1:]
    KINDS[kind](Part(*told), name)
