"""SyncNet v2: key layout, shapes, windows, MFCCs. What it says needs its weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wildtalker_core.errors import InputError  # noqa: E402
from wildtalker_core.pretrained import syncnet  # noqa: E402


@pytest.fixture(scope="module")
def weights_path(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(syncnet.SyncNet().state_dict(), path)
    return path


def test_key_layout_of_the_public_file():
    """Names and shapes that the public file has (the paper's layers, one by one)."""
    shapes = {name: tuple(value.shape) for name, value in syncnet.SyncNet().state_dict().items()}
    expected = {
        "netcnnaud.0.weight": (64, 1, 3, 3),
        "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3),
        "netcnnaud.11.weight": (256, 384, 3, 3),
        "netcnnaud.14.weight": (256, 256, 3, 3),
        "netcnnaud.18.weight": (512, 256, 5, 4),
        "netfcaud.0.weight": (512, 512),
        "netfcaud.3.weight": (1024, 512),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7),
        "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.8.weight": (256, 256, 1, 3, 3),
        "netcnnlip.11.weight": (256, 256, 1, 3, 3),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6),
        "netfclip.0.weight": (512, 512),
        "netfclip.3.weight": (1024, 512),
    }
    assert {name: shapes[name] for name in expected} == expected


def test_windows_are_embedded_alone(weights_path):
    """A batch of windows is the same as each window by itself: nothing leaks between them."""
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    waveform = 0.1 * rng.normal(size=8 * 640)
    embed = syncnet.SyncNetEmbedder(weights_path)
    lips, audio = embed(crops, waveform, batch_size=4)
    assert lips.shape == audio.shape == (3, 1024)
    one_by_one = embed(crops, waveform, batch_size=1)
    np.testing.assert_allclose(lips, one_by_one[0], atol=1e-4)
    np.testing.assert_allclose(audio, one_by_one[1], atol=1e-4)
    # The first window sees the first five frames only.
    changed = crops.copy()
    changed[5:] = 0
    np.testing.assert_allclose(embed(changed, waveform, 1)[0][0], lips[0], atol=1e-4)
    with pytest.raises(ValueError, match="needs"):
        embed(crops[:4], waveform)


def test_wrong_files_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        syncnet.SyncNetEmbedder(tmp_path / "absent.model")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.model")
    with pytest.raises(InputError, match="not SyncNet"):
        syncnet.SyncNetEmbedder(tmp_path / "other.model")


def test_mfcc_by_the_slow_definition():
    """One column, every step written as a sum."""
    rng = np.random.default_rng(1)
    waveform = np.round(3000 * rng.normal(size=1600)) / 32768
    found = syncnet.sound_columns(waveform)
    assert found.shape == (9, 13)  # 1 + ceil((1600 - 400) / 160)
    x = waveform * 32768
    emphasised = np.array([x[0]] + [x[n] - 0.97 * x[n - 1] for n in range(1, 1600)])
    frame = np.zeros(512)
    frame[:400] = emphasised[3 * 160 : 3 * 160 + 400]
    n = np.arange(512)
    power = np.array([abs(np.sum(frame * np.exp(-2j * np.pi * k * n / 512))) ** 2 / 512
                      for k in range(257)])  # fmt: skip
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    edges = [int(np.floor(513 * 700 * (10 ** (m / 2595) - 1) / 16000)) for m in mel]
    levels = []
    for j in range(26):
        total = 0.0
        for k in range(edges[j], edges[j + 1]):
            total += power[k] * (k - edges[j]) / (edges[j + 1] - edges[j])
        for k in range(edges[j + 1], edges[j + 2]):
            total += power[k] * (edges[j + 2] - k) / (edges[j + 2] - edges[j + 1])
        levels.append(np.log(total))
    expected = [np.log(power.sum())]
    for q in range(1, 13):
        cosine = sum(level * np.cos(np.pi * q * (2 * j + 1) / 52) for j, level in enumerate(levels))
        expected.append(np.sqrt(2 / 26) * cosine * (1 + 11 * np.sin(np.pi * q / 22)))
    np.testing.assert_allclose(found[3], expected, rtol=1e-6)


def test_mfcc_of_digital_silence_is_finite():
    assert np.isfinite(syncnet.sound_columns(np.zeros(16000))).all()
    assert len(syncnet.sound_columns(np.zeros(16000))) == 99


def test_crop_is_where_the_face_is():
    """A face of half side 20 at (60, 50): 28 to either side, 20 up, 36 down; enlarged 4 times."""
    landmarks = np.zeros((9, 478, 2))
    landmarks[:, 0], landmarks[:, 1] = (40, 30), (80, 70)
    boxes = syncnet.face_crop_boxes(landmarks, (0, 1))
    np.testing.assert_allclose(boxes, np.tile([32, 30, 56], (9, 1)))
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[30:70, 40:80] = 200
    crop = syncnet.cut_face_crop(frame, boxes[0])
    assert crop.shape == (224, 224, 3)
    assert crop[2, 112, 0] == 200 and crop[156, 112, 0] == 200 and crop[162, 112, 0] == 0
    assert crop[80, 28, 0] == 0 and crop[80, 34, 0] == 200
    outside = syncnet.cut_face_crop(frame, np.array([-60.0, 0, 56]))
    assert (outside == 110).all()
