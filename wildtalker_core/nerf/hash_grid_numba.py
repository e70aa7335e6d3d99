"""The hash grid of ``hash_grid.look_up`` as compiled CPU loops: all grids in one call.

Positions go through in blocks. For a block and a level, ``_corners`` computes which entries the
corners of the cells are and how much they weigh, in plain loops that the compiler vectorises; the
look-up, the gradient of the tables and that of the positions then only gather or scatter. Computing
the corners again on the way back is faster than reading them from memory.

Threads are numba's own (``compiled.use_torch_threads``). The result does not depend on their
number: each output and each position's gradient is one thread's, and so is each level of the
tables' gradient, so no two threads add to one entry and sums keep their order.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.compiled import njit, prange, use_torch_threads
from wildtalker_core.nerf.hash_grid import HASH_PRIMES, Features, HashGridShape, Positions, Tables

_PRIMES = np.array(HASH_PRIMES, np.uint32)
# Positions of a block: the loops over one have a fixed length, and what they need stays in the
# first cache.
_BLOCK = 512
# Blocks that a thread looks up in one level before it goes on to the next: the level's table stays
# in cache meanwhile.
_MOST_BLOCKS_A_TASK = 8
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _into_blocks(positions, coordinates, inside):
    """[grids, n, dims] -> coordinates [grids, blocks, dims, _BLOCK], inside [.., blocks, _BLOCK].

    Outside the unit box and beyond n: inside 0 and coordinates 0.
    """
    n_grids, n, n_dims = positions.shape
    n_blocks = inside.shape[1]
    for task in prange(n_grids * n_blocks):
        grid, block = task // n_blocks, task % n_blocks
        rows = positions[grid, block * _BLOCK : (block + 1) * _BLOCK]
        for i in range(_BLOCK):
            inside[grid, block, i] = _ONE if i < len(rows) else _ZERO
        for axis in range(n_dims):
            for i in range(len(rows)):
                x = rows[i, axis]
                is_inside = (x >= _ZERO) & (x <= _ONE)
                coordinates[grid, block, axis, i] = x if is_inside else _ZERO
                inside[grid, block, i] *= _ONE if is_inside else _ZERO
            for i in range(len(rows), _BLOCK):
                coordinates[grid, block, axis, i] = _ZERO


@njit
def _corners(
    coordinates, inside, scale, side, is_hashed, size, n_per_level, index, weight, within, vertex
):
    """Corners of the cells of a block's positions in one level.

    Args:
        coordinates: [dims, _BLOCK]; inside: [_BLOCK].
        scale, side, is_hashed, size: of the level.
        index: [2 ** dims, _BLOCK] uint32, becomes where in the level's table the corners' features
            begin; bit a of a corner's number says whether it is the upper one on axis a.
        weight: [2 ** dims, _BLOCK], becomes the corners' weights, 0 outside.
        within: [dims, _BLOCK], becomes the place within the cell.
        vertex: [_BLOCK] uint32, overwritten.
    """
    for i in range(_BLOCK):
        index[0, i] = 0
    for i in range(_BLOCK):
        weight[0, i] = inside[i]
    factor = np.uint32(1)
    for axis in range(len(coordinates)):
        if is_hashed:
            factor = _PRIMES[axis]
        for i in range(_BLOCK):
            x = coordinates[axis, i] * scale + _HALF
            whole = np.int32(x)
            within[axis, i] = x - np.float32(whole)
            vertex[i] = np.uint32(whole) * factor
        # Each corner so far becomes the lower one on this axis and begets the upper one.
        for lower in range(1 << axis):
            upper = lower | (1 << axis)
            if is_hashed:
                for i in range(_BLOCK):
                    index[upper, i] = index[lower, i] ^ (vertex[i] + factor)
                    index[lower, i] = index[lower, i] ^ vertex[i]
            else:
                for i in range(_BLOCK):
                    entry = index[lower, i] + vertex[i]
                    index[lower, i] = entry
                    index[upper, i] = entry + factor
            for i in range(_BLOCK):
                share = weight[lower, i] * within[axis, i]
                weight[upper, i] = share
                weight[lower, i] = weight[lower, i] - share
        factor = np.uint32(factor * side)
    mask = np.uint32(size - 1) if is_hashed else np.uint32(0xFFFFFFFF)
    for corner in range(len(index)):
        for i in range(_BLOCK):
            entry = np.uint32(index[corner, i] & mask)
            # Beyond a dense level's end (tiny-cuda-nn's layout) lies its start; anywhere else the
            # difference is below zero, that is, a huge number.
            index[corner, i] = min(entry, np.uint32(entry - size)) * n_per_level


# Entries are addressed by unsigned numbers, which numba need not test for Python's negative ones.
# Tables are flat; ``start`` is where a level of a grid begins.


@njit
def _gather_pair(table, start, index, weight, corner, out):
    for i in range(_BLOCK):
        out[i] += (
            weight[corner, i] * table[np.uint64(start) + np.uint64(index[corner, i])]
            + weight[corner + 1, i] * table[np.uint64(start) + np.uint64(index[corner + 1, i])]
        )


@njit
def _scatter(table, start, index, weight, corner, values):
    for i in range(_BLOCK):
        table[np.uint64(start) + np.uint64(index[corner, i])] += weight[corner, i] * values[i]


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _forward(
    coordinates, inside, tables, n_entries, n_per_level, scales, sides, is_hashed, offsets,
    blocks_a_task, out,
):  # fmt: skip
    n_grids, n_blocks, n_dims, _ = coordinates.shape
    n_levels = len(scales)
    for task in prange((n_blocks + blocks_a_task - 1) // blocks_a_task):
        index = np.empty((1 << n_dims, _BLOCK), np.uint32)
        weight = np.empty((1 << n_dims, _BLOCK), np.float32)
        within = np.empty((n_dims, _BLOCK), np.float32)
        vertex = np.empty(_BLOCK, np.uint32)
        features = np.empty(_BLOCK, np.float32)
        last = min((task + 1) * blocks_a_task, n_blocks)
        for grid in range(n_grids):
            for level in range(n_levels):
                size = np.uint32(offsets[level + 1] - offsets[level])
                start = (grid * n_entries + offsets[level]) * n_per_level
                column = (grid * n_levels + level) * n_per_level
                for block in range(task * blocks_a_task, last):
                    _corners(
                        coordinates[grid, block], inside[grid, block], scales[level], sides[level],
                        is_hashed[level], size, np.uint32(n_per_level), index, weight, within,
                        vertex,
                    )  # fmt: skip
                    rows = out[block * _BLOCK : (block + 1) * _BLOCK]
                    for f in range(n_per_level):
                        features[:] = 0
                        for corner in range(0, 1 << n_dims, 2):
                            _gather_pair(tables, start + f, index, weight, corner, features)
                        for i in range(len(rows)):
                            rows[i, column + f] = features[i]


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _backward_tables(
    coordinates, inside, grad_out, n_entries, n_per_level, scales, sides, is_hashed, offsets,
    grad_tables,
):  # fmt: skip
    n_grids, n_blocks, n_dims, _ = coordinates.shape
    n_levels = len(scales)
    for task in prange(n_grids * n_levels):
        grid, level = task // n_levels, task % n_levels
        index = np.empty((1 << n_dims, _BLOCK), np.uint32)
        weight = np.empty((1 << n_dims, _BLOCK), np.float32)
        within = np.empty((n_dims, _BLOCK), np.float32)
        vertex = np.empty(_BLOCK, np.uint32)
        size = np.uint32(offsets[level + 1] - offsets[level])
        start = (grid * n_entries + offsets[level]) * n_per_level
        for block in range(n_blocks):
            _corners(
                coordinates[grid, block], inside[grid, block], scales[level], sides[level],
                is_hashed[level], size, np.uint32(n_per_level), index, weight, within, vertex,
            )  # fmt: skip
            for f in range(n_per_level):
                values = grad_out[task * n_per_level + f, block]
                for corner in range(1 << n_dims):
                    _scatter(grad_tables, start + f, index, weight, corner, values)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _backward_positions(
    coordinates, inside, tables, grad_out, n_entries, n_per_level, scales, sides, is_hashed,
    offsets, grad_positions,
):  # fmt: skip
    n_grids, n_blocks, n_dims, _ = coordinates.shape
    n_levels = len(scales)
    for task in prange(n_grids * n_blocks):
        grid, block = task // n_blocks, task % n_blocks
        index = np.empty((1 << n_dims, _BLOCK), np.uint32)
        weight = np.empty((1 << n_dims, _BLOCK), np.float32)
        within = np.empty((n_dims, _BLOCK), np.float32)
        vertex = np.empty(_BLOCK, np.uint32)
        slope = np.empty(_BLOCK, np.float32)
        total = np.zeros((n_dims, _BLOCK), np.float32)
        for level in range(n_levels):
            size = np.uint32(offsets[level + 1] - offsets[level])
            start = (grid * n_entries + offsets[level]) * n_per_level
            column = (grid * n_levels + level) * n_per_level
            _corners(
                coordinates[grid, block], inside[grid, block], scales[level], sides[level],
                is_hashed[level], size, np.uint32(n_per_level), index, weight, within, vertex,
            )  # fmt: skip
            for corner in range(1 << n_dims):
                # From here on, weight holds what the loss gains by the corner's weight.
                weight[corner] = 0
                for f in range(n_per_level):
                    values = grad_out[column + f, block]
                    for i in range(_BLOCK):
                        entry = np.uint64(start + f) + np.uint64(index[corner, i])
                        weight[corner, i] += tables[entry] * values[i]
                for axis in range(n_dims):
                    sign = scales[level] if (corner >> axis) & 1 else -scales[level]
                    for i in range(_BLOCK):
                        slope[i] = sign * inside[grid, block, i]
                    for other in range(n_dims):
                        if other != axis and (corner >> other) & 1:
                            for i in range(_BLOCK):
                                slope[i] *= within[other, i]
                        elif other != axis:
                            for i in range(_BLOCK):
                                slope[i] *= _ONE - within[other, i]
                    for i in range(_BLOCK):
                        total[axis, i] += slope[i] * weight[corner, i]
        rows = grad_positions[grid, block * _BLOCK : (block + 1) * _BLOCK]
        for axis in range(n_dims):
            for i in range(len(rows)):
                rows[i, axis] = total[axis, i]


@lru_cache
def _levels(shape: HashGridShape) -> tuple[np.ndarray, ...]:
    return (
        np.array(shape.scales, np.float32),
        np.array(shape.sides, np.uint32),
        np.array(shape.is_hashed, np.bool_),
        np.array(shape.offsets, np.int64),
    )


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions: Tensor, tables: Tensor, shape: HashGridShape) -> Tensor:
        n_threads = use_torch_threads()
        n_grids, n, n_dims = positions.shape
        n_blocks = -(-n // _BLOCK)
        coordinates = torch.empty(n_grids, n_blocks, n_dims, _BLOCK)
        inside = torch.empty(n_grids, n_blocks, _BLOCK)
        _into_blocks(positions.detach().contiguous().numpy(), coordinates.numpy(), inside.numpy())
        out = torch.empty(n, n_grids * shape.n_features)
        _forward(
            coordinates.numpy(), inside.numpy(), tables.detach().contiguous().view(-1).numpy(),
            shape.n_entries, shape.n_features_per_level, *_levels(shape),
            max(1, min(_MOST_BLOCKS_A_TASK, n_blocks // n_threads)), out.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(tables, coordinates, inside)
        ctx.shape, ctx.n = shape, n
        return out

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        tables, coordinates, inside = ctx.saved_tensors
        shape: HashGridShape = ctx.shape
        use_torch_threads()
        n_grids, n_blocks, n_dims, _ = coordinates.shape
        columns = torch.nn.functional.pad(grad_out.t(), (0, n_blocks * _BLOCK - ctx.n))
        sizes = (shape.n_entries, shape.n_features_per_level, *_levels(shape))
        read = (coordinates.numpy(), inside.numpy())
        grad_by_block = columns.view(-1, n_blocks, _BLOCK).numpy()
        grad_positions = grad_tables = None
        if ctx.needs_input_grad[0]:
            grad_positions = torch.empty(n_grids, ctx.n, n_dims)
            flat = tables.detach().contiguous().view(-1).numpy()
            _backward_positions(*read, flat, grad_by_block, *sizes, grad_positions.numpy())
        if ctx.needs_input_grad[1]:
            grad_tables = torch.zeros(tables.shape)
            _backward_tables(*read, grad_by_block, *sizes, grad_tables.view(-1).numpy())
        return grad_positions, grad_tables, None


def look_up(positions: Positions, tables: Tables, shape: HashGridShape) -> Features:
    """As :func:`wildtalker_core.nerf.hash_grid.look_up`; float32 on the CPU, any dimension."""
    for name, tensor in (("positions", positions), ("tables", tables)):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(
                f"the numba hash grid takes float32 {name} on the CPU, got {tensor.dtype} on "
                f"{tensor.device}"
            )
    return _LookUp.apply(positions, tables, shape)
