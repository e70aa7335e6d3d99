"""The Triton kernels: on a GPU if there is one, else interpreted; and that GPUs could run them."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from tests.nerf.grids import SHAPES, assert_agrees, random_tables, values_and_gradients
from tests.triton_compiler import printed_by
from wildtalker_core.nerf import hash_grid

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def look_up():
    """The kernels' look-up; interpreted without a GPU (tests/conftest.py)."""
    from wildtalker_core.nerf import hash_grid_triton

    return hash_grid_triton.look_up


# Grids and positions of each: few, since the interpreter takes its time. 140 positions are more
# than a block, and not a multiple.
CASES = {
    "head": (1, 20),
    "dense": (1, 140),
    "hashed": (3, 20),
    "ambient": (2, 140),
    "line": (1, 20),
    "tinycudann plane": (1, 20),
    "tinycudann volume": (1, 20),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_definition(look_up, name):
    assert_agrees(look_up, SHAPES[name], *CASES[name], DEVICE)


def test_half_precision_tables_read_as_the_definition_reads_them(look_up):
    shape = SHAPES["volume"]
    expected = values_and_gradients(hash_grid.look_up, shape, 1, 20, dtype=torch.float16)
    found = values_and_gradients(look_up, shape, 1, 20, DEVICE, torch.float16)
    assert found[0].dtype == torch.float32 and found[2].dtype == torch.float16
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-5)


def test_gradients_of_half_precision_tables_are_summed_in_single(look_up):
    # 4096 shares of 0.25 on one entry: in float16, sums stop growing at 512 (spacing 0.5).
    shape = hash_grid.HashGridShape(1, 1, 1, 6, 8, 8)
    vertex = (2 - 0.5) / shape.scales[0]
    positions = torch.full((1, 4096, 1), vertex, device=DEVICE)
    tables = random_tables(shape, dtype=torch.float16).to(DEVICE).requires_grad_()
    (look_up(positions, tables, shape).sum() * 0.25).backward()
    assert tables.grad[0, 1:4, 0].sum().item() == pytest.approx(1024, rel=1e-3)


def test_nothing_is_looked_up_for_no_positions(look_up):
    shape = SHAPES["dense"]
    tables = random_tables(shape, 2, torch.float32).to(DEVICE).requires_grad_()
    features = look_up(torch.zeros(2, 0, 2, device=DEVICE), tables, shape)
    assert features.shape == (0, 2 * shape.n_features)
    features.sum().backward()
    assert (tables.grad == 0).all()


def test_other_precisions_are_refused(look_up):
    shape = SHAPES["dense"]
    with pytest.raises(ValueError, match="float16 or float32"):
        look_up(torch.zeros(1, 2, 2), random_tables(shape, dtype=torch.bfloat16), shape)


_COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from wildtalker_core.nerf import hash_grid_triton

def kind_of(name):
    if name.isupper():
        return "constexpr"
    if name.startswith("n"):
        return "i32"
    integers = ("sides", "sizes", "offsets", "are_hashed")
    return "*i32" if name in integers else "*fp16" if name == "tables" else "*fp32"

wishes = {"NEEDS_TABLES": True, "NEEDS_POSITIONS": True}
for kernel in (hash_grid_triton._forward, hash_grid_triton._backward):
    kinds = {name: kind_of(name) for name in kernel.arg_names}
    fixed = {"N_DIMS": 3, "N_FEATURES": 2, "BLOCK": 128, **wishes}
    fixed = {name: value for name, value in fixed.items() if name in kinds}
    source = ASTSource(fn=kernel, signature=kinds, constexprs=fixed)
    made = triton.compile(source, target=GPUTarget("cuda", 80, 32))
    assert len(made.asm["cubin"]) > 1000
    print(kernel.__name__, made.asm["ptx"].count("atom."))
"""


def test_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    forward, backward = printed_by(_COMPILE, tmp_path).split()[1::2]
    # 8 corners of 2 features, added by atoms; then one sum for each of 3 axes.
    assert (forward, backward) == ("0", "19")
