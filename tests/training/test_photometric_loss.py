"""L1 with SSIM: the definition against another library and closed forms, and the compiled loops."""

from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from wildtalker_core.training.photometric_loss import RADIUS, photometric_loss, ssim_map

#: Bands of the compiled loops are 64 rows high; the window is 11 pixels wide.
SIZES = [(16, 16), (5, 7), (1, 12), (64, 20), (65, 33), (131, 50)]


def pictures(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """A picture, a reference that resembles it, and weights with zeros, in float64."""
    made = torch.Generator().manual_seed(height)
    options = {"generator": made, "dtype": torch.float64}
    reference = torch.rand(height, width, 3, **options)
    picture = (reference + 0.2 * torch.randn(height, width, 3, **options)).clamp(0.01, 0.99)
    weight = torch.rand(height, width, **options) * 2
    weight[:, : width // 3] = 0
    return picture, reference, weight


def value_and_gradient(
    inputs: tuple[Tensor, Tensor, Tensor], lambda_dssim: float, implementation: str
) -> tuple[Tensor, Tensor]:
    picture = inputs[0].clone().requires_grad_()
    loss = photometric_loss(picture, *inputs[1:], lambda_dssim, implementation=implementation)
    loss.backward()
    return loss.detach(), picture.grad


def test_ssim_is_that_of_scikit_image_away_from_the_border():
    picture, reference, _ = pictures(40, 31)
    expected = structural_similarity(
        picture.numpy(), reference.numpy(), data_range=1, channel_axis=2, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False, full=True,
    )[1]  # fmt: skip
    inside = (slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    found = ssim_map(picture, reference)[inside]
    torch.testing.assert_close(found, torch.from_numpy(expected[inside]), atol=1e-9, rtol=0)
    assert found.max() < 1 and found.std() > 0.01


@pytest.mark.parametrize("implementation", ["torch", "numba"])
def test_equal_pictures_lose_nothing(implementation):
    picture, _, weight = (t.float() for t in pictures(20, 30))
    loss, gradient = value_and_gradient((picture, picture, weight), 0.2, implementation)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("implementation", ["torch", "numba"])
def test_flat_pictures_have_a_closed_form(implementation):
    # Without variance SSIM is (2ab + c1) / (a^2 + b^2 + c1); weighted where no border is in reach.
    a, b, share = 0.7, 0.4, 0.3
    weight = torch.zeros(21, 24)
    weight[RADIUS:-RADIUS, RADIUS:-RADIUS] = 1
    flat = (torch.full((21, 24, 3), a), torch.full((21, 24, 3), b), weight)
    ssim = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    expected = weight.mean().item() * ((1 - share) * (a - b) + share * (1 - ssim))
    loss, _ = value_and_gradient(flat, share, implementation)
    assert loss.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("implementation", ["torch", "numba"])
def test_without_ssim_it_is_the_weighted_mean_of_differences(implementation):
    picture, reference, weight = (t.float() for t in pictures(33, 18))
    expected = ((picture - reference).abs() * weight[..., None]).mean()
    loss, gradient = value_and_gradient((picture, reference, weight), 0.0, implementation)
    torch.testing.assert_close(loss, expected)
    slopes = (picture - reference).sign() * weight[..., None] / picture.numel()
    torch.testing.assert_close(gradient, slopes, atol=1e-8, rtol=1e-5)


@pytest.mark.parametrize("implementation", ["torch", "numba"])
def test_where_nothing_weighs_nothing_pulls(implementation):
    picture, reference, weight = (t.float() for t in pictures(30, 30))
    weight[:] = 0
    weight[:10] = 1
    _, gradient = value_and_gradient((picture, reference, weight), 0.2, implementation)
    assert gradient[:10].abs().min() > 0
    assert gradient[9 + RADIUS].any() and not gradient[10 + RADIUS :].any()  # the window's reach


def test_gradient_is_that_of_differences():
    picture, reference, weight = pictures(6, 7)
    assert torch.autograd.gradcheck(
        lambda p: photometric_loss(p, reference, weight, 0.4), picture.requires_grad_()
    )


@pytest.mark.parametrize("lambda_dssim", [0.2, 1.0])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_compiled_loops_agree_with_the_definition(height, width, lambda_dssim):
    inputs = pictures(height, width)
    loss, gradient = value_and_gradient(inputs, lambda_dssim, "torch")
    single = tuple(t.float() for t in inputs)
    found, found_gradient = value_and_gradient(single, lambda_dssim, "numba")
    assert found.item() == pytest.approx(loss.item(), rel=1e-4)
    error = (found_gradient.double() - gradient).abs().max()
    assert error <= 1e-4 * gradient.abs().max()


def test_threads_change_no_bit():
    inputs = tuple(t.float() for t in pictures(150, 40))
    before = torch.get_num_threads()
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        results.append(value_and_gradient(inputs, 0.2, "numba"))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_what_cannot_be_computed_is_refused():
    inputs = pictures(8, 8)
    with pytest.raises(ValueError, match="auto, torch, numba"):
        photometric_loss(*inputs, implementation="triton")
    with pytest.raises(ValueError, match="float32 pictures on the CPU"):
        photometric_loss(*inputs, implementation="numba")
