"""LPIPS with a made-up backbone file: the arithmetic is known though the weights mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wildtalker_core.errors import InputError  # noqa: E402
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops  # noqa: E402


@pytest.fixture(scope="module")
def alexnet():
    ensure_torchvision_ops()
    from torchvision.models import alexnet

    torch.manual_seed(0)
    return alexnet(weights=None).eval()


@pytest.fixture(scope="module")
def model(alexnet, tmp_path_factory):
    from wildtalker_core.pretrained.lpips_model import LpipsModel

    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(alexnet.state_dict(), path)
    return LpipsModel(path)


def pictures(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)


def test_distance_is_the_papers_formula(model, alexnet):
    """Zhang et al. 2018, Eq. 1: unit features, squared difference, weighted, averaged."""
    import lpips

    heads = lpips.LPIPS(net="alex", pretrained=True, pnet_rand=True, verbose=False).lins
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    frames = pictures(2)
    with torch.no_grad():
        x = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 * 2 - 1
        x = (x - shift) / scale
        expected, taken = 0.0, 0
        for i, layer in enumerate(alexnet.features):
            x = layer(x.clone())
            if i in (1, 4, 7, 9, 11):
                unit = x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
                weights = heads[taken].model[-1].weight[0]
                expected += float((weights * (unit[0] - unit[1]).pow(2)).sum(0).mean())
                taken += 1
    assert model.score(*frames) == pytest.approx(expected, rel=1e-4)


def test_equal_pictures_have_no_distance_and_gradients_flow(model):
    frames = pictures(2, seed=1)
    assert model.score(frames[0], frames[0]) == 0
    reference, estimate = (torch.from_numpy(f).permute(2, 0, 1)[None].float() / 255 for f in frames)
    estimate.requires_grad_()
    model(reference, estimate).sum().backward()
    assert estimate.grad.abs().max() > 0
    assert all(not weight.requires_grad for weight in model.parameters())


def test_batches_are_single_pictures(model):
    a, b = pictures(3, seed=2), pictures(3, seed=3)
    pair = [torch.from_numpy(x).permute(0, 3, 1, 2) / 255 for x in (a, b)]
    with torch.no_grad():
        together = model(*pair).numpy()
    alone = [model.score(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_wrong_files_say_what_to_do(model, tmp_path):
    from wildtalker_core.pretrained.lpips_model import LpipsModel

    with pytest.raises(InputError, match="does not exist"):
        LpipsModel(tmp_path / "absent.pth")
    text = tmp_path / "text.pth"
    text.write_text("<html>404</html>")
    with pytest.raises(InputError, match="not a readable weights file"):
        LpipsModel(text)
    other = tmp_path / "other.pth"
    torch.save({"classifier.0.weight": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="lacks features.0"):
        LpipsModel(other)
    with pytest.raises(ValueError, match="32"):
        model.score(pictures(1)[0, :20], pictures(1)[0, :20])
