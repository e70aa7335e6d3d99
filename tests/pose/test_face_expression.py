"""Blinks and brows, whoever the person is and wherever the head looks."""

import numpy as np
import pytest

from tests.person.made_faces import made_landmarks, made_poses, made_template
from wildtalker_core.media.splits import Split
from wildtalker_core.person.options import FocalLengthOptions, LandmarkOptions
from wildtalker_core.pose import expression as ex

N_FRAMES = 100
LEFT, RIGHT = ex.EXPRESSION_NAMES.index("eyeBlinkLeft"), ex.EXPRESSION_NAMES.index("eyeBlinkRight")
INNER_UP = ex.EXPRESSION_NAMES.index("browInnerUp")


def measured(template_of_frame, poses):
    """Expression of a face whose template changes from frame to frame."""
    parts = [made_landmarks(t, poses[i : i + 1]) for i, t in enumerate(template_of_frame)]
    landmarks, depth = (np.concatenate(p) for p in zip(*parts, strict=True))
    return ex.measure_expression(landmarks, depth, poses.numpy(), np.ones(len(poses), bool))


def blinking(closed):
    """Templates whose left lids meet by the given share [n]."""
    rest = made_template()
    upper, lower = [386, 385, 387], [374, 380, 373]
    rest[upper, 1], rest[lower, 1] = rest[386, 1] - 0.004, rest[374, 1] + 0.004
    frames = []
    for share in closed:
        template = rest.clone()
        middle = (rest[upper, 1] + rest[lower, 1]) / 2
        template[upper, 1] += share * (middle - rest[upper, 1])
        template[lower, 1] += share * (middle - rest[lower, 1])
        frames.append(template)
    return frames


@pytest.mark.parametrize("yaw_degrees", [0.0, 15.0])
def test_one_eye_blinks(yaw_degrees):
    closed = np.zeros(N_FRAMES)
    closed[40:44] = [0.5, 1, 1, 0.5]
    values = measured(blinking(closed), made_poses(N_FRAMES, yaw_degrees))
    assert values.shape == (N_FRAMES, 7) and values.min() >= 0 and values.max() <= 1
    assert values[41:43, LEFT].min() > 0.9
    assert values[:38, LEFT].max() < 0.3
    assert np.corrcoef(values[:, LEFT], closed)[0, 1] > 0.9
    assert values[:, RIGHT].max() < 0.3


def test_noise_without_blinks_is_no_blink():
    rng = np.random.default_rng(0)
    closed = np.clip(0.05 * rng.standard_normal(N_FRAMES), 0, 1)
    values = measured(blinking(closed), made_poses(N_FRAMES, 5.0))
    assert values[:, LEFT].max() < 0.5


def test_brows_rise_and_rest_is_zero():
    rest = made_template()
    brows = [*ex._LEFT_INNER_BROW, *ex._RIGHT_INNER_BROW]
    frames = []
    for i in range(N_FRAMES):
        template = rest.clone()
        template[brows, 1] -= 0.03 * (60 <= i < 70)
        frames.append(template)
    values = measured(frames, made_poses(N_FRAMES, 8.0))
    assert values[60:70, INNER_UP].min() > 0.6
    assert values[:60, INNER_UP].max() < 0.25


def test_blendshapes_are_picked_by_name_and_gaps_filled():
    def scores(value):
        return {name: value + i / 100 for i, name in enumerate(ex.EXPRESSION_NAMES)} | {
            "jawOpen": 9
        }

    found = [scores(0.0), None, scores(0.2), None, scores(0.9)]
    values = ex.select_blendshapes(found, Split((4, 4, 5), np.ones(5, bool)))
    np.testing.assert_allclose(values[1], [0.1 + i / 100 for i in range(7)], atol=1e-6)
    np.testing.assert_array_equal(values[3], values[2])  # the test frame after it is not asked
    with pytest.raises(ValueError):
        ex.select_blendshapes([None, None, scores(0.1)], Split((2, 2, 3), np.ones(3, bool)))


@pytest.mark.slow
def test_both_backends_agree_about_blinks_on_a_real_clip(shared_data):
    cv2 = pytest.importorskip("cv2")
    from wildtalker_core.person.head_pose import track_head
    from wildtalker_core.person.landmark_track import find_faces, track_landmarks
    from wildtalker_core.pretrained.mediapipe_models import BlendshapeModel, FaceMesh

    video = cv2.VideoCapture(str(shared_data / "video" / "congress_60s.mp4"))
    frames = [cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB) for _ in range(250)]
    everything = Split((250, 250, 250), np.ones(250, bool))
    with FaceMesh(2) as model:
        faces = list(find_faces(frames, model))
    with BlendshapeModel(shared_data / "weights" / "face_landmarker.task") as model:
        reference = ex.select_blendshapes([model(frame) for frame in frames], everything)
    track = track_landmarks(faces, 256, 256, 25, LandmarkOptions(), everything, "congress")
    head = track_head(
        track.landmarks, track.depth, 256, 256, FocalLengthOptions(), everything.is_fitted
    )
    found = ex.measure_expression(
        track.landmarks, track.depth, head.T_camera_head, everything.is_fitted
    )
    for side in (LEFT, RIGHT):
        assert np.corrcoef(found[:, side], reference[:, side])[0, 1] > 0.8
