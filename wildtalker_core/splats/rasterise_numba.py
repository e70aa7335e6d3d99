"""``gaussians.rasterise`` as compiled CPU loops, with its derivative by hand.

The picture is cut into tiles, to which Gaussians are dealt out (``tiles_numba``). One thread draws
a whole tile, Gaussian after Gaussian, each over the rows of pixels that it touches.

On the way back a tile goes through its Gaussians in the same order and keeps, for each pixel, what
the loss owes to all that lies behind. Gradients are summed over the pixels of a (tile, Gaussian)
pair and then over the pairs in their order, so that the result does not depend on the number of
threads, to the last bit.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from wildtalker_core.compiled import MATH, njit, prange, use_torch_threads
from wildtalker_core.splats import gaussians
from wildtalker_core.splats.tiles_numba import TILE_HEIGHT, TILE_WIDTH, deal_to_tiles, sum_pairs

_TILE = TILE_WIDTH * TILE_HEIGHT
_CHECK = 8  # Gaussians between two looks at whether a tile is full
_ZERO, _ONE, _TWO, _HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
_ALPHA_MAX, _STOP = np.float32(gaussians.ALPHA_MAX), np.float32(gaussians.TRANSMITTANCE_STOP)
_SUPPORT, _OVER_SUPPORT = np.float32(gaussians.SUPPORT), np.float32(1 / gaussians.SUPPORT)

_YS, _XS = (np.indices((TILE_HEIGHT, TILE_WIDTH)).reshape(2, -1) + 0.5).astype(np.float32)


@njit(fastmath=MATH)
def _compact(square):
    """The compact kernel at a squared distance, and its derivative."""
    rest = _ONE - square * _OVER_SUPPORT
    rest = rest if rest > _ZERO else _ZERO
    cube = rest * rest * rest
    return cube * rest, -_HALF * cube


@njit(fastmath=MATH)
def _gaussian(square):
    """The Gaussian kernel at a squared distance, and its derivative.

    exp(-q / 2) as the eighth power of exp(-q / 16), of which seven terms of Taylor's series are
    exact to 1e-7 here: the library's exponential is not vectorised.
    """
    x = min(square, _SUPPORT) * np.float32(-1 / 16)
    value = np.float32(1 / 5040) * x + np.float32(1 / 720)
    value = (value * x + np.float32(1 / 120)) * x + np.float32(1 / 24)
    value = (value * x + np.float32(1 / 6)) * x + _HALF
    value = (value * x + _ONE) * x + _ONE
    value *= value
    value *= value
    value *= value
    value = value if square < _SUPPORT else _ZERO
    return value, -_HALF * value


def _drawing_with(kernel):
    """Compiled ``draw`` and ``draw_back`` for a kernel, which must be known when compiled."""

    @njit(fastmath=MATH)
    def draw(xs, ys, passing, red, green, blue, place, conic, opacity, colour):
        """Lay one Gaussian over pixels that let ``passing`` of the light through."""
        u, v = place
        a, b, c = conic
        r, g, bl = colour
        for p in range(len(passing)):
            dx, dy = xs[p] - u, ys[p] - v
            value, _ = kernel((a * dx + b * dy) * dx + c * dy * dy)
            alpha = min(opacity * value, _ALPHA_MAX)
            share = alpha * passing[p]
            share = share if passing[p] >= _STOP else _ZERO
            passing[p] -= share
            red[p] += share * r
            green[p] += share * g
            blue[p] += share * bl

    @njit(fastmath=MATH)
    def draw_back(
        xs, ys, passing, owed, reds, greens, blues, alphas, place, conic, opacity, colour, out
    ):
        """Sums over pixels of what the loss gains by one Gaussian's numbers.

        Args:
            passing, owed: light that passes before this Gaussian, and what the loss gains by all
                that it meets from there on; become those behind it.
            reds, greens, blues, alphas: what the loss gains by the pixels' colours and alpha. Alpha
                is a channel in which every Gaussian has the colour 1.
            out: [9] mean x, y; conic xx, xy, yy; opacity; red, green, blue.
        """
        u, v = place
        a, b, c = conic
        r, g, bl = colour
        sx = sy = sxx = sxy = syy = so = sr = sg = sb = _ZERO
        for p in range(len(passing)):
            dx, dy = xs[p] - u, ys[p] - v
            value, slope = kernel((a * dx + b * dy) * dx + c * dy * dy)
            raw = opacity * value
            alpha = min(raw, _ALPHA_MAX)
            before = passing[p] if passing[p] >= _STOP else _ZERO
            share = alpha * before
            gained = reds[p] * r + greens[p] * g + blues[p] * bl + alphas[p]
            rest = owed[p] - share * gained
            owed[p] = rest
            passing[p] -= share
            by_alpha = before * gained - rest / (_ONE - alpha)
            by_alpha = by_alpha if (raw < _ALPHA_MAX) & (before > _ZERO) else _ZERO
            sr, sg, sb = sr + share * reds[p], sg + share * greens[p], sb + share * blues[p]
            so += by_alpha * value
            by_square = by_alpha * opacity * slope
            ex, ey = by_square * dx, by_square * dy
            sx, sy = sx + ex, sy + ey
            sxx, sxy, syy = sxx + ex * dx, sxy + ex * dy, syy + ey * dy
        out[0], out[1] = -(_TWO * a * sx + b * sy), -(b * sx + _TWO * c * sy)
        out[2], out[3], out[4] = sxx, _TWO * sxy, syy
        out[5], out[6], out[7], out[8] = so, sr, sg, sb

    return draw, draw_back


_draw_compact, _draw_compact_back = _drawing_with(_compact)
_draw_gaussian, _draw_gaussian_back = _drawing_with(_gaussian)


@njit
def _is_full(passing):
    most = _ZERO
    for p in range(_TILE):
        most = passing[p] if passing[p] > most else most
    return most < _STOP


@njit
def _seen(i, means2d, conics, extents, colours, opacities, left, top):
    """A Gaussian as a tile sees it: the pixels of its rows, and what is drawn there.

    That is its place, conic (xy doubled), opacity and colour.
    """
    place = (means2d[i, 0] - np.float32(left), means2d[i, 1] - np.float32(top))
    conic = (conics[i, 0], conics[i, 1] * _TWO, conics[i, 2])
    first = max(extents[i, 1] - top, 0) * TILE_WIDTH
    last = min(extents[i, 3] - top, TILE_HEIGHT) * TILE_WIDTH
    colour = (colours[i, 0], colours[i, 1], colours[i, 2])
    return first, last, (place, conic, opacities[i], colour)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=MATH)
def _forward(
    means2d, conics, extents, colours, opacities, starts, members, n_columns, n_threads,
    is_compact, xs, ys, ends, picture, alpha,
):  # fmt: skip
    """``ends`` becomes the places in ``members`` at which the tiles were full."""
    height, width = alpha.shape
    for thread in prange(n_threads):
        light = np.empty((4, _TILE), np.float32)
        passing, red, green, blue = light[0], light[1], light[2], light[3]
        # Every so-and-so-many-th tile: neighbours cost about the same.
        for tile in range(thread, len(ends), n_threads):
            passing[:] = _ONE
            light[1:] = _ZERO
            left, top = tile % n_columns * TILE_WIDTH, tile // n_columns * TILE_HEIGHT
            end = starts[tile]
            while end < starts[tile + 1]:
                i = members[end]
                first, last, seen = _seen(
                    i, means2d, conics, extents, colours, opacities, left, top
                )
                pixels = (
                    xs[first:last], ys[first:last], passing[first:last], red[first:last],
                    green[first:last], blue[first:last],
                )  # fmt: skip
                if is_compact:
                    _draw_compact(*pixels, *seen)
                else:
                    _draw_gaussian(*pixels, *seen)
                end += 1
                if (end - starts[tile]) % _CHECK == 0 and _is_full(passing):
                    break
            ends[tile] = end
            for y in range(min(TILE_HEIGHT, height - top)):
                for x in range(min(TILE_WIDTH, width - left)):
                    p = y * TILE_WIDTH + x
                    for channel in range(3):
                        picture[top + y, left + x, channel] = light[1 + channel, p]
                    alpha[top + y, left + x] = _ONE - passing[p]


@njit
def _read_tile(picture, alpha, grad_picture, grad_alpha, left, top, owed, grads):
    """What the loss gains by each pixel of a tile, [_TILE], and by its channels, [4, _TILE].

    Returns whether it gains anything.
    """
    height, width = alpha.shape
    owed[:] = _ZERO
    grads[:] = _ZERO
    is_any = False
    for y in range(min(TILE_HEIGHT, height - top)):
        for x in range(min(TILE_WIDTH, width - left)):
            p = y * TILE_WIDTH + x
            gradient = grad_alpha[top + y, left + x]
            is_any |= gradient != 0
            grads[3, p] = gradient
            total = gradient * alpha[top + y, left + x]
            for channel in range(3):
                gradient = grad_picture[top + y, left + x, channel]
                is_any |= gradient != 0
                grads[channel, p] = gradient
                total += gradient * picture[top + y, left + x, channel]
            owed[p] = total
    return is_any


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=MATH)
def _backward(
    means2d, conics, extents, colours, opacities, starts, members, n_columns, n_threads,
    is_compact, xs, ys, ends, picture, alpha, grad_picture, grad_alpha, of_pairs,
):  # fmt: skip
    """``of_pairs`` [pairs, 9] becomes each pair's gradients, as ``draw_back`` gives them."""
    for thread in prange(n_threads):
        passing, owed = np.empty(_TILE, np.float32), np.empty(_TILE, np.float32)
        grads = np.empty((4, _TILE), np.float32)
        for tile in range(thread, len(ends), n_threads):
            left, top = tile % n_columns * TILE_WIDTH, tile // n_columns * TILE_HEIGHT
            passing[:] = _ONE
            end = starts[tile]
            if _read_tile(picture, alpha, grad_picture, grad_alpha, left, top, owed, grads):
                end = ends[tile]
            of_pairs[end : starts[tile + 1]] = _ZERO
            for pair in range(starts[tile], end):
                i = members[pair]
                first, last, seen = _seen(
                    i, means2d, conics, extents, colours, opacities, left, top
                )
                pixels = (
                    xs[first:last], ys[first:last], passing[first:last], owed[first:last],
                    grads[0, first:last], grads[1, first:last], grads[2, first:last],
                    grads[3, first:last],
                )  # fmt: skip
                if is_compact:
                    _draw_compact_back(*pixels, *seen, of_pairs[pair])
                else:
                    _draw_gaussian_back(*pixels, *seen, of_pairs[pair])


class _Rasterise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means2d, conics, depths, extents, colours, opacities, height, width, kernel):
        inputs = [t.detach().contiguous() for t in (means2d, conics, extents, colours, opacities)]
        picture, alpha = torch.empty(height, width, 3), torch.empty(height, width)
        ctx.tiles = deal_to_tiles(depths.detach().numpy(), inputs[2].numpy(), height, width)
        ends = np.empty(len(ctx.tiles[0]) - 1, np.int32)
        ctx.options = (kernel == "compact", _XS, _YS, ends)
        _forward(
            *(t.numpy() for t in inputs), *ctx.tiles, use_torch_threads(), *ctx.options,
            picture.numpy(), alpha.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(*inputs, picture, alpha)
        return picture, alpha

    @staticmethod
    def backward(ctx, grad_picture, grad_alpha):
        *inputs, picture, alpha = (t.numpy() for t in ctx.saved_tensors)
        members = ctx.tiles[1]
        of_pairs = np.empty((len(members), 9), np.float32)
        _backward(
            *inputs, *ctx.tiles, use_torch_threads(), *ctx.options, picture, alpha,
            grad_picture.contiguous().numpy(), grad_alpha.contiguous().numpy(), of_pairs,
        )  # fmt: skip
        means2d, conics, _, colours, opacities = (torch.zeros(t.shape) for t in inputs)
        sum_pairs(members, of_pairs, *(t.numpy() for t in (means2d, conics, opacities, colours)))
        return means2d, conics, None, None, colours, opacities, None, None, None


def rasterise(
    projected: gaussians.Projected,
    colours: Float32[Tensor, "n 3"],
    opacities: Float32[Tensor, "n"],
    height: int,
    width: int,
    *,
    kernel: str = "compact",
) -> tuple[Float32[Tensor, "{height} {width} 3"], Float32[Tensor, "{height} {width}"]]:
    """As :func:`wildtalker_core.splats.gaussians.rasterise`; float32 on the CPU."""
    if kernel not in gaussians.KERNELS:
        raise ValueError(f"kernel is one of {', '.join(gaussians.KERNELS)}, not {kernel!r}")
    return _Rasterise.apply(
        projected.means2d, projected.conics, projected.depths, projected.extents, colours,
        opacities, height, width, kernel,
    )  # fmt: skip
