"""Filling of what no frame shows, against every distance tried."""

import numpy as np

from wildtalker_core.media.image import fill_nearest


def test_unknown_pixels_have_the_value_of_a_nearest_known_one():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 255, (17, 23, 3)).astype(np.uint8)
    known = generator.random((17, 23)) < 0.1
    where = ~known & (generator.random((17, 23)) < 0.7)
    before = image.copy()
    fill_nearest(image, where, known)
    places = np.argwhere(known)
    for y, x in np.argwhere(where):
        distances = np.square(places - [y, x]).sum(1)
        nearest = places[distances == distances.min()]
        assert any((image[y, x] == before[p[0], p[1]]).all() for p in nearest)
    assert np.array_equal(image[~where], before[~where])


def test_without_a_known_pixel_nothing_is_filled():
    image = np.full((4, 5, 3), 7, np.uint8)
    fill_nearest(image, np.ones((4, 5), bool), np.zeros((4, 5), bool))
    assert (image == 7).all()
