"""Picture scores against closed forms and the reference packages."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics import image


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:200, 120:330])


def spoiled(frame: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("step", [1, 5, 51])
def test_psnr_of_a_constant_error(step):
    """An error of d grey levels everywhere is 20 log10(255 / d) dB."""
    reference = np.full((7, 9, 3), 100, np.uint8)
    assert image.psnr(reference, reference + np.uint8(step)) == pytest.approx(
        20 * np.log10(255 / step)
    )


def test_psnr_does_not_wrap_around():
    """250 against 5 is an error of 245, not of 11 as uint8 arithmetic has it."""
    reference, estimate = np.full((2, 4, 4, 3), [[[[5]]], [[[250]]]], np.uint8)
    assert image.psnr(reference, estimate) == pytest.approx(20 * np.log10(255 / 245))


def test_equal_frames(photograph):
    assert image.psnr(photograph, photograph) == np.inf
    assert image.ssim(photograph, photograph) == pytest.approx(1)
    assert image.ms_ssim(photograph, photograph) == pytest.approx(1)


def test_box_sees_only_its_pixels():
    reference = np.zeros((20, 20, 3), np.uint8)
    estimate = reference.copy()
    estimate[5:10, 5:15] = 10
    inside = image.psnr_in_box(reference, estimate, np.array([5, 5, 15, 10]))
    assert inside == pytest.approx(20 * np.log10(25.5))
    assert image.psnr_in_box(reference, estimate, np.array([0, 0, 5, 20])) == np.inf
    # A box that sticks out is cut; one that lies outside is an error.
    assert image.psnr_in_box(reference, estimate, np.array([5, 5, 99, 10])) < 30
    with pytest.raises(ValueError, match="holds no pixel"):
        image.psnr_in_box(reference, estimate, np.array([30, 30, 40, 40]))


def test_mask_sees_only_its_pixels():
    """A mask's PSNR is that of its pixels alone, whatever lies outside; a box is a mask."""
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 200, (20, 30, 3)).astype(np.uint8)
    estimate = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    mask = rng.random((20, 30)) < 0.3
    estimate[mask] = reference[mask] + 10
    assert image.psnr_in_mask(reference, estimate, mask) == pytest.approx(20 * np.log10(255 / 10))
    box = np.zeros((20, 30), bool)
    box[3:9, 4:17] = True
    assert image.psnr_in_mask(reference, estimate, box) == pytest.approx(
        image.psnr_in_box(reference, estimate, np.array([4, 3, 17, 9]))
    )
    with pytest.raises(ValueError, match="no pixel"):
        image.psnr_in_mask(reference, estimate, np.zeros((20, 30), bool))


@pytest.mark.parametrize("sigma", [3, 20, 60])
def test_ssim_is_the_reference_packages(photograph, sigma):
    from skimage.metrics import structural_similarity

    estimate = spoiled(photograph, sigma)
    expected = structural_similarity(
        photograph,
        estimate,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert image.ssim(photograph, estimate) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_ms_ssim_is_the_reference_packages(photograph):
    from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    for sigma in (3, 20, 60):
        estimate = spoiled(photograph, sigma)
        pair = [torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (estimate, photograph)]
        expected = float(multiscale_structural_similarity_index_measure(*pair, data_range=255.0))
        # The package takes one mean over channels before the product; ours one after it.
        assert image.ms_ssim(photograph, estimate) == pytest.approx(expected, abs=0.004)


def test_ms_ssim_needs_room():
    small = np.zeros((image.MS_SSIM_MIN_PX - 1, 300, 3), np.uint8)
    with pytest.raises(ValueError, match="176"):
        image.ms_ssim(small, small)


def test_seam_counts_new_edges_only():
    """A drawn line costs; blur, which takes edges away, does not; outside the band nothing does."""
    from scipy.ndimage import gaussian_filter

    reference = np.tile(np.linspace(0, 200, 64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    reference[:, 40:] = 10
    band = np.zeros((64, 64), bool)
    band[20:40] = True
    line, elsewhere = reference.copy(), reference.copy()
    line[30] = 255
    elsewhere[50] = 255
    blurred = gaussian_filter(reference, (3, 3, 0))
    assert image.seam_error(reference, reference, band) == 0
    assert image.seam_error(reference, elsewhere, band) == 0
    # Above and below the line of rows the slope is half the jump of about 150 grey levels: two of
    # twenty rows of the band.
    assert 5 < image.seam_error(reference, line, band) < 15
    assert image.seam_error(reference, blurred, band) < 0.5 * image.seam_error(
        reference, line, band
    )


def test_other_shapes_and_types_are_refused(photograph):
    with pytest.raises(ValueError, match="differ"):
        image.psnr(photograph, photograph[1:])
    with pytest.raises(ValueError, match="uint8"):
        image.ssim(photograph, photograph / 255)


def test_edge_energy_is_of_the_slope():
    """A ramp of s grey levels a pixel has s squared at every pixel."""
    ramp = np.repeat((3 * np.arange(40, dtype=np.uint8))[None, :, None], 3, 2).repeat(20, 0)
    mask = np.zeros((20, 40), bool)
    mask[5:15, 10:30] = True
    assert image.edge_energy(ramp, mask) == pytest.approx(9 * mask.sum())
    assert image.edge_energy(ramp, ~mask) == pytest.approx(9 * (~mask).sum())
