"""Known motions: what is rigid is explained away, what a hand does is left."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wildtalker_core.occlusion.flow import DisFlow, measure_motion, without_hands
from wildtalker_core.occlusion.flow_model import evaluate, fit_flow_model, landmark_motion
from wildtalker_core.occlusion.rigid_motion import (
    BACKGROUND,
    HANDS,
    HEAD,
    TORSO,
    RigidMotion,
    fit_rigid_motion,
    intensity_motion,
    motion_beyond,
    parts_near,
)

SIZE = 128


def texture(seed: int, size: int = SIZE) -> np.ndarray:
    """A picture with detail everywhere, [size, size, 3] uint8."""
    noise = np.random.default_rng(seed).uniform(0, 255, (size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.clip((smooth - 127) * 3 + 127, 0, 255).astype(np.uint8)


def portrait_parsing() -> np.ndarray:
    """Head above a torso above nothing: memberships [SIZE, SIZE, 5] uint8."""
    parsing = np.zeros((SIZE, SIZE, 5), np.uint8)
    parsing[..., BACKGROUND] = 255
    for rows, columns, part in (
        (slice(16, 56), slice(44, 84), HEAD),
        (slice(56, 128), slice(16, 112), TORSO),
    ):
        parsing[rows, columns] = 0
        parsing[rows, columns, part] = 255
    return parsing


def smooth_flow(seed: int) -> dict[int, np.ndarray]:
    """An affine flow [2, 3] per part: a shaking camera, a nodding head, a swaying torso."""
    rng = np.random.default_rng(seed)
    return {part: rng.uniform(-1.5, 1.5, (2, 3)) for part in (BACKGROUND, HEAD, TORSO)}


def composed(models: dict[int, np.ndarray], parsing: np.ndarray) -> np.ndarray:
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    for part, model in models.items():
        inside = parsing[..., part] > 127
        flow[inside] = evaluate(model.astype(np.float32), SIZE, SIZE)[inside]
    return flow


def quadratic(model: np.ndarray) -> np.ndarray:
    """An affine model with all terms."""
    return np.pad(model, ((0, 0), (0, 3)))


@pytest.mark.parametrize("seed", range(4))
def test_rigid_parts_leave_nothing(seed):
    parsing, models = portrait_parsing(), smooth_flow(seed)
    flow = composed(models, parsing)
    gray = texture(1)[..., 0]
    motion = fit_rigid_motion(flow, gray, parsing, None)
    assert np.allclose(motion.torso, quadratic(models[TORSO]), atol=0.02)
    assert np.allclose(motion.background, models[BACKGROUND], atol=0.02)
    assert motion_beyond(flow, parts_near(parsing), motion).max() < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_a_hand_over_a_third_of_the_torso_does_not_bend_its_fit(seed):
    parsing, models = portrait_parsing(), smooth_flow(seed)
    flow = composed(models, parsing)
    hand = np.zeros((SIZE, SIZE), bool)
    hand[80:124, 24:70] = True
    assert 0.25 < hand.sum() / (parsing[..., TORSO] > 0).sum() < 0.35
    flow[hand] += (4.0, -3.0)
    motion = fit_rigid_motion(flow, texture(1)[..., 0], parsing, None)
    assert np.allclose(motion.torso, quadratic(models[TORSO]), atol=0.05)
    beyond = motion_beyond(flow, parts_near(parsing), motion)
    assert beyond[hand].min() > 3.5  # 5 px less a share of the torso's own speed
    assert beyond[~hand].max() < 0.1


def test_a_shoulder_that_rises_alone_is_the_persons_own_motion():
    parsing, models = portrait_parsing(), smooth_flow(0)
    flow = composed(models, parsing)
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)
    shrug = 6.0 * ((1 + x) / 2) ** 2  # 6 px at the picture's right side, nothing at its left
    inside = parsing[..., TORSO] > 127
    flow[..., 1][inside] += np.broadcast_to(shrug, (SIZE, SIZE))[inside]
    motion = fit_rigid_motion(flow, texture(1)[..., 0], parsing, None)
    assert motion_beyond(flow, parts_near(parsing), motion)[inside].max() < 0.1


def test_between_two_parts_any_mixture_of_their_motions_is_rigid():
    """The neck: halfway between a head that turns and a torso that stays."""
    parsing = portrait_parsing()
    motion = RigidMotion(
        np.zeros((2, 3), np.float32),
        np.array([[6.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.float32),
        np.zeros((2, 3), np.float32),
    )
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 0] = 3.0
    beyond = motion_beyond(flow, parts_near(parsing), motion)
    assert beyond[56, 64] < 1e-3  # where they meet
    assert beyond[110, 64] == pytest.approx(3.0)  # deep in the torso


def test_landmarks_give_the_affine_motion_backward():
    rng = np.random.default_rng(0)
    current = rng.uniform(20, 100, (50, 2))
    matrix, shift = np.array([[0.98, 0.05], [-0.04, 1.03]]), np.array([2.0, -1.0])
    previous = current @ matrix.T + shift
    model = landmark_motion(previous, current, SIZE)
    flow = evaluate(model, SIZE, SIZE)
    x, y = 40, 70
    expected = matrix @ (x, y) + shift - (x, y)
    assert np.allclose(flow[y, x], expected, atol=1e-3)


def test_fit_is_exact_without_outliers_and_survives_40_percent_of_them():
    rng = np.random.default_rng(3)
    positions = rng.uniform(-1, 1, (800, 2)).astype(np.float32)
    model = rng.uniform(-2, 2, (2, 3))
    design = np.c_[np.ones(800), positions]
    flow = (design @ model.T).astype(np.float32)
    trust = np.ones(800, np.float32)
    assert np.allclose(fit_flow_model(positions, flow, trust, [], 0.2, 3), model, atol=0.01)
    flow[:320] += rng.uniform(3, 9, (320, 2)).astype(np.float32)
    assert np.allclose(fit_flow_model(positions, flow, trust, [], 0.2, 3), model, atol=0.05)


def test_intensities_show_no_motion_where_a_part_explains_them():
    parsing = portrait_parsing()
    earlier = texture(5)[..., 0]
    moved = cv2.warpAffine(
        earlier, np.float32([[1, 0, 2], [0, 1, 0]]), (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT
    )
    with_shift = RigidMotion(*(np.array([[-2.0, 0, 0], [0, 0, 0]], np.float32),) * 3)
    inside = (slice(8, -8), slice(8, -8))
    assert intensity_motion(moved, earlier, parts_near(parsing), with_shift)[inside].max() < 0.1
    assert (
        np.median(intensity_motion(moved, earlier, parts_near(parsing), RigidMotion.none())[inside])
        > 0.5
    )


def test_flat_places_have_no_motion_whatever_the_flow_guesses():
    parsing = portrait_parsing()
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    assert intensity_motion(flat, flat, parts_near(parsing), RigidMotion.none()).max() == 0.0


def still_torso_parsing() -> np.ndarray:
    parsing = np.zeros((SIZE, SIZE, 5), np.uint8)
    parsing[..., TORSO] = 255
    return parsing


def test_cloth_that_looks_different_all_over_has_not_moved_but_a_hand_before_it_has():
    """Fast motion, coarsely coded: plain cloth changes in patches by several grey levels."""
    rng = np.random.default_rng(2)
    patches = rng.uniform(-8, 8, (SIZE // 16, SIZE // 16)).astype(np.float32)
    patches = cv2.resize(patches, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    earlier = np.full((SIZE, SIZE), 90, np.uint8)
    now = np.clip(earlier + patches, 0, 255).astype(np.uint8)
    earlier[50:80, 50:80], now[50:80, 54:84] = 190, 190
    shown = intensity_motion(now, earlier, parts_near(still_torso_parsing()), RigidMotion.none())
    hand = np.zeros((SIZE, SIZE), np.uint8)
    hand[50:80, 50:84] = 1
    assert shown[60:70, 80:86].min() > 0.5
    assert shown[cv2.dilate(hand, np.ones((31, 31))) == 0].max() < 0.3


def test_intensities_allow_a_fast_part_the_share_of_its_speed_that_the_flow_allows_it():
    earlier = texture(5)[..., 0]
    near = parts_near(still_torso_parsing())

    def shown(shift: float, fitted: float) -> float:
        moved = cv2.warpAffine(
            earlier, np.float32([[1, 0, shift], [0, 1, 0]]), (SIZE, SIZE),
            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        motion = RigidMotion(*(np.array([[-fitted, 0, 0], [0, 0, 0]], np.float32),) * 3)
        inside = intensity_motion(moved, earlier, near, motion)[12:-12, 12:-12]
        return float(np.median(inside))

    assert shown(1.2, 0.0) > 0.3
    assert shown(7.2, 6.0) < 0.05


def moving_square(n_frames: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A textured square crosses a textured torso that drifts; frames, parsings, true places."""
    picture, patch = texture(7), texture(8)[:28, :28]
    frames, places = [], []
    for i in range(n_frames):
        shift = np.float32([[1, 0, 0.5 * i], [0, 1, 0.3 * i]])
        frame = cv2.warpAffine(picture, shift, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        place = np.zeros((SIZE, SIZE), bool)
        place[84:112, 24 + 3 * i : 52 + 3 * i] = True
        frame[84:112, 24 + 3 * i : 52 + 3 * i] = patch
        frames.append(frame)
        places.append(place)
    return np.stack(frames), np.stack([portrait_parsing()] * n_frames), np.stack(places)


def test_stream_finds_the_occluder_and_not_the_drift():
    frames, parsings, places = moving_square()
    landmarks = (
        np.random.default_rng(0).uniform(40, 80, (1, 20, 2)) + 0.4 * np.arange(6)[:, None, None]
    )
    found = list(measure_motion(frames, parsings, landmarks, DisFlow()))
    assert len(found) == len(frames)
    assert not found[0].beyond_rigid.any()
    assert np.allclose(found[3].rigid.torso[:, 0], (-0.5, -0.3), atol=0.15)
    magnitude = found[3].beyond_rigid.astype(np.float32)
    assert np.median(magnitude[places[3]]) > 1.5
    far = ~cv2.dilate(places[3].astype(np.uint8), np.ones((25, 25))).astype(bool)
    assert np.percentile(magnitude[far], 99) < 0.3


def test_batches_change_nothing():
    frames, parsings, _ = moving_square()
    landmarks = np.random.default_rng(0).uniform(40, 80, (6, 20, 2))
    one = list(measure_motion(frames, parsings, landmarks, DisFlow(), batch_size=1))
    four = list(measure_motion(frames, parsings, landmarks, DisFlow(), batch_size=4))
    for a, b in zip(one, four, strict=True):
        assert np.allclose(a.beyond_rigid, b.beyond_rigid, atol=0.01)


def test_hands_become_torso():
    parsing = np.zeros((2, 2, 5), np.uint8)
    parsing[..., TORSO], parsing[..., HANDS] = 55, 200
    merged = without_hands(parsing)
    assert (merged[..., TORSO] == 255).all() and not merged[..., HANDS].any()
    assert (parsing[..., HANDS] == 200).all()


def test_large_frames_mean_the_same_motion():
    """Twice the size: twice the pixels per frame, and the rigid motion in whole pixels."""
    frames, parsings, places = moving_square(4)
    large = np.stack([cv2.resize(f, (512, 512), interpolation=cv2.INTER_CUBIC) for f in frames])
    large_parsings = np.stack([cv2.resize(p, (512, 512)) for p in parsings])
    landmarks = np.zeros((4, 20, 2)) + np.random.default_rng(0).uniform(40, 80, (1, 20, 2))
    found = list(measure_motion(large, large_parsings, 4 * landmarks, DisFlow()))[2]
    assert found.beyond_rigid.shape == (512, 512)
    assert np.allclose(found.rigid.torso[:, 0], (-2.0, -1.2), atol=0.4)
    place = cv2.resize(places[2].astype(np.uint8), (512, 512)) > 0
    assert np.median(found.beyond_rigid[place].astype(np.float32)) > 6


def test_flow_is_estimated_at_one_size_whatever_the_frames():
    """Or θ, a share of the height, would meet other details in larger frames."""
    frames, parsings, _ = moving_square(4)
    landmarks = np.random.default_rng(0).uniform(40, 80, (4, 20, 2))
    heights = []

    def estimate(now: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        heights.append(now.shape[1])
        return DisFlow()(now, earlier)

    def measured(factor: int) -> np.ndarray:
        large = (a.repeat(factor, 1).repeat(factor, 2) for a in (frames, parsings))
        stream = measure_motion(*large, factor * landmarks, estimate)
        return np.stack([motion.beyond_rigid for motion in stream]).astype(np.float32)

    of_256, of_768 = measured(2), measured(6)
    assert set(heights) == {256}
    shrunk = np.stack([cv2.resize(m, (256, 256), interpolation=cv2.INTER_AREA) for m in of_768])
    assert np.abs(shrunk / 3 - of_256).mean() < 0.02 * of_256.mean() + 0.002
    assert of_256.max() > 2


def test_raw_motion_is_all_flow_whoever_moves():
    """A picture that shifts as a whole by 1.5 pixels: nothing beyond rigid, 1.5 as it is."""
    from wildtalker_core.occlusion.flow import measure_motion, measure_raw_motion

    height, n_frames = 320, 4
    parsing = np.zeros((height, height, 5), np.uint8)
    parsing[..., 0] = 255
    frames = np.random.default_rng(0).integers(0, 255, (n_frames, height, height, 3), np.uint8)

    def shift(now, earlier):
        # Flow is measured at 256 pixels: 1.2 there are 1.5 here.
        flow = np.zeros((*now.shape[:3], 2), np.float32)
        flow[..., 0] = 1.2
        return flow

    given = (np.zeros((n_frames, 478, 2)), shift, 2)
    raw = list(measure_raw_motion(iter(frames), [parsing] * n_frames, *given))
    beyond = list(measure_motion(iter(frames), [parsing] * n_frames, *given))
    assert len(raw) == n_frames and raw[0].beyond_rigid.max() == 0
    for motion in raw[1:]:
        np.testing.assert_allclose(motion.beyond_rigid, 1.5, atol=2e-3)
    assert max(motion.beyond_rigid.max() for motion in beyond) < 0.1
