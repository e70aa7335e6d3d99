"""What can be set of a portrait: turn, idle motion, blinks; and joins without a jump."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.live.test_session import RATE, Clock, session_of, tiny_kept, voice
from wildtalker_core.errors import InputError
from wildtalker_core.geometry.rotations import axis_angle_to_matrix, matrix_to_euler
from wildtalker_core.live.manner import Manner
from wildtalker_core.splats.rasterisers import project


@pytest.fixture(scope="module")
def kept():
    """The tiny portrait with a head that moves, seen at 512 pixels."""
    kept = tiny_kept(n_loop=40, size=512)
    T = kept.loop.T_camera_head.clone()
    wave = 0.02 * torch.sin(torch.arange(40) / 6.0)
    T[:, :3, :3] = axis_angle_to_matrix(torch.stack((wave, 2 * wave, wave), 1))
    T[:, 0, 3] = wave
    return replace(kept, loop=replace(kept.loop, T_camera_head=T))


def test_filmed_manner_changes_nothing(kept):
    shown = Manner().moments(kept.loop)
    for name in kept.loop.__dataclass_fields__:
        torch.testing.assert_close(
            getattr(shown, name), getattr(kept.loop, name), atol=1e-5, rtol=1e-5
        )


def test_still_head_turned_as_asked(kept):
    shown = Manner(turn_degrees=(10, -5, 3), motion=0).moments(kept.loop)
    assert (shown.T_camera_head - shown.T_camera_head[:1]).abs().max() < 1e-6
    still = Manner(motion=0).moments(kept.loop).T_camera_head[0, :3, :3]
    added = matrix_to_euler(shown.T_camera_head[0, :3, :3] @ still.T)
    np.testing.assert_allclose(np.degrees(added.numpy()), (10, -5, 3), atol=1e-3)


def test_blinks_by_their_factor(kept):
    for factor in (0, 1, 3):
        session = session_of(kept, Clock(), manner=Manner(blinks=factor))
        closed = [session._blinking.next()[0] > 0.25 for _ in range(25 * 300)]
        n = np.count_nonzero(np.diff(np.array(closed).astype(int)) == 1)
        # 300 seconds, one in three; more often they are held apart by the refractory time.
        assert n == 0 if not factor else n == pytest.approx(100 * factor, rel=0.3)


@pytest.mark.parametrize("bad", [{"turn_degrees": (30, 0, 0)}, {"motion": 1.5}, {"blinks": -1},
                                 {"motion": float("nan")}])  # fmt: skip
def test_out_of_range(bad):
    with pytest.raises(InputError):
        Manner(**bad)


def test_joins_are_at_most_a_pixel(kept, monkeypatch):
    """Where speech begins and ends no Gaussian moves by more than a pixel beside the head's pose.

    The mouth moves its Gaussians by up to ten pixels while it speaks.
    """
    session, shown = session_of(kept, Clock()), []

    def show(portrait, moment):
        shown.append(moment)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(session.background, "picture", show)
    frames, speaks = session.frames(), []
    for i in range(200):
        if i in (30, 110):
            session.hear(voice(1.5), RATE)
        speaks.append(next(frames).is_speaking)
    mouths = torch.stack([moment.mouth for moment in shown])
    with torch.no_grad():
        kept.portrait.body.face.means.zero_()
        kept.portrait.body.face.means[:, 1, 0] = (
            10 * 5 / (3 * 512) / (mouths[:, 0].amax() - mouths[:, 0].amin())
        )
    at = [places(kept.portrait, moment) for moment in shown]
    still = [places(kept.portrait, replace(b, mouth=a.mouth)) for a, b in pairwise(shown)]
    by_mouth = np.array([(b - s).abs().max() for b, s in zip(at[1:], still, strict=True)])
    joins = np.flatnonzero(np.diff(np.array(speaks).astype(int)))
    assert len(joins) == 4 and by_mouth.max() > 1
    assert by_mouth[joins].max() <= 1
    # Nor does the pose jump where its loop turns: no step is larger than a filmed one.
    filmed = [places(kept.portrait, kept.loop[i]) for i in range(len(kept.loop.gaze))]
    largest = max((b - a).abs().max() for a, b in pairwise(filmed))
    assert max((s - a).abs().max() for a, s in zip(at, still, strict=False)) <= largest + 1e-3


def places(portrait, moment):
    """Centres of all Gaussians, pixels [n, 2]."""
    shape = portrait.shape
    body = portrait.body(portrait.face_conditions(moment), portrait.soft_conditions(moment))
    found = project(
        body.means, body.quaternions, body.log_scales, portrait.body.weights,
        portrait.bones(moment), shape.focal_length, shape.height, shape.width, rasteriser="torch",
    )  # fmt: skip
    return found.means2d.detach()
