"""A torso whose motion is known, found again: most of all one that only its outline shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.occlusion.test_registration import texture, true_motion, warp
from wildtalker_core.occlusion.alignment import Aligner, SoftBasis, elastic
from wildtalker_core.occlusion.registration import similarity_matrix
from wildtalker_core.occlusion.torso_motion import TorsoView, register_torso, torso_view

SIZE, N = 128, 40
CLOTH, BACKDROP = 220.0, 0.0
MATRICES = similarity_matrix(true_motion(N), np.array([SIZE / 2, 3 * SIZE / 4]))
TRAIN, REST = np.arange(28), np.arange(28, N)


def shirt(lift: float = 0.0) -> np.ndarray:
    """A plain shirt [SIZE, SIZE] before an even backdrop, its right shoulder lifted."""
    outline = np.array(
        [[20, 160], [24, 78], [46, 64], [56, 70], [72, 70], [82, 64 - lift], [104, 78 - lift],
         [108, 160]]
    )  # fmt: skip
    drawn = np.full((SIZE, SIZE), BACKDROP, np.float32)
    cv2.fillPoly(drawn, [np.round(outline * 16).astype(np.int32)], CLOTH, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(drawn, (0, 0), 1)


def views(pictures: list[np.ndarray]) -> list[TorsoView]:
    """What is seen of them: a hand goes across, and its place tells nothing."""
    seen = []
    for i, picture in enumerate(pictures):
        picture, clear = picture.copy(), np.ones((SIZE, SIZE), bool)
        x = 3 * i
        picture[90:, x : x + 16], clear[88:, max(0, x - 2) : x + 18] = 130, False
        seen.append(TorsoView(picture, clear, clear & (picture > 110)))
    return seen


def distance(found, expected: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far points [k, 2] of the reference frame are from their place in each frame, [n, k]."""
    got = similarity_matrix(found.similarity, found.centre)
    got = got @ np.linalg.inv(got[found.reference])
    there = expected @ np.linalg.inv(expected[found.reference])
    points = np.concatenate((points, np.ones((len(points), 1))), 1).T
    return np.linalg.norm(((got - there) @ points)[:, :2], axis=1)


def test_a_plain_shirt_is_followed_by_its_outline():
    seen = views([warp(shirt(), matrix) for matrix in MATRICES])
    found = register_torso(seen.__getitem__, N, TRAIN, [TRAIN, REST], reference=4)
    collar_and_hem = np.array([[64.0, 70], [30, 120], [100, 120]])
    error = distance(found, MATRICES, collar_and_hem)
    # A similarity by RANSAC on dense flow: .08 and .35.
    assert error.mean() < 0.04 and error.max() < 0.15
    assert not found.is_interpolated.any() and found.soft.shape == (N, 0)


def test_a_shoulder_moves_softly_and_not_the_shirt():
    """One shoulder is lifted while the shirt moves; frames that were not fitted go further."""
    lift = np.where(np.arange(N) < len(TRAIN), 3, 4.5) * np.sin(np.arange(N) / 3)
    seen = views([warp(shirt(a), m) for a, m in zip(lift, MATRICES, strict=True)])
    found = register_torso(seen.__getitem__, N, TRAIN, [TRAIN, REST], 4, n_soft=1)
    assert abs(np.corrcoef(found.soft[:, 0], lift)[0, 1]) > 0.95
    assert found.soft[TRAIN].std() == pytest.approx(1, abs=0.25)
    basis = SoftBasis(found.soft_basis, found.box, np.eye(1))
    similarity = similarity_matrix(found.similarity, found.centre)
    for x, share in ((93, 1), (35, 0)):
        y = 71
        off = [basis.at(SIZE, SIZE, soft)[y, x] for soft in found.soft]
        got = [m @ [x + u, y + v, 1] for m, (u, v) in zip(similarity, off, strict=True)]
        true = [m @ [x, y - share * a, 1] for m, a in zip(MATRICES, lift, strict=True)]
        error = (np.array(got) - true)[:, 1]
        assert np.std(error) < 0.7  # the lift's own spread is 2.4


def test_elastic_motion_that_is_a_similarity_is_none_beyond_it():
    box, centre = np.array([10.0, 50, 118, 127]), np.array([64.0, 90])
    cloth = elastic(box, 5, 1.0, 3.0)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[50:, 10:119] = True
    aligner = Aligner(texture(2, SIZE).astype(np.float32), inside, centre, cloth)
    y, x = np.mgrid[50:127:5j, 10:118:5j]
    shift = np.stack((2 - 0.1 * (y - 90), 1 + 0.1 * (x - 64)), -1)
    bend = np.stack((np.zeros_like(x), np.square(x - 64) / 500), -1)
    left = aligner.beyond_similarity(np.stack((shift.ravel(), (shift + bend).ravel())))
    assert np.abs(left[0]).max() < 0.15
    assert (
        np.abs(left[1].reshape(5, 5, 2)[:, ::4, 1] - left[1].reshape(5, 5, 2)[:, 2:3, 1]).min() > 3
    )


def test_later_segments_change_nothing_in_the_earlier_ones():
    lift = 3 * np.sin(np.arange(N) / 3)
    own = views([warp(shirt(a), m) for a, m in zip(lift, MATRICES, strict=True)])
    noise = [
        TorsoView(texture(i, SIZE).astype(np.float32), view.is_clear, view.is_torso)
        for i, view in enumerate(own)
    ]
    other = [*own[: len(TRAIN)], *noise[len(TRAIN) :]]
    clean, noisy = (
        register_torso(seen.__getitem__, N, TRAIN, [TRAIN, REST], 4, n_soft=2)
        for seen in (own, other)
    )
    for name in ("similarity", "soft", "is_interpolated"):
        np.testing.assert_array_equal(getattr(clean, name)[TRAIN], getattr(noisy, name)[TRAIN])
    np.testing.assert_array_equal(clean.soft_basis, noisy.soft_basis)
    assert np.abs(clean.similarity[REST] - noisy.similarity[REST]).max() > 0.1


def test_what_is_hidden_is_interpolated():
    seen = views([warp(shirt(), matrix) for matrix in MATRICES])
    nothing = np.zeros((SIZE, SIZE), bool)
    for i in (12, 13, 14):
        seen[i] = TorsoView(seen[i].picture, nothing, nothing)
    found = register_torso(seen.__getitem__, N, TRAIN, [TRAIN, REST], reference=4, n_soft=1)
    assert found.is_interpolated.nonzero()[0].tolist() == [12, 13, 14]
    assert distance(found, MATRICES, np.array([[64.0, 70]]))[12:15].max() < 1.5
    assert np.isfinite(found.soft).all()


def test_plain_cloth_stands_before_an_even_backdrop():
    frame = np.full((64, 64, 3), 20, np.uint8)
    frame[:, 40:] = np.random.default_rng(0).integers(0, 255, (64, 24, 3))
    parsing = np.zeros((64, 64, 5), np.uint8)
    parsing[:, :40, 3], parsing[:, 40:, 0] = 255, 255
    parsing[:8, :20] = [0, 255, 0, 0, 0]
    view = torso_view(frame, parsing, np.zeros((64, 64), np.uint8), backdrop=255)
    assert (view.picture[:, 40:] == 255).all() and (view.picture[20:, :38] == 20).all()
    assert view.is_clear[40, 50] and view.is_torso[40, 39] and not view.is_torso[40, 41]
    assert not view.is_clear[:8, :18].any()  # near the head nothing is followed
