"""The hash grid of ``hash_grid.look_up`` as Triton kernels for CUDA devices.

One launch looks up all grids and levels, another does the way back: a program per block of
positions, grid and level. Tables may be float16 or float32; features and all sums are float32.
Gradients are summed by atomic additions, so their last bits differ from run to run.

With ``TRITON_INTERPRET=1`` in the environment before Triton is first imported, the kernels run on
the CPU, slowly, for tests.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from wildtalker_core.nerf.hash_grid import HASH_PRIMES, Features, HashGridShape, Positions, Tables

_BLOCK = 128
_PRIMES = tl.constexpr(HASH_PRIMES)


@triton.jit
def _cells(positions, rows, is_row, scale, N_DIMS: tl.constexpr):
    """Cells of positions: lower vertices and places within, one entry an axis; who is inside."""
    vertices = ()
    places = ()
    is_inside = is_row
    for axis in tl.static_range(N_DIMS):
        x = tl.load(positions + rows * N_DIMS + axis, mask=is_row, other=0.0)
        is_inside_axis = (x >= 0) & (x <= 1)
        is_inside = is_inside & is_inside_axis
        x = tl.where(is_inside_axis, x, 0.0) * scale + 0.5
        vertex = x.to(tl.int32)  # x is not negative
        vertices = vertices + (vertex.to(tl.uint32),)
        places = places + (x - vertex.to(tl.float32),)
    return vertices, places, is_inside


@triton.jit
def _entry(corner: tl.constexpr, vertices, side, size, is_hashed, N_DIMS: tl.constexpr):
    """Entry of a corner in the table of its level; bit a of ``corner``: upper on axis a."""
    hashed = vertices[0] * 0
    dense = vertices[0] * 0
    stride = side * 0 + 1
    for axis in tl.static_range(N_DIMS):
        vertex = vertices[axis] + ((corner >> axis) & 1)
        hashed = hashed ^ (vertex * _PRIMES[axis])
        dense = dense + vertex * stride
        stride = stride * side
    dense = tl.where(dense >= size, dense - size, dense)
    return tl.where(is_hashed, hashed & (size - 1), dense)


@triton.jit
def _weight(corner: tl.constexpr, places, left_out: tl.constexpr, N_DIMS: tl.constexpr):
    """Weight of a corner, without the factor of the axis ``left_out`` (-1 for none)."""
    weight = places[0] * 0 + 1
    for axis in tl.static_range(N_DIMS):
        if axis != left_out:
            if (corner >> axis) & 1:
                weight = weight * places[axis]
            else:
                weight = weight * (1 - places[axis])
    return weight


@triton.jit
def _level(task, scales, sides, sizes, offsets, are_hashed, n_levels, n_entries):
    """Grid, facts and first entry of the level that a program works on."""
    level = task % n_levels
    first = (task // n_levels).to(tl.int64) * n_entries + tl.load(offsets + level)
    side = tl.load(sides + level).to(tl.uint32)
    size = tl.load(sizes + level).to(tl.uint32)
    return tl.load(scales + level), side, size, tl.load(are_hashed + level) != 0, first


@triton.jit
def _forward(
    positions, tables, out, scales, sides, sizes, offsets, are_hashed, n, n_levels, n_entries,
    n_columns, N_DIMS: tl.constexpr, N_FEATURES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    task = tl.program_id(1)
    grid = task // n_levels
    is_row = rows < n
    scale, side, size, is_hashed, first = _level(
        task, scales, sides, sizes, offsets, are_hashed, n_levels, n_entries
    )
    vertices, places, is_inside = _cells(
        positions + grid.to(tl.int64) * n * N_DIMS, rows, is_row, scale, N_DIMS
    )
    for feature in tl.static_range(N_FEATURES):
        total = tl.full((BLOCK,), 0.0, tl.float32)
        for corner in tl.static_range(1 << N_DIMS):
            entry = first + _entry(corner, vertices, side, size, is_hashed, N_DIMS)
            value = tl.load(tables + entry * N_FEATURES + feature, mask=is_inside, other=0.0)
            total += _weight(corner, places, -1, N_DIMS) * value.to(tl.float32)
        column = task * N_FEATURES + feature
        tl.store(out + rows * n_columns + column, total, mask=is_row)


@triton.jit
def _backward(
    positions, tables, grad_out, grad_tables, grad_positions, scales, sides, sizes, offsets,
    are_hashed, n, n_levels, n_entries, n_columns, N_DIMS: tl.constexpr, N_FEATURES: tl.constexpr,
    NEEDS_TABLES: tl.constexpr, NEEDS_POSITIONS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    task = tl.program_id(1)
    grid = task // n_levels
    is_row = rows < n
    scale, side, size, is_hashed, first = _level(
        task, scales, sides, sizes, offsets, are_hashed, n_levels, n_entries
    )
    own = grid.to(tl.int64) * n * N_DIMS
    vertices, places, is_inside = _cells(positions + own, rows, is_row, scale, N_DIMS)
    gradients = grad_out + rows * n_columns + task * N_FEATURES
    if NEEDS_TABLES:
        for feature in tl.static_range(N_FEATURES):
            gradient = tl.load(gradients + feature, mask=is_inside, other=0.0)
            for corner in tl.static_range(1 << N_DIMS):
                entry = first + _entry(corner, vertices, side, size, is_hashed, N_DIMS)
                share = _weight(corner, places, -1, N_DIMS) * gradient
                place = grad_tables + entry * N_FEATURES + feature
                tl.atomic_add(place, share, mask=is_inside, sem="relaxed")
    if NEEDS_POSITIONS:
        for axis in tl.static_range(N_DIMS):
            total = tl.full((BLOCK,), 0.0, tl.float32)
            for feature in tl.static_range(N_FEATURES):
                gradient = tl.load(gradients + feature, mask=is_inside, other=0.0)
                for corner in tl.static_range(1 << N_DIMS):
                    entry = first + _entry(corner, vertices, side, size, is_hashed, N_DIMS)
                    value = tl.load(
                        tables + entry * N_FEATURES + feature, mask=is_inside, other=0.0
                    )
                    slope = _weight(corner, places, axis, N_DIMS) * value.to(tl.float32) * gradient
                    if (corner >> axis) & 1:
                        total += slope
                    else:
                        total -= slope
            place = grad_positions + own + rows * N_DIMS + axis
            tl.atomic_add(place, total * scale, mask=is_inside, sem="relaxed")


@lru_cache
def _levels(shape: HashGridShape, device: torch.device) -> tuple[Tensor, ...]:
    """Scales, sides, sizes, offsets and kinds of the levels, as the kernels read them."""
    return (
        torch.tensor(shape.scales, dtype=torch.float32, device=device),
        *(
            torch.tensor(values, dtype=torch.int32, device=device)
            for values in (shape.sides, shape.level_sizes, shape.offsets, shape.is_hashed)
        ),
    )


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions: Tensor, tables: Tensor, shape: HashGridShape) -> Tensor:
        positions, tables = positions.contiguous(), tables.contiguous()
        ctx.save_for_backward(positions, tables)
        ctx.shape = shape
        n_grids, n, n_dims = positions.shape
        n_columns = n_grids * shape.n_features
        out = torch.empty(n, n_columns, dtype=torch.float32, device=positions.device)
        if n:
            _forward[_programs(n, n_grids, shape)](
                positions, tables, out, *_levels(shape, positions.device), n, shape.n_levels,
                shape.n_entries, n_columns, N_DIMS=n_dims,
                N_FEATURES=shape.n_features_per_level, BLOCK=_BLOCK, enable_fp_fusion=False,
            )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        positions, tables = ctx.saved_tensors
        shape: HashGridShape = ctx.shape
        needs_positions, needs_tables, _ = ctx.needs_input_grad
        n_grids, n, n_dims = positions.shape
        grad_out = grad_out.contiguous()
        grad_positions = torch.zeros_like(positions) if needs_positions else None
        # Float32 even where the tables are not: a coarse entry gathers thousands of small shares.
        grad_tables = torch.zeros_like(tables, dtype=torch.float32) if needs_tables else None
        if n:
            # Pointers that are not needed are not touched; Triton wants some tensor all the same.
            _backward[_programs(n, n_grids, shape)](
                positions, tables, grad_out,
                tables if grad_tables is None else grad_tables,
                positions if grad_positions is None else grad_positions,
                *_levels(shape, positions.device), n, shape.n_levels, shape.n_entries,
                grad_out.shape[1], N_DIMS=n_dims, N_FEATURES=shape.n_features_per_level,
                NEEDS_TABLES=needs_tables, NEEDS_POSITIONS=needs_positions, BLOCK=_BLOCK,
                enable_fp_fusion=False,
            )  # fmt: skip
        return grad_positions, grad_tables, None


def _programs(n: int, n_grids: int, shape: HashGridShape) -> tuple[int, int]:
    return triton.cdiv(n, _BLOCK), n_grids * shape.n_levels


def look_up(positions: Positions, tables: Tables, shape: HashGridShape) -> Features:
    """As :func:`wildtalker_core.nerf.hash_grid.look_up`, on a CUDA device, any dimension.

    Args:
        positions: float32.
        tables: float16 or float32. The gradient of float16 tables is summed in float32 and then
            rounded, as autograd wants it.

    Returns:
        float32.
    """
    if positions.dtype != torch.float32 or tables.dtype not in (torch.float16, torch.float32):
        raise ValueError(
            "the Triton hash grid takes float32 positions and float16 or float32 tables, got "
            f"{positions.dtype} and {tables.dtype}"
        )
    if positions.device.type != "cuda" and not triton.knobs.runtime.interpret:
        raise ValueError(f"the Triton hash grid works on CUDA devices, not on {positions.device}")
    return _LookUp.apply(positions, tables, shape)
