"""A portrait of Gaussians against closed forms: bones, conditions, prediction, background."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wildtalker_core.geometry.moment import Moment
from wildtalker_core.splats.body import BodyShape
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape, n_soft_conditions

HEIGHT, WIDTH, FOCAL = 48, 64, 120.0


def make_portrait(margin: int = 0, n_torso: int = 6) -> SplatPortrait:
    torch.manual_seed(0)
    body = BodyShape(n_head=5, n_rest=7, n_face=12, n_soft=n_soft_conditions(n_torso, 5),
                     n_face_nodes=4, n_soft_nodes=4)  # fmt: skip
    shape = SplatShape(
        HEIGHT, WIDTH, FOCAL, margin, body, n_mouth=5, n_expression=2, n_gaze=2, n_torso=n_torso,
        n_audio_features=4, audio_window=8, n_heard=10, kernel="gaussian",
    )  # fmt: skip
    portrait = SplatPortrait(shape, "torch")
    with torch.no_grad():
        portrait.body.means.uniform_(-0.15, 0.15)
        portrait.body.log_scales.fill_(-4)
        portrait.body.colours.uniform_()
        portrait.body.weights[:5, 0] = 1
        portrait.body.weights[5:, 1] = 1
        portrait.canvas_to_head[2, 3] = 1.5
        portrait.torso_centre.copy_(torch.tensor([40.0, 30.0]))
        portrait.camera_centre.copy_(torch.tensor([WIDTH / 2, HEIGHT / 2]))
        portrait.plate.uniform_()
    return portrait


def make_moment(torso=(0.0, 0, 0, 0, 0, 0), camera=(0.0, 0, 0, 0), x: float = 0.0) -> Moment:
    pose = torch.eye(4)
    pose[2, 3], pose[0, 3] = 1.5, x
    return Moment(
        pose, torch.zeros(5), torch.zeros(2), torch.zeros(2), torch.tensor(torso),
        torch.tensor(camera),
    )  # fmt: skip


def on_picture(bone: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    camera = points @ bone[:, :3].T + bone[:, 3]
    return camera[:, :2] / camera[:, 2:] * FOCAL + torch.tensor([WIDTH / 2, HEIGHT / 2])


def test_the_torsos_bone_is_the_similarity_of_the_picture():
    """Projecting with the bone equals projecting first and moving the pixels then."""
    portrait = make_portrait()
    angle, scale = 0.1, 0.05
    still, moved = (portrait.bones(make_moment(torso)) for torso in
                    ((0.0, 0, 0, 0, 0, 0), (3.0, -2.0, angle, scale, 0, 0)))  # fmt: skip
    points = portrait.body.means.detach()
    before, after = on_picture(still[1], points), on_picture(moved[1], points)
    turn = np.exp(scale) * torch.tensor(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32
    )
    centre = portrait.torso_centre
    expected = (before - centre) @ turn.T + centre + torch.tensor([3.0, -2.0])
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(moved[0], still[0])


def test_head_and_torso_move_apart():
    portrait = make_portrait()
    pictures = [
        portrait.draw(make_moment(torso, x=x))[1]
        for torso, x in (((0.0,) * 6, 0.0), ((4.0, 0, 0, 0, 0, 0), 0.0), ((0.0,) * 6, 0.05))
    ]
    head_only = [portrait.draw(make_moment(t), head_only=True)[1]
                 for t in ((0.0,) * 6, (4.0, 0, 0, 0, 0, 0))]  # fmt: skip
    assert (pictures[1] - pictures[0]).abs().max() > 0.05  # the torso moved
    torch.testing.assert_close(head_only[0], head_only[1])  # without the head
    assert (pictures[2] - pictures[0]).abs().max() > 0.05


def test_conditions_stop_at_the_range_of_training():
    portrait = make_portrait()
    portrait.face_upper.fill_(1.0)
    portrait.face_lower.fill_(-1.0)
    far = make_moment()
    far = Moment(**{**far.__dict__, "mouth": torch.full((5,), 30.0)})
    assert portrait.face_conditions(far)[:5].max() == 1


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_moved_plate_is_its_own_part(shift):
    portrait = make_portrait(margin=6)
    shown = portrait.background(make_moment(camera=(shift, 0, 0, 0)))
    columns = slice(6 - int(shift), 6 - int(shift) + WIDTH)
    torch.testing.assert_close(shown, portrait.plate[6 : 6 + HEIGHT, columns], atol=1e-4, rtol=1e-4)


def test_a_picture_is_the_body_over_the_background():
    portrait, moment = make_portrait(), make_moment()
    colours, alpha = portrait.draw(moment)
    picture, seen = portrait.picture(moment)
    expected = (colours + (1 - alpha)[..., None] * portrait.plate).clamp(0, 1)
    torch.testing.assert_close(picture, expected)
    torch.testing.assert_close(seen, alpha)
    again = SplatPortrait(SplatShape.from_dict(portrait.shape.to_dict()), "torch")
    again.load_state_dict(portrait.state_dict())
    torch.testing.assert_close(again.picture(moment)[0], picture)
