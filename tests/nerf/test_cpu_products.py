"""Products stay float32 whoever computes them."""

from __future__ import annotations

import pytest
import torch

from wildtalker_core.nerf import cpu_products


@pytest.fixture(autouse=True)
def restore_precision():
    before = torch.backends.mkldnn.matmul.fp32_precision
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


def test_products_are_exact_whatever_the_processor_has():
    cpu_products.use_exact_onednn()
    generator = torch.Generator().manual_seed(1)
    rows, weights = torch.randn(3000, 75, generator=generator), torch.randn(64, 75)
    exact = (rows.double() @ weights.double().t()).float()
    torch.testing.assert_close(rows @ weights.t(), exact, atol=1e-4, rtol=1e-5)


def test_what_is_not_exact_is_not_used(monkeypatch):
    before = torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(cpu_products, "_largest_error", lambda: 3e-3)  # bfloat16's
    assert not cpu_products.use_exact_onednn()
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_bfloat16_would_be_noticed():
    a = torch.randn(64, 64, generator=torch.Generator().manual_seed(2))
    exact = a.double() @ a.double()
    rounded = (a.bfloat16() @ a.bfloat16()).double()
    assert ((rounded - exact).abs().max() / exact.abs().max()).item() > cpu_products._LARGEST_ERROR


def test_indices_grow_to_one_of_few_lengths():
    for n, longer in ((0, 0), (1, 512), (512, 512), (513, 1024)):
        index = cpu_products.rounded_up(torch.arange(n) + 7)
        assert len(index) == longer
        assert torch.equal(index[:n], torch.arange(n) + 7) and (index[n:] == 0).all()
