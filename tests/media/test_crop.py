import numpy as np
import pytest

from wildtalker_core.media.crop import Crop, follow_main_face, square_around_face


def box(x, y, height, score=0.9):
    """A square box around (x, y)."""
    return [x - height / 2, y - height / 2, x + height / 2, y + height / 2, score]


def test_lone_face_is_followed_and_missing_frames_stay_empty():
    boxes = [np.array([box(100 + 2 * i, 80, 50)]) for i in range(20)]
    boxes[7] = boxes[8] = np.empty((0, 5))
    track = follow_main_face(boxes)
    assert np.flatnonzero(np.isnan(track).any(axis=1)).tolist() == [7, 8]
    np.testing.assert_allclose(track[:, 0], [75 + 2 * i if i not in (7, 8) else np.nan
                                             for i in range(20)])  # fmt: skip


def test_largest_lasting_face_wins_and_nobody_steals_it():
    """Another face, larger for a moment and nearer to the last place, never takes over."""
    rng = np.random.default_rng(0)
    boxes = []
    for i in range(60):
        faces = [box(300 + rng.normal(), 200, 100), box(600, 220, 60)]
        if 20 <= i < 30:
            faces.append(box(700, 300, 220))  # someone walks through the foreground
        if i in (40, 41):
            faces.pop(0)  # the main face is hidden
        rng.shuffle(faces)
        boxes.append(np.array(faces))
    track = follow_main_face(boxes)
    assert np.flatnonzero(np.isnan(track).any(axis=1)).tolist() == [40, 41]
    seen = track[np.isfinite(track).all(axis=1)]
    assert np.abs(seen.mean(axis=0) - box(300, 200, 100)[:4]).max() < 2


def test_order_of_detections_changes_nothing():
    rng = np.random.default_rng(1)
    boxes = [np.array([box(200, 200, 90), box(420, 210, 80)]) + [*rng.normal(0, 2, 4), 0]
             for _ in range(30)]  # fmt: skip
    np.testing.assert_array_equal(
        follow_main_face(boxes), follow_main_face([b[::-1] for b in boxes])
    )


def test_no_face_at_all_is_all_nan():
    assert np.isnan(follow_main_face([np.empty((0, 5))] * 3)).all()


def test_small_face_in_a_tall_frame_gets_its_square():
    face = np.array([box(540, 640, 200)[:4]] * 10)
    crop = square_around_face(face, 1920, 1080, 3.0)
    assert crop.size == 600
    assert abs(crop.x + crop.size / 2 - 540) <= 1
    # Room for hair above the brows, more room for shoulders below the chin.
    above, below = 540 - crop.y, crop.y + crop.size - 740
    assert 0.2 * crop.size < above < below


def test_portrait_shot_stays_whole_and_square_is_clipped_to_the_picture():
    face = np.array([box(250, 250, 200)[:4]] * 4)
    assert square_around_face(face, 512, 512, 3.0) == Crop(0, 0, 512)
    corner = np.array([box(60, 60, 100)[:4]] * 4)
    assert square_around_face(corner, 1000, 1000, 3.0) == Crop(0, 0, 300)
    wide = square_around_face(face + [900, 0, 900, 0], 500, 1921, 3.0)
    assert (wide.y, wide.size) == (0, 500) and abs(wide.x + 250 - 1150) <= 1


def test_square_is_not_smaller_than_the_stored_frames():
    """Wider rather than enlarged; but a small picture cannot be widened."""
    face = np.array([box(300, 300, 60)[:4]] * 4)
    assert square_around_face(face, 720, 1280, 3.0, "auto", 256).size == 256
    assert square_around_face(face, 720, 1280, 3.0, "auto", 128).size == 180
    assert square_around_face(face, 400, 500, 3.0, "auto", 512).size == 400


def test_moving_face_stays_inside():
    xs = 500 + 150 * np.sin(np.linspace(0, 6, 100))
    face = np.array([box(x, 500, 150)[:4] for x in xs])
    crop = square_around_face(face, 1080, 1920, 3.0)
    assert crop.x < face[:, 0].min() and crop.x + crop.size > face[:, 2].max()


@pytest.mark.parametrize("shape", [(400, 601), (601, 400)])
def test_modes_that_do_not_depend_on_face_size(shape):
    face = np.array([box(60, 60, 50)[:4]] * 4)
    assert square_around_face(face, *shape, 3.0, "whole") == Crop(0, 0, 400)
    centre = square_around_face(face, *shape, 3.0, "centre")
    assert centre.size == 400 and max(centre.x, centre.y) == 100


def test_crop_is_a_view():
    image = np.arange(20 * 30 * 3).reshape(20, 30, 3)
    part = Crop(5, 2, 10).of(image)
    np.testing.assert_array_equal(part, image[2:12, 5:15])
    assert part.base is not None
