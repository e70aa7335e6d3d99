"""Eq. 5, 6 and 7: what they notice and what they must not."""

from __future__ import annotations

import pytest
import torch

from wildtalker_core.training.losses import (
    head_loss,
    ms_ssim_loss,
    opacity_entropy,
    ray_errors,
    reconstruction_loss,
    static_weight,
    torso_loss,
    uncertainty_loss,
    uncertainty_weights,
)


def rays(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 3, generator=generator), torch.rand(n, 3, generator=generator)


def test_reconstruction_is_zero_on_equality_and_blind_to_order():
    reference, estimate = rays()
    assert reconstruction_loss(reference, reference) == 0
    order = torch.randperm(len(reference))
    torch.testing.assert_close(
        reconstruction_loss(reference, estimate),
        reconstruction_loss(reference[order], estimate[order]),
    )


def test_fully_transient_pixel_has_no_gradient_and_a_static_one_has():
    reference, estimate = rays(2)
    estimate.requires_grad_()
    mask = torch.tensor([1.0, 0.0])
    torso_loss(reference, estimate, mask).backward()
    assert (estimate.grad[0] == 0).all()
    assert (estimate.grad[1] != 0).all()


def test_literal_form_of_eq_6_does_the_opposite():
    reference, estimate = rays(2)
    estimate.requires_grad_()
    torso_loss(reference, estimate, torch.tensor([1.0, 0.0]), "literal").backward()
    assert (estimate.grad[0] != 0).all()
    assert (estimate.grad[1] == 0).all()


def test_static_weight_forms():
    mask = torch.tensor([0.0, 0.25, 1.0])
    torch.testing.assert_close(static_weight(mask), 1 - mask)
    torch.testing.assert_close(static_weight(mask, "literal"), mask)
    torch.testing.assert_close(static_weight(mask, "none"), torch.ones(3))
    with pytest.raises(ValueError, match="one_minus_mask"):
        static_weight(mask, "both")


def patches(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bicubic").clamp(0, 1)
    reference = smooth.permute(0, 2, 3, 1)
    noise = 0.1 * torch.randn(reference.shape, generator=generator)
    return reference, (reference + noise).clamp(0, 1)


def test_eq_7_without_lambda_is_eq_5():
    reference, estimate = patches()
    plain = reconstruction_loss(reference.reshape(-1, 3), estimate.reshape(-1, 3))
    torch.testing.assert_close(head_loss(reference, estimate, 0.0, ms_ssim_loss), plain)
    torch.testing.assert_close(head_loss(reference, estimate, 0.5, None), plain)
    more = head_loss(reference, estimate, 0.5, ms_ssim_loss)
    torch.testing.assert_close(more, plain + 0.5 * ms_ssim_loss(estimate, reference))


def test_patches_keep_their_orientation():
    # Transposing one of the two changes what a patch loss sees; transposing both changes nothing.
    reference, estimate = patches()
    turned = ms_ssim_loss(estimate.transpose(1, 2), reference.transpose(1, 2))
    torch.testing.assert_close(turned, ms_ssim_loss(estimate, reference))
    assert ms_ssim_loss(estimate.transpose(1, 2), reference) > 2 * turned


def test_ms_ssim_prefers_the_sharp_over_the_blurred():
    reference, _ = patches()
    detail = reference + 0.1 * torch.sin(torch.arange(48) * 1.5)[None, None, :, None]
    assert ms_ssim_loss(detail, detail) < 1e-5
    assert ms_ssim_loss(reference, detail) > ms_ssim_loss(0.8 * detail + 0.1, detail)


def test_opacity_entropy_is_least_for_hit_or_miss():
    assert opacity_entropy(torch.tensor([0.0, 1.0])) < 1e-3
    torch.testing.assert_close(opacity_entropy(torch.tensor([0.5])), torch.tensor(2.0).log())


def test_forms_of_the_photometric_error():
    reference, estimate = torch.zeros(1, 3), torch.tensor([[0.1, 0.2, -0.3]])
    torch.testing.assert_close(ray_errors(reference, estimate), torch.tensor([0.14 / 3]))
    torch.testing.assert_close(ray_errors(reference, estimate, "absolute"), torch.tensor([0.2]))
    with pytest.raises(ValueError, match="squared, absolute, not 'cubed'"):
        ray_errors(reference, estimate, "cubed")


def test_uncertain_rays_count_for_more_the_later_it_is():
    uncertainty = torch.tensor([0.0, 0.0, 0.0, 5.0], requires_grad=True)
    torch.testing.assert_close(uncertainty_weights(uncertainty, 0.0), torch.ones(4))
    late = uncertainty_weights(uncertainty, 1.0)
    share = 4 * uncertainty.detach().softmax(0)
    torch.testing.assert_close(late, 0.2 + 0.8 * share)
    assert late[3] > 3 > 0.25 > late[0] and not late.requires_grad
    alone = torch.zeros(100).index_fill(0, torch.tensor([7]), 50.0)
    torch.testing.assert_close(uncertainty_weights(alone, 1.0).max(), torch.tensor(8.2))


def test_uncertainty_settles_where_the_likelihood_is_greatest():
    """d/d beta of e / (2 beta^2) + (ln beta)^2 / 2 is 0 where beta^2 ln beta = e."""
    is_face = torch.tensor([True, True, False])
    beta = torch.tensor([1.5, 3.0])
    errors = torch.cat((beta.square() * beta.log(), torch.tensor([9.0])))
    uncertainty = torch.cat((beta - 1, torch.tensor([0.7]))).requires_grad_()
    errors.requires_grad_()
    uncertainty_loss(errors, uncertainty, is_face).backward()
    torch.testing.assert_close(uncertainty.grad, torch.tensor([0.0, 0.0, 1e-3 / 3]), atol=1e-6,
                               rtol=0)  # fmt: skip
    assert errors.grad is None
