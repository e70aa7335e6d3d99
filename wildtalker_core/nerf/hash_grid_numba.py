"""The hash grid of ``hash_grid.look_up`` as compiled CPU loops: all grids in one call.

Threads are numba's own (``numba.set_num_threads``). The result does not depend on their number:
the backward pass gives every thread whole levels, so no two threads add to one entry and sums keep
their order.
"""

from __future__ import annotations

import os
import tempfile

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.nerf.hash_grid import HASH_PRIMES, HashGridShape


def _choose_cache_dir() -> None:
    """Point numba's cache to a folder that can be written, if its own choices cannot."""
    candidates = (os.path.join(os.path.dirname(__file__), "__pycache__"), os.path.expanduser("~"))
    if "NUMBA_CACHE_DIR" not in os.environ and not any(os.access(d, os.W_OK) for d in candidates):
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(tempfile.gettempdir(), "wildtalker-numba")


_choose_cache_dir()
import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)
from numba import njit, prange  # noqa: E402

# Numba's pool must sleep between calls: OpenMP's spins for milliseconds after each, on the core
# that torch computes on, and made a training step three times as slow.
numba.config.THREADING_LAYER = "workqueue"

_PRIME_Y, _PRIME_Z = np.uint32(HASH_PRIMES[1]), np.uint32(HASH_PRIMES[2])
_BLOCK = 256  # positions whose level tables stay in cache together


@njit(inline="always")
def _entry(ix, iy, iz, side, is_hashed, mask):
    if is_hashed:
        return np.int64(
            (np.uint32(ix) ^ (np.uint32(iy) * _PRIME_Y) ^ (np.uint32(iz) * _PRIME_Z)) & mask
        )
    return np.int64(ix) + side * (np.int64(iy) + side * np.int64(iz))


@njit(parallel=True, cache=True, nogil=True)
def _forward_2d(positions, tables, scales, sides, is_hashed, offsets, out):
    n_grids, n = positions.shape[0], positions.shape[1]
    n_levels, n_per_level = scales.shape[0], tables.shape[2]
    n_blocks = (n + _BLOCK - 1) // _BLOCK
    for block in prange(n_blocks):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, n)
        for grid in range(n_grids):
            for level in range(n_levels):
                scale, side, hashed = scales[level], sides[level], is_hashed[level]
                start = offsets[level]
                mask = np.uint32(offsets[level + 1] - start - 1)
                column = (grid * n_levels + level) * n_per_level
                for i in range(first, last):
                    x, y = positions[grid, i, 0], positions[grid, i, 1]
                    if not (x >= 0 and x <= 1 and y >= 0 and y <= 1):
                        for f in range(n_per_level):
                            out[i, column + f] = 0
                        continue
                    x = x * scale + np.float32(0.5)
                    y = y * scale + np.float32(0.5)
                    ix, iy = int(x), int(y)
                    fx, fy = x - np.float32(ix), y - np.float32(iy)
                    a = start + _entry(ix, iy, 0, side, hashed, mask)
                    b = start + _entry(ix + 1, iy, 0, side, hashed, mask)
                    c = start + _entry(ix, iy + 1, 0, side, hashed, mask)
                    d = start + _entry(ix + 1, iy + 1, 0, side, hashed, mask)
                    gx, gy = np.float32(1) - fx, np.float32(1) - fy
                    for f in range(n_per_level):
                        out[i, column + f] = gy * (
                            gx * tables[grid, a, f] + fx * tables[grid, b, f]
                        ) + fy * (gx * tables[grid, c, f] + fx * tables[grid, d, f])


@njit(parallel=True, cache=True, nogil=True)
def _backward_tables_2d(positions, grad_out, scales, sides, is_hashed, offsets, grad_tables):
    n_grids, n = positions.shape[0], positions.shape[1]
    n_levels, n_per_level = scales.shape[0], grad_tables.shape[2]
    for task in prange(n_grids * n_levels):
        grid, level = task // n_levels, task % n_levels
        scale, side, hashed, start = scales[level], sides[level], is_hashed[level], offsets[level]
        mask = np.uint32(offsets[level + 1] - start - 1)
        column = task * n_per_level
        for i in range(n):
            x, y = positions[grid, i, 0], positions[grid, i, 1]
            if not (x >= 0 and x <= 1 and y >= 0 and y <= 1):
                continue
            x = x * scale + np.float32(0.5)
            y = y * scale + np.float32(0.5)
            ix, iy = int(x), int(y)
            fx, fy = x - np.float32(ix), y - np.float32(iy)
            a = start + _entry(ix, iy, 0, side, hashed, mask)
            b = start + _entry(ix + 1, iy, 0, side, hashed, mask)
            c = start + _entry(ix, iy + 1, 0, side, hashed, mask)
            d = start + _entry(ix + 1, iy + 1, 0, side, hashed, mask)
            gx, gy = np.float32(1) - fx, np.float32(1) - fy
            for f in range(n_per_level):
                g = grad_out[i, column + f]
                grad_tables[grid, a, f] += gx * gy * g
                grad_tables[grid, b, f] += fx * gy * g
                grad_tables[grid, c, f] += gx * fy * g
                grad_tables[grid, d, f] += fx * fy * g


@njit(parallel=True, cache=True, nogil=True)
def _backward_positions_2d(
    positions, tables, grad_out, scales, sides, is_hashed, offsets, grad_positions
):
    n_grids, n = positions.shape[0], positions.shape[1]
    n_levels, n_per_level = scales.shape[0], tables.shape[2]
    for i in prange(n):
        for grid in range(n_grids):
            x0, y0 = positions[grid, i, 0], positions[grid, i, 1]
            if not (x0 >= 0 and x0 <= 1 and y0 >= 0 and y0 <= 1):
                continue
            grad_x, grad_y = np.float32(0), np.float32(0)
            for level in range(n_levels):
                scale, side, hashed = scales[level], sides[level], is_hashed[level]
                start = offsets[level]
                mask = np.uint32(offsets[level + 1] - start - 1)
                x = x0 * scale + np.float32(0.5)
                y = y0 * scale + np.float32(0.5)
                ix, iy = int(x), int(y)
                fx, fy = x - np.float32(ix), y - np.float32(iy)
                a = start + _entry(ix, iy, 0, side, hashed, mask)
                b = start + _entry(ix + 1, iy, 0, side, hashed, mask)
                c = start + _entry(ix, iy + 1, 0, side, hashed, mask)
                d = start + _entry(ix + 1, iy + 1, 0, side, hashed, mask)
                column = (grid * n_levels + level) * n_per_level
                for f in range(n_per_level):
                    g = grad_out[i, column + f] * scale
                    ta, tb = tables[grid, a, f], tables[grid, b, f]
                    tc, td = tables[grid, c, f], tables[grid, d, f]
                    grad_x += g * ((np.float32(1) - fy) * (tb - ta) + fy * (td - tc))
                    grad_y += g * ((np.float32(1) - fx) * (tc - ta) + fx * (td - tb))
            grad_positions[grid, i, 0] = grad_x
            grad_positions[grid, i, 1] = grad_y


def _levels(shape: HashGridShape) -> tuple[np.ndarray, ...]:
    return (
        np.array(shape.scales, np.float32),
        np.array(shape.sides, np.int64),
        np.array(shape.is_hashed, np.bool_),
        np.array(shape.offsets, np.int64),
    )


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions: Tensor, tables: Tensor, shape: HashGridShape) -> Tensor:
        positions, tables = positions.contiguous(), tables.contiguous()
        ctx.save_for_backward(positions, tables)
        ctx.shape = shape
        out = torch.empty(positions.shape[1], len(tables) * shape.n_features)
        numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        _forward_2d(
            positions.detach().numpy(), tables.detach().numpy(), *_levels(shape), out.numpy()
        )
        return out

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        positions, tables = ctx.saved_tensors
        grad_out = grad_out.contiguous()
        levels = _levels(ctx.shape)
        grad_positions = grad_tables = None
        if ctx.needs_input_grad[0]:
            grad_positions = torch.zeros_like(positions)
            _backward_positions_2d(
                positions.detach().numpy(),
                tables.detach().numpy(),
                grad_out.numpy(),
                *levels,
                grad_positions.numpy(),
            )
        if ctx.needs_input_grad[1]:
            grad_tables = torch.zeros_like(tables)
            _backward_tables_2d(
                positions.detach().numpy(), grad_out.numpy(), *levels, grad_tables.numpy()
            )
        return grad_positions, grad_tables, None


def look_up(positions: Tensor, tables: Tensor, shape: HashGridShape) -> Tensor:
    """As :func:`wildtalker_core.nerf.hash_grid.look_up`; float32 on the CPU, two dimensions."""
    if shape.n_dims != 2 or positions.dtype != torch.float32 or positions.device.type != "cpu":
        raise ValueError(
            f"the numba hash grid takes 2-D float32 positions on the CPU, got {shape.n_dims}-D "
            f"{positions.dtype} on {positions.device}"
        )
    return _LookUp.apply(positions, tables, shape)
