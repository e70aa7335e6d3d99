"""Foreign networks behind their doors: shapes, known shifts, errors a user can mend."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.inpainting import Lama
from wildtalker_core.pretrained.optical_flow import PtlFlow
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops


def test_torchvision_imports_and_the_remedy_may_be_called_again():
    ensure_torchvision_ops()
    ensure_torchvision_ops()
    import torchvision

    assert torchvision.transforms.functional is not None


@pytest.mark.slow
def test_raft_small_finds_a_shift_in_both_pairs_of_a_batch(shared_data):
    from skimage.data import astronaut

    picture = astronaut()
    frames = np.stack([picture[100:236, 100:268], picture[104:240, 98:266]])
    earlier = np.stack([picture[97:233, 105:273]] * 2)
    flow = PtlFlow("raft_small", str(shared_data / "weights" / "raft-small.pth"), "cpu")(
        frames, earlier
    )
    assert flow.shape == (2, 136, 168, 2)
    # A point at x of the frame lies at x - 5 of the earlier crop, which starts 5 px further right.
    inner = flow[:, 24:-24, 24:-24]
    assert np.allclose(np.median(inner[0], axis=(0, 1)), (-5, 3), atol=0.3)
    assert np.allclose(np.median(inner[1], axis=(0, 1)), (-7, 7), atol=0.4)


def test_flow_errors_name_the_remedy(tmp_path):
    with pytest.raises(InputError, match="not a model of ptlflow"):
        PtlFlow("no_such_net", "x.pth", "cpu")
    with pytest.raises(InputError, match="does not exist; set occlusion.flow_weights_path"):
        PtlFlow("raft_small", str(tmp_path / "absent.pth"), "cpu")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="not a readable weights file"):
        PtlFlow("raft_small", str(tmp_path / "text.pth"), "cpu")


@pytest.fixture
def grey_filler(tmp_path):
    """A stand-in for big-lama: paints holes mid-grey; needs sides that are multiples of 8."""
    import torch

    class Grey(torch.nn.Module):
        def forward(self, image: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
            assert image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
            return image * (1 - hole) + 0.5 * hole

    path = tmp_path / "grey.pt"
    torch.jit.script(Grey()).save(str(path))
    return path


def test_lama_fills_the_hole_alone_at_the_size_of_the_frame(grey_filler):
    frame = np.random.default_rng(0).integers(0, 255, (45, 61, 3), np.uint8)
    hole = np.zeros((45, 61), bool)
    hole[10:20, 30:50] = True
    filled = Lama(str(grey_filler), "cpu")(frame, hole)
    assert filled.shape == frame.shape and filled.dtype == np.uint8
    assert np.array_equal(filled[~hole], frame[~hole])
    assert np.abs(filled[hole].astype(int) - 127).max() <= 1


def test_lama_takes_the_path_of_the_environment(grey_filler, monkeypatch):
    monkeypatch.setenv("LAMA_MODEL", str(grey_filler))
    frame, hole = np.zeros((16, 16, 3), np.uint8), np.ones((16, 16), bool)
    assert Lama("", "cpu")(frame, hole).mean() == pytest.approx(127, abs=1)


def test_absent_lama_is_never_downloaded(monkeypatch, tmp_path):
    monkeypatch.delenv("LAMA_MODEL", raising=False)
    with pytest.raises(InputError, match="names no file"):
        Lama("", "cpu")
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(InputError, match="TorchScript"):
        Lama(str(tmp_path / "text.pt"), "cpu")
