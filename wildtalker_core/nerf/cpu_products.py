"""Float32 matrix products on the CPU through oneDNN where that keeps float32's precision.

The small networks are most of a training step. PyTorch multiplies float32 matrices by MKL, which
leaves processors that are not Intel's at a fraction of their speed. oneDNN, which PyTorch also
brings along, does not, but PyTorch only asks it when products may be rounded to bfloat16 inside.
oneDNN then does so only on processors where it pays, so it is asked and its precision looked at.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

# oneDNN makes a program for each shape it meets, which takes longer than to run it once.
_ROWS_AT_ONCE = 512
# Relative error of a sum of 64 products: about 3e-7 in float32, 3e-3 in bfloat16.
_LARGEST_ERROR = 1e-5


def use_exact_onednn() -> bool:
    """Let oneDNN multiply float32 matrices if it does so exactly; whether it does from now on.

    Sets PyTorch's state for the whole process. The answer is the same on the same machine, so runs
    there stay repeatable.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set as torch loads
    if not torch.backends.mkldnn.is_available():
        return False
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    if _largest_error() < _LARGEST_ERROR:
        return True
    matmul.fp32_precision = before
    return False


def rounded_up(index: Int[Tensor, "n"]) -> Int[Tensor, "m"]:
    """An index with zeros behind, so that its length is one of few: a multiple of 512.

    The number of samples changes from step to step, and with it the shape of every product.
    """
    return torch.nn.functional.pad(index, (0, -len(index) % _ROWS_AT_ONCE))


def _largest_error() -> float:
    """Of products in the networks' shapes, forwards and backwards, relative to the largest."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for n_rows in (64, 4096):
        rows = torch.randn(n_rows, 64, generator=generator)
        weights = torch.randn(64, 64, generator=generator)
        for a, b in ((rows, weights.t()), (rows, weights), (rows.t(), rows)):
            exact = a.double() @ b.double()
            error = (a @ b - exact).abs().max() / exact.abs().max()
            worst = max(worst, error.item())
    return worst
