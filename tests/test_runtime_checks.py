"""The checks of ``tests.runtime_checks`` are at work."""

from __future__ import annotations

import sys

import jaxtyping
import numpy as np
import pytest
import torch

from tests.runtime_checks import PACKAGE
from wildtalker_core import compiled
from wildtalker_core.geometry import rotations
from wildtalker_core.geometry.cameras import pixel_grid, project
from wildtalker_core.geometry.pose_order import back_and_forth
from wildtalker_core.geometry.rotations import rigid
from wildtalker_core.mouth.blinks import BlinkManner


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: rigid(torch.eye(3), torch.zeros(2)), "translation"),
        (lambda: rigid(torch.eye(3)[None], torch.zeros(2, 3)), "translation"),
        (lambda: rigid(torch.eye(3), np.zeros(3, np.float32)), "translation"),
        (lambda: project(torch.zeros(3, dtype=torch.int64), 1.0, 2, 2), "points_camera"),
        (lambda: pixel_grid(2, 2.0), "width"),
        (lambda: back_and_forth(3, 7.0), "n_frames"),
        (lambda: BlinkManner(np.zeros((3, 2)), np.zeros(3), None), "open_level"),
    ],
    ids=["shape", "shapes", "library", "dtype", "type", "number", "dataclass"],
)
def test_what_annotations_do_not_allow_is_refused(call, named):
    with pytest.raises(jaxtyping.TypeCheckError, match=f"parameter '{named}'"):
        call()


def test_a_result_of_another_shape_is_refused(monkeypatch):
    monkeypatch.setattr(rotations, "rigid", lambda *_: torch.eye(3))
    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
        rotations.invert_rigid(torch.eye(4))


def test_an_int_is_a_float():
    assert project(torch.ones(3), 1, 2, 2).tolist() == [2, 2]


def test_nothing_of_the_project_came_before_the_checks():
    """``compiled`` alone: what it gives must be changed before anybody takes it."""
    unchecked = {
        name
        for name, module in sys.modules.items()
        if name.split(".")[0] == PACKAGE
        and "_Jaxtyping" not in type(module.__spec__.loader).__name__
        and module.__file__
    }
    assert unchecked <= {"wildtalker_core", compiled.__name__}
