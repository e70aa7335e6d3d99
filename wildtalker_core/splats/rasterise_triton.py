"""``gaussians.rasterise`` as Triton kernels for CUDA devices, with its derivative by hand.

The picture is cut into tiles. Gaussians are sorted by depth and dealt out to the tiles that their
extents touch, in that order. One program draws a tile: a chunk of Gaussians over all its pixels at
once, chunk after chunk, until no pixel lets light through.

On the way back a tile goes through its Gaussians in the same order and keeps, for each pixel, what
the loss owes to all that lies behind, as ``rasterise_numba`` does. Gradients are summed over the
pixels of a (tile, Gaussian) pair, stored, and then summed over the pairs of a Gaussian. There are
no atomic additions: equal inputs give equal bits.

With ``TRITON_INTERPRET=1`` in the environment before this module is first imported, the kernels run
on the CPU, slowly, for tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32, Int, Int32, Int64
from torch import Tensor

from wildtalker_core.splats.gaussians import (
    ALPHA_MAX,
    KERNELS,
    SUPPORT,
    TRANSMITTANCE_STOP,
    Projected,
)

TILE = 16  # pixels, each way
_CHUNK = 8  # Gaussians at once; with 16 the way back does not fit into the registers
_N_SUMS = 9  # numbers of a Gaussian that have gradients
_N_WARPS = 4
_ALPHA_MAX, _STOP = tl.constexpr(ALPHA_MAX), tl.constexpr(TRANSMITTANCE_STOP)
_SUPPORT, _SUMS = tl.constexpr(SUPPORT), tl.constexpr(_N_SUMS)


@dataclass(frozen=True)
class Tiles:
    """Which Gaussians each tile draws.

    Attributes:
        starts: where the Gaussians of each tile, row by row, begin in ``members``.
        members: numbers of Gaussians, tile by tile, from front to back.
        slots: places of the same pairs in a list that is sorted by Gaussian.
        order: Gaussians in the order of that list; counts: how many pairs each has there.
        n_columns: tiles in a row.
    """

    starts: Int32[Tensor, "n_starts"]
    members: Int32[Tensor, "pairs"]
    slots: Int32[Tensor, "pairs"]
    order: Int64[Tensor, "n"]
    counts: Int[Tensor, "n"]
    n_columns: int


def deal_to_tiles(
    depths: Float[Tensor, "n"], extents: Int32[Tensor, "n 4"], height: int, width: int
) -> Tiles:
    """Deal Gaussians out to tiles; waits for the device once, to learn the number of pairs."""
    n_columns, n_rows = triton.cdiv(width, TILE), triton.cdiv(height, TILE)
    order = torch.argsort(depths, stable=True)
    left, top, right, bottom = extents[order].unbind(1)
    left, top = left // TILE, top // TILE
    columns = (right - 1) // TILE + 1 - left  # 0 for those that touch nothing
    counts = columns * ((bottom - 1) // TILE + 1 - top)
    ends = counts.cumsum(0)
    n_pairs = int(ends[-1]) if len(ends) else 0
    ranks = torch.arange(len(order), device=depths.device)
    ranks = torch.repeat_interleave(ranks, counts, output_size=n_pairs)
    number = torch.arange(n_pairs, device=depths.device) - (ends - counts)[ranks]
    row, column = number // columns[ranks], number % columns[ranks]
    tiles = (top[ranks] + row) * n_columns + left[ranks] + column
    tiles, slots = tiles.sort(stable=True)
    all_tiles = torch.arange(n_columns * n_rows + 1, device=depths.device)
    starts = torch.searchsorted(tiles, all_tiles, out_int32=True)
    members = order[ranks[slots]].int()
    return Tiles(starts, members, slots.int(), order, counts, n_columns)


@triton.jit
def _pixels(n_columns, height, width, TILE: tl.constexpr):
    """Centres of a tile's pixels, their numbers in the picture, and which are in it."""
    tile = tl.program_id(0)
    pixels = tl.arange(0, TILE * TILE)
    columns = tile % n_columns * TILE + pixels % TILE
    rows = tile // n_columns * TILE + pixels // TILE
    is_inside = (columns < width) & (rows < height)
    xs, ys = columns.to(tl.float32) + 0.5, rows.to(tl.float32) + 0.5
    return xs, ys, rows * width + columns, is_inside


@triton.jit
def _alphas(
    pairs, is_pair, xs, ys, members, means2d, conics, opacities, IS_COMPACT: tl.constexpr
):  # fmt: skip
    """Of a chunk of Gaussians, numbers; of the chunk over a tile's pixels, kernel and alpha."""
    i = tl.load(members + pairs, mask=is_pair, other=0)
    dx = xs[None, :] - tl.load(means2d + i * 2, mask=is_pair, other=0.0)[:, None]
    dy = ys[None, :] - tl.load(means2d + i * 2 + 1, mask=is_pair, other=0.0)[:, None]
    xx = tl.load(conics + i * 3, mask=is_pair, other=0.0)[:, None]
    xy = tl.load(conics + i * 3 + 1, mask=is_pair, other=0.0)[:, None]
    yy = tl.load(conics + i * 3 + 2, mask=is_pair, other=0.0)[:, None]
    opacity = tl.load(opacities + i, mask=is_pair, other=0.0)[:, None]
    square = (xx * dx + 2 * xy * dy) * dx + yy * dy * dy
    if IS_COMPACT:
        rest = tl.maximum(1 - square / _SUPPORT, 0.0)
        slope = -0.5 * rest * rest * rest
        value = -2 * slope * rest
    else:
        value = tl.where(square < _SUPPORT, tl.exp(-0.5 * square), 0.0)
        slope = -0.5 * value
    return i, dx, dy, xx, xy, yy, opacity, value, slope


@triton.jit
def _light(passing, alpha):
    """Light before each Gaussian of a chunk, zero once too little of it passes; and behind all."""
    behind = tl.cumprod(1 - alpha, 0) * passing[None, :]
    before = behind / (1 - alpha)
    is_last = tl.arange(0, alpha.shape[0])[:, None] == alpha.shape[0] - 1
    return tl.where(before >= _STOP, before, 0.0), tl.sum(tl.where(is_last, behind, 0.0), 0)


@triton.jit
def _colour(colours, i, is_pair):
    red = tl.load(colours + i * 3, mask=is_pair, other=0.0)[:, None]
    green = tl.load(colours + i * 3 + 1, mask=is_pair, other=0.0)[:, None]
    return red, green, tl.load(colours + i * 3 + 2, mask=is_pair, other=0.0)[:, None]


@triton.jit
def _forward(
    starts, members, means2d, conics, opacities, colours, ends, picture, alphas, n_columns, height,
    width, IS_COMPACT: tl.constexpr, TILE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """``ends`` becomes the places in ``members`` at which the tiles were full."""
    xs, ys, pixels, is_inside = _pixels(n_columns, height, width, TILE)
    tile = tl.program_id(0)
    place, end = tl.load(starts + tile), tl.load(starts + tile + 1)
    passing = tl.where(is_inside, 1.0, 0.0)  # what is outside must not keep a tile going
    red, green, blue, covered = xs * 0, xs * 0, xs * 0, xs * 0
    most = 1.0
    while (place < end) & (most >= _STOP):
        pairs = place + tl.arange(0, CHUNK)
        is_pair = pairs < end
        i, _dx, _dy, _xx, _xy, _yy, opacity, value, _slope = _alphas(
            pairs, is_pair, xs, ys, members, means2d, conics, opacities, IS_COMPACT
        )
        alpha = tl.minimum(opacity * value, _ALPHA_MAX)
        before, passing = _light(passing, alpha)
        share = alpha * before
        r, g, b = _colour(colours, i, is_pair)
        red += tl.sum(share * r, 0)
        green += tl.sum(share * g, 0)
        blue += tl.sum(share * b, 0)
        covered += tl.sum(share, 0)
        most = tl.max(passing, 0)
        place += CHUNK
    tl.store(ends + tile, tl.minimum(place, end))
    tl.store(picture + pixels * 3, red, mask=is_inside)
    tl.store(picture + pixels * 3 + 1, green, mask=is_inside)
    tl.store(picture + pixels * 3 + 2, blue, mask=is_inside)
    tl.store(alphas + pixels, covered, mask=is_inside)


@triton.jit
def _gained(grads, values, pixels, is_inside, channel: tl.constexpr, N_CHANNELS: tl.constexpr):
    """What the loss gains by a channel of a tile's pixels, and by what is drawn there in all."""
    place = pixels * N_CHANNELS + channel
    grad = tl.load(grads + place, mask=is_inside, other=0.0)
    return grad, grad * tl.load(values + place, mask=is_inside, other=0.0)


@triton.jit
def _backward(
    starts, ends, members, slots, means2d, conics, opacities, colours, picture, alphas,
    grad_picture, grad_alphas, of_pairs, n_columns, height, width, IS_COMPACT: tl.constexpr,
    TILE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """``of_pairs`` [pairs, 9] becomes each pair's gradients, at its slot.

    Mean x, y; conic xx, xy, yy; opacity; red, green, blue. Alpha is a channel in which every
    Gaussian has the colour 1.
    """
    xs, ys, pixels, is_inside = _pixels(n_columns, height, width, TILE)
    tile = tl.program_id(0)
    place, end = tl.load(starts + tile), tl.load(ends + tile)
    reds, owed_red = _gained(grad_picture, picture, pixels, is_inside, 0, 3)
    greens, owed_green = _gained(grad_picture, picture, pixels, is_inside, 1, 3)
    blues, owed_blue = _gained(grad_picture, picture, pixels, is_inside, 2, 3)
    covers, owed_cover = _gained(grad_alphas, alphas, pixels, is_inside, 0, 1)
    owed = owed_red + owed_green + owed_blue + owed_cover
    passing = tl.where(is_inside, 1.0, 0.0)
    while place < end:
        pairs = place + tl.arange(0, CHUNK)
        is_pair = pairs < end
        i, dx, dy, xx, xy, yy, opacity, value, slope = _alphas(
            pairs, is_pair, xs, ys, members, means2d, conics, opacities, IS_COMPACT
        )
        raw = opacity * value
        alpha = tl.minimum(raw, _ALPHA_MAX)
        before, passing = _light(passing, alpha)
        share = alpha * before
        r, g, b = _colour(colours, i, is_pair)
        gained = r * reds[None, :] + g * greens[None, :] + b * blues[None, :] + covers[None, :]
        rest = owed[None, :] - tl.cumsum(share * gained, 0)
        owed -= tl.sum(share * gained, 0)
        by_alpha = before * gained - rest / (1 - alpha)
        by_alpha = tl.where((raw < _ALPHA_MAX) & (before > 0), by_alpha, 0.0)
        by_square = by_alpha * opacity * slope
        out = of_pairs + tl.load(slots + pairs, mask=is_pair, other=0) * _SUMS
        by_x = tl.sum(-2 * by_square * (xx * dx + xy * dy), 1)
        by_y = tl.sum(-2 * by_square * (xy * dx + yy * dy), 1)
        tl.store(out, by_x, mask=is_pair)
        tl.store(out + 1, by_y, mask=is_pair)
        tl.store(out + 2, tl.sum(by_square * dx * dx, 1), mask=is_pair)
        tl.store(out + 3, tl.sum(2 * by_square * dx * dy, 1), mask=is_pair)
        tl.store(out + 4, tl.sum(by_square * dy * dy, 1), mask=is_pair)
        tl.store(out + 5, tl.sum(by_alpha * value, 1), mask=is_pair)
        tl.store(out + 6, tl.sum(share * reds[None, :], 1), mask=is_pair)
        tl.store(out + 7, tl.sum(share * greens[None, :], 1), mask=is_pair)
        tl.store(out + 8, tl.sum(share * blues[None, :], 1), mask=is_pair)
        place += CHUNK


class _Rasterise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means2d, conics, depths, extents, colours, opacities, height, width, kernel):
        inputs = [t.detach().contiguous() for t in (means2d, conics, opacities, colours)]
        tiles = deal_to_tiles(depths.detach(), extents, height, width)
        ends = torch.empty_like(tiles.starts[1:])
        picture, alpha = means2d.new_empty(height, width, 3), means2d.new_empty(height, width)
        ctx.options = (tiles.n_columns, height, width, kernel == "compact", TILE, _CHUNK)
        _forward[(len(ends),)](
            tiles.starts, tiles.members, *inputs, ends, picture, alpha, *ctx.options,
            num_warps=_N_WARPS,
        )  # fmt: skip
        ctx.tiles = tiles
        ctx.save_for_backward(*inputs, ends, picture, alpha)
        return picture, alpha

    @staticmethod
    def backward(ctx, grad_picture, grad_alpha):
        *inputs, ends, picture, alpha = ctx.saved_tensors
        tiles: Tiles = ctx.tiles
        of_pairs = picture.new_zeros(len(tiles.members), _N_SUMS)
        _backward[(len(ends),)](
            tiles.starts, ends, tiles.members, tiles.slots, *inputs, picture, alpha,
            grad_picture.contiguous(), grad_alpha.contiguous(), of_pairs, *ctx.options,
            num_warps=_N_WARPS,
        )  # fmt: skip
        sums = torch.empty(len(tiles.order), _N_SUMS, device=picture.device)
        # PyTorch sums a Gaussian's pairs one after the other, on CUDA too.
        sums[tiles.order] = torch.segment_reduce(
            of_pairs, "sum", lengths=tiles.counts, unsafe=True, initial=0
        )
        means2d, conics, opacities, colours = sums.split((2, 3, 1, 3), 1)
        return means2d, conics, None, None, colours, opacities[:, 0], None, None, None


def rasterise(
    projected: Projected,
    colours: Float32[Tensor, "n 3"],
    opacities: Float32[Tensor, "n"],
    height: int,
    width: int,
    *,
    kernel: str = "compact",
) -> tuple[Float32[Tensor, "{height} {width} 3"], Float32[Tensor, "{height} {width}"]]:
    """As :func:`wildtalker_core.splats.gaussians.rasterise`; float32 on a CUDA device."""
    if kernel not in KERNELS:
        raise ValueError(f"kernel is one of {', '.join(KERNELS)}, not {kernel!r}")
    device = projected.means2d.device
    if device.type != "cuda" and not triton.knobs.runtime.interpret:
        raise ValueError(f"the Triton rasteriser works on CUDA devices, not on {device}")
    return _Rasterise.apply(
        projected.means2d, projected.conics, projected.depths, projected.extents, colours,
        opacities, height, width, kernel,
    )  # fmt: skip
