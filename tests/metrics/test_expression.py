"""Action units and blendshapes against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics import expression
from wildtalker_core.metrics.expression import LOWER_FACE_UNITS, OPENFACE_UNITS
from wildtalker_core.metrics.video_scores import score_action_units


def test_action_unit_error_by_hand():
    reference = np.zeros((4, 17))
    estimate = np.zeros((4, 17))
    estimate[:, OPENFACE_UNITS.index(12)] = 2  # lower face: squared 4 in every frame
    estimate[:2, OPENFACE_UNITS.index(45)] = 1  # upper face: 1 in half the frames
    errors = expression.action_unit_errors(reference, estimate)
    means = {key.removeprefix("aue_"): values.mean() for key, values in errors.items()}
    assert means == pytest.approx({"sum": 4.5, "mean": 4.5 / 17, "lower": 4.0, "upper": 0.5})


def test_lower_and_upper_face_are_everything():
    assert len(OPENFACE_UNITS) == 17
    assert set(LOWER_FACE_UNITS) < set(OPENFACE_UNITS)
    pair = np.random.default_rng(0).uniform(0, 5, (2, 9, 17))
    errors = expression.action_unit_errors(*pair)
    assert errors["aue_lower"] + errors["aue_upper"] == pytest.approx(errors["aue_sum"])


def test_a_table_without_a_frame_that_counts_has_no_score():
    reference, estimate = np.zeros((20, 17)), np.ones((20, 17))
    is_counted = np.arange(20) != 3
    estimate[3] = np.nan  # does not count
    scores = score_action_units(reference, estimate, is_counted, 25.0)
    assert scores["aue_sum"]["value"] == pytest.approx(17)
    estimate[5, 2] = np.nan
    scores = score_action_units(reference, estimate, is_counted, 25.0)
    assert set(scores) == {"aue_sum", "aue_mean", "aue_lower", "aue_upper"}
    assert {score["value"] for score in scores.values()} == {None}
    assert "lack frames that count" in scores["aue_upper"]["reason"]


def test_openface_columns_by_name_in_any_order_and_with_blanks():
    columns = {f" AU{unit:02d}_r": np.full(3, unit) for unit in reversed(OPENFACE_UNITS)}
    columns["AU28_c"] = np.ones(3)
    intensities = expression.openface_intensities(columns)
    np.testing.assert_array_equal(intensities[0], OPENFACE_UNITS)
    del columns[" AU09_r"]
    with pytest.raises(KeyError, match="AU09_r"):
        expression.openface_intensities(columns)


def test_blendshape_errors():
    reference = np.zeros((3, 52))
    estimate = reference.copy()
    estimate[0, :26] = 0.2
    estimate[2] = np.nan
    errors = expression.blendshape_errors(reference, estimate)
    np.testing.assert_allclose(errors, [0.1, 0.0, np.nan])
