"""MediaPipe's package and LiteRT agree; what stands between the networks is right by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice

import av
import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from wildtalker_core.pretrained import mediapipe_solutions as package
from wildtalker_core.pretrained.mediapipe_files import is_installed
from wildtalker_core.pretrained.mediapipe_models import backend

litert = pytest.importorskip("wildtalker_core.pretrained.litert_models")
regions = pytest.importorskip("wildtalker_core.pretrained.litert_regions")
with_both = pytest.mark.skipif(not is_installed(), reason="mediapipe is not installed")


@pytest.fixture(scope="module")
def clip(shared_data) -> list[np.ndarray]:
    """Six frames with a face and two moving hands."""
    with av.open(str(shared_data / "video/gestures_20s.mp4")) as container:
        decoded = islice(container.decode(video=0), 6)
        return [frame.to_ndarray(format="rgb24") for frame in decoded]


def outputs(model, frames) -> list[np.ndarray]:
    with model as find:
        return [find(frame) for frame in frames]


def differences(first, second) -> np.ndarray:
    """Absolute, of x, y, z in all frames; the same things are seen in each."""
    assert [np.shape(points) for points in first] == [np.shape(points) for points in second]
    return np.concatenate(
        [np.abs(a - b)[..., :3].ravel() for a, b in zip(first, second, strict=True)]
    )


@with_both
@pytest.mark.parametrize("is_full_range", [False, True])
def test_boxes_of_faces_are_the_packages(clip, is_full_range):
    found, wanted = (
        outputs(models.FaceDetection(0.5, is_full_range), clip[:2]) for models in (litert, package)
    )
    assert all(len(boxes) for boxes in wanted)
    assert differences(found, wanted).max() < 1e-3


@with_both
def test_masks_are_the_packages(clip):
    found, wanted = (outputs(models.SelfieSegmentation(), clip[:2]) for models in (litert, package))
    assert 0.1 < wanted[0].mean() < 0.9
    assert differences(found, wanted).max() < 1e-3


@with_both
@pytest.mark.parametrize("name", ["FaceMesh", "Hands", "BodyPose"])
def test_points_differ_no_more_than_by_a_change_that_nobody_sees(clip, name):
    """The crops are 8 bits deep and followed from frame to frame, which makes of a difference in
    the last digit one of hundredths of a pixel; so does a level in one of a hundred pixels."""
    rng = np.random.default_rng(0)
    touched = [np.where(rng.random(frame.shape) < 0.01, frame ^ 1, frame) for frame in clip]
    wanted = outputs(getattr(package, name)(), clip)
    assert all(points is not None and len(points) for points in wanted)
    error = differences(outputs(getattr(litert, name)(), clip), wanted)
    unseen = differences(outputs(getattr(package, name)(), touched), wanted)
    assert np.median(error) < 2 * np.median(unseen)
    assert np.quantile(error, 0.99) < 2 * np.quantile(unseen, 0.99)


@with_both
def test_blendshapes_are_the_packages(clip, shared_data):
    from wildtalker_core.pretrained.litert_blendshapes import BlendshapeModel

    path = shared_data / "weights/face_landmarker.task"
    (found,) = outputs(BlendshapeModel(path), clip[:1])
    (wanted,) = outputs(package.BlendshapeModel(path), clip[:1])
    assert found.keys() == wanted.keys()
    assert max(abs(found[name] - wanted[name]) for name in wanted) < 0.01


def test_environment_chooses(monkeypatch):
    code = "from wildtalker_core.pretrained.mediapipe_models import FaceMesh; print(FaceMesh)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "WILDTALKER_MEDIAPIPE": "litert"},
    )  # fmt: skip
    assert "litert_models" in done.stdout
    monkeypatch.setenv("WILDTALKER_MEDIAPIPE", "none")
    with pytest.raises(Exception, match="set it to package or litert"):
        backend()


def test_a_region_comes_back_from_its_crop():
    """A smooth picture: its values in a turned crop are those at the projected places."""
    y, x = np.mgrid[:200, :300]
    image = np.repeat((x / 2 + y / 4).astype(np.uint8)[..., None], 3, 2)
    region = regions.Region(150.0, 90.0, 80.0, 80.0, 0.4)
    crop = region.crop(image, 64)[..., 0] * 255
    at = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1)[8:-8, 8:-8] / 64
    px = region.project(at)
    assert np.abs(crop[8:-8, 8:-8] - (px[..., 0] / 2 + px[..., 1] / 4)).max() < 1.5
    corners = cv2.boxPoints(((150, 90), (80, 80), float(np.degrees(0.4))))
    unit = np.array([[0, 1], [0, 0], [1, 0], [1, 1.0]])
    assert np.allclose(region.project(unit), corners, atol=1e-4)


def test_overlapping_detections_become_their_weighted_mean():
    points = np.array([[[0, 0], [1, 1]], [[0.1, 0], [1.1, 1]], [[5, 5], [6, 6]]], float)
    merged, scores = regions.merged(points, np.array([0.5, 1.0, 0.6]), 0.3)
    assert scores.tolist() == [1.0, 0.6]
    assert np.allclose(merged[0], (0.5 * points[0] + points[1]) / 1.5)
    assert np.allclose(merged[1], points[2])


def test_the_angle_is_taken_off():
    """Eyes at any tilt lie level in the region."""
    for angle in np.radians([-120, -30, 0, 45, 170]):
        turn = regions.rotation(angle)
        right, left = turn @ [-10.0, 0.0], turn @ [10.0, 0.0]
        region = regions.Region(0, 0, 40, 40, regions.angle_between(right, left, 0.0))
        assert np.allclose(region.project(np.array([[0.25, 0.5], [0.75, 0.5]])), [right, left])


def test_features_are_read_where_the_way_leads():
    from wildtalker_core.pretrained.litert_networks import look

    features = np.random.default_rng(1).random((8, 8, 2)).astype(np.float32)
    whole = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert np.array_equal(look(features, whole, 8), features)
    half = look(features, np.array([[1.0, 0, 0.5], [0, 1, 0]]), 8)
    assert np.allclose(half[:, :-1], (features[:, :-1] + features[:, 1:]) / 2)
    assert np.allclose(half[:, -1], features[:, -1] / 2)  # beside the picture is nothing
