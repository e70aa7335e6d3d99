"""Parsing of a painted person whose every region is known."""

import cv2
import numpy as np
import pytest

from tests.person.made_faces import made_landmarks, made_poses, made_template
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person import parsing
from wildtalker_core.person.background import background_plate, fill_smoothly
from wildtalker_core.person.colours import fit_colours, lasting_skin, to_lab
from wildtalker_core.person.face_frame import FaceFrame
from wildtalker_core.person.hair import _falling, hanging
from wildtalker_core.person.hands import complete_hands

HAIR, SKIN, CLOTH, WALL = (60, 35, 20), (220, 170, 140), (40, 60, 160), (150, 160, 150)
SIZE = 256


def painted(n=6, noise=3):
    """Frames, person masks and landmarks of a face with short hair, a neck and a jumper."""
    landmarks, _ = made_landmarks(made_template(), made_poses(n, yaw_degrees=3))
    rng = np.random.default_rng(0)
    frames, people = [], []
    for points in landmarks:
        frame = np.full((SIZE, SIZE, 3), WALL, np.uint8)
        person = np.zeros((SIZE, SIZE), np.uint8)
        contour = points[list(lm.FACE_CONTOUR)]
        x, width = contour[:, 0].mean(), np.ptp(contour[:, 0])
        chin, top = contour[:, 1].max(), contour[:, 1].min()

        def paint(colour, shape, *where, frame=frame, person=person):
            for canvas, value in ((frame, colour), (person, 1)):
                shape(canvas, *where, value, -1)

        def box(canvas, left, right, upper, lower, value, fill):
            cv2.rectangle(canvas, (int(left), int(upper)), (int(right), int(lower)), value, fill)

        def dome(canvas, centre, axes, value, fill):
            cv2.ellipse(canvas, centre, axes, 0, 0, 360, value, fill)

        paint(CLOTH, box, x - 1.5 * width, x + 1.5 * width, chin + 22, SIZE)
        paint(SKIN, box, x - 0.3 * width, x + 0.3 * width, chin - 15, chin + 24)
        paint(HAIR, dome, (int(x), int(top + 25)), (int(0.58 * width), 62))
        for canvas, value in ((frame, SKIN), (person, 1)):
            cv2.fillConvexPoly(canvas, cv2.convexHull(np.round(contour).astype(np.int32)), value)
        frame = np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8)
        frames.append(frame)
        people.append(person.astype(np.float32))
    return frames, people, landmarks


NO_HANDS = np.empty((0, 21, 2), np.float32)


@pytest.fixture(scope="module")
def person():
    frames, people, landmarks = painted()
    colours = fit_colours(frames, people, landmarks, [NO_HANDS] * len(frames))
    lasting = lasting_skin(frames, people, colours)
    return frames, people, landmarks, colours, lasting


def parse(person, i=0, hands=NO_HANDS, frame=None):
    frames, people, landmarks, colours, lasting = person
    frame = frames[i] if frame is None else frame
    return parsing.parse_frame(frame, people[i], landmarks[i], hands, None, colours, lasting)


def test_memberships_are_a_partition(person):
    memberships = parse(person)
    assert memberships.min() >= -1e-6
    np.testing.assert_allclose(memberships.sum(-1), 1, atol=1e-5)


def test_every_region_is_what_was_painted(person):
    frames, people, landmarks, *_ = person
    label = parse(person).argmax(-1)
    contour = landmarks[0][list(lm.FACE_CONTOUR)]
    (x, y), chin = contour.mean(0).astype(int), int(contour[:, 1].max())
    assert label[10, 10] == parsing.BACKGROUND
    assert label[y, x] == parsing.HEAD
    assert label[int(contour[:, 1].min()) - 15, x] == parsing.HEAD, "hair"
    assert label[chin + 12, x] == parsing.NECK
    assert label[SIZE - 10, x] == parsing.TORSO
    assert (label == parsing.HANDS).sum() == 0
    person_here = people[0] > 0
    assert ((label != parsing.BACKGROUND) == person_here).mean() > 0.99


def test_long_hair_beside_the_neck_is_head_but_a_dark_lapel_is_torso(person):
    frames, people, landmarks, colours, lasting = person
    frame, mask = frames[0].copy(), people[0].copy()
    contour = landmarks[0][list(lm.FACE_CONTOUR)]
    (x, y), width = contour.mean(0), np.ptp(contour[:, 0])
    chin = contour[:, 1].max()
    left, right = int(x - 0.62 * width), int(x - 0.42 * width)
    frame[int(y) : int(chin + 20), left:right] = HAIR
    mask[int(y) : int(chin + 20), left:right] = 1
    lapel = slice(int(chin + 26), int(chin + 40)), slice(int(x + 0.4 * width), int(x + 0.6 * width))
    frame[lapel] = HAIR
    label = parsing.parse_frame(frame, mask, landmarks[0], NO_HANDS, None, colours, lasting).argmax(
        -1
    )
    assert (label[int(chin) : int(chin + 12), left + 3 : right - 3] == parsing.HEAD).mean() > 0.9
    assert (label[lapel] == parsing.TORSO).mean() > 0.9


def turned(yaw_degrees=30):
    """The painted person looking aside: the chin moves over the neck, which stays; and an ear."""
    frames, people, landmarks = painted(1)
    points = landmarks[0].copy()
    contour = points[list(lm.FACE_CONTOUR)]
    x, width = contour[:, 0].mean(), np.ptp(contour[:, 0])
    turn = np.radians(yaw_degrees)
    # Points in front of the head's axis move aside; the contour's far side comes nearer.
    depth = 0.5 * np.sqrt(np.clip(1 - ((points[:, 0] - x) / (0.52 * width)) ** 2, 0, 1)) * width
    points[:, 0] = x + (points[:, 0] - x) * np.cos(turn) + depth * np.sin(turn)
    contour = points[list(lm.FACE_CONTOUR)]
    frame, person = frames[0].copy(), people[0].copy()
    hull = cv2.convexHull(np.round(contour).astype(np.int32))
    ear = ((int(contour[:, 0].min()) - 6, int(contour[:, 1].mean()) + 22), (9, 18))
    for canvas, value in ((frame, SKIN), (person, 1)):
        cv2.fillConvexPoly(canvas, hull, value)
        cv2.ellipse(canvas, *ear, 0, 0, 360, value, -1)
    return frame, person, points, ear[0]


@pytest.mark.parametrize("yaw_degrees", [0, 20, 35])
def test_neck_and_ear_of_a_turned_head_are_neither_hair_nor_hand(person, yaw_degrees):
    frames, people, landmarks, _, lasting = person
    frame, mask, points, ear = turned(yaw_degrees)
    neck = frame.copy()
    contour = landmarks[0][list(lm.FACE_CONTOUR)]
    x, width, chin = contour[:, 0].mean(), np.ptp(contour[:, 0]), contour[:, 1].max()
    shaded = slice(int(chin + 4), int(chin + 18)), slice(int(x - 0.28 * width), int(x))
    neck[shaded] = (130, 85, 60)  # between skin and hair
    # Shades of skin and hair meet, as they do on real faces.
    shades = frames.copy()
    for k, shade in enumerate((0.55, 0.6, 0.65, 0.7, 0.75, 0.8)):
        shades[k] = shades[k].copy()
        y = int(landmarks[k][list(lm.FACE_CONTOUR), 1].mean())
        shades[k][y : y + 12] = (shade * shades[k][y : y + 12]).astype(np.uint8)
    colours = fit_colours(shades, people, landmarks, [NO_HANDS] * len(frames))
    label = parsing.parse_frame(neck, mask, points, NO_HANDS, None, colours, lasting).argmax(-1)
    assert (label[shaded] == parsing.NECK).mean() > 0.9
    assert label[ear[1], ear[0]] == parsing.HEAD
    assert not (label == parsing.HANDS).any()


def test_ears_beside_short_hair_teach_no_hair(person):
    frames, people, landmarks, *_ = person
    shown, masks = [], []
    for frame, mask, points in zip(frames, people, landmarks, strict=True):
        contour = points[list(lm.FACE_CONTOUR)]
        middle, width = contour.mean(0), np.ptp(contour[:, 0])
        frame, mask = frame.copy(), mask.copy()
        for side in (-1, 1):
            at = (int(middle[0] + 0.68 * side * width), int(middle[1]))
            for canvas, value in ((frame, SKIN), (mask, 1)):
                cv2.ellipse(canvas, at, (int(0.18 * width), 16), 0, 0, 360, value, -1)
        shown.append(frame)
        masks.append(mask)
    colours = fit_colours(shown, masks, landmarks, [NO_HANDS] * len(frames))
    hair = colours(to_lab(np.full((1, 1, 3), SKIN, np.uint8)))[0, 0, 0]
    assert hair < 1, "skin beside the face is no hair"


def test_a_strand_falls_straight_and_a_collar_that_it_touches_runs_across():
    is_above = np.zeros((60, 60), bool)
    is_above[:20] = True
    strand, collar = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    strand[10:40, 5:11] = True
    collar[40:45, 5:50] = True
    falling = _falling(strand | collar, is_above, 4)
    assert falling[strand].all()
    assert not falling[40:45, 20:].any()
    slanted = np.zeros((60, 60), bool)
    for row in range(10, 58):
        slanted[row, 5 + row // 3 : 11 + row // 3] = True
    assert _falling(slanted, is_above, 4)[slanted].all()
    broken = strand.copy()
    broken[28:31] = False
    assert _falling(broken, is_above, 4)[31:40, 5:11].all()
    broken[26:36] = False
    assert not _falling(broken, is_above, 4)[36:].any()


def test_a_collar_under_the_chin_teaches_its_colour(person):
    frames, people, landmarks, *_ = person
    collar, collared = (42, 52, 56), []
    for frame, points in zip(frames, landmarks, strict=True):
        frame, contour = frame.copy(), points[list(lm.FACE_CONTOUR)]
        x, (width, height) = contour[:, 0].mean(), np.ptp(contour, axis=0)
        rows = slice(*(int(contour[:, 1].max() + share * height) for share in (0.32, 0.45)))
        frame[rows, int(x - 0.4 * width) : int(x + 0.4 * width)] = collar
        collared.append(frame)
    colours = fit_colours(collared, people, landmarks, [NO_HANDS] * len(frames))
    likelihoods = colours(to_lab(np.full((1, 1, 3), collar, np.uint8)))[0, 0]
    assert likelihoods[-1] > 100 and likelihoods[-1] > 10 * likelihoods[:-1].max()


def test_a_picture_that_ends_under_the_chin_still_teaches_cloth(person):
    """Without any, a dark jacket beside the neck would be taken for hair."""
    frames, people, landmarks, *_ = person
    shown = []
    for mask, points in zip(people, landmarks, strict=True):
        face = FaceFrame.of(points)
        u, v = face.coordinates(SIZE, SIZE)
        shown.append(mask * ((v < 0.29 * face.height) & (np.abs(u) < 0.85 * face.width)))
    colours = fit_colours(frames, shown, landmarks, [NO_HANDS] * len(frames))
    hair, skin, cloth, _ = colours(to_lab(np.full((1, 1, 3), CLOTH, np.uint8)))[0, 0]
    assert cloth > 100 and cloth > 10 * max(hair, skin)


def test_a_jacket_is_no_hair_by_a_thin_dark_edge_between_them():
    """The wall's dark edge beside a cheek joins short hair and a dark jacket."""
    is_above = np.zeros((120, 120), bool)
    is_above[:80] = True
    hair, edge, jacket = (np.zeros((120, 120), bool) for _ in range(3))
    hair[10:50, 30:60] = True
    edge[50:90, 54:58] = True
    jacket[90:, 40:110] = True
    kept = hanging(hair | edge | jacket, is_above, 10)
    assert kept[15:45, 35:55].min() > 0.9
    assert not kept[95:].any()
    edge[50:90, 46:60] = True  # a strand, however, brings its own end along
    kept = hanging(hair | edge, is_above, 10)
    assert kept[52:88, 49:57].min() > 0.9


def made_hand(x, y, size):
    """A spread hand, wrist below; [21, 2]."""
    hand = [(x, y)]
    for finger in range(5):
        angle = np.radians(-150 + 30 * finger)
        for joint in range(4):
            reach = size * (0.45 + 0.2 * joint)
            hand.append((x + reach * np.cos(angle), y + reach * np.sin(angle)))
    return np.array(hand, np.float32)


def test_a_hand_with_its_forearm_covers_the_torso(person):
    hand = made_hand(110, 235, 30)
    memberships = parse(person, hands=hand[None])
    x, y = hand.round().astype(int).T
    inside = (y < SIZE) & (person[1][0][np.minimum(y, SIZE - 1), x] > 0)
    assert (memberships[y[inside], x[inside], parsing.HANDS] > 0.5).all()
    assert memberships[248, 110, parsing.HANDS] > 0.5, "the forearm goes on below the wrist"
    assert memberships[..., parsing.HANDS][person[1][0] == 0].max() == 0


def test_a_bare_hand_at_the_edge_is_seen_by_its_skin_unless_it_always_stays(person):
    frame = person[0][0].copy()
    frame[-24:, 12:36] = SKIN
    assert (parse(person, frame=frame)[-16:, 16:32, parsing.HANDS] > 0.5).mean() > 0.9
    frames, people, landmarks, colours, _ = person
    always = []
    for other in frames:
        other = other.copy()
        other[-24:, 12:36] = SKIN
        always.append(other)
    lasting = lasting_skin(always, people, colours)
    label = parsing.parse_frame(
        frame, people[0], landmarks[0], NO_HANDS, None, colours, lasting
    ).argmax(-1)
    assert (label[-16:, 16:32] == parsing.TORSO).all()


def test_hands_are_linked_gaps_filled_and_flashes_dropped():
    path = [made_hand(100 + 4 * i, 200, 30) for i in range(12)]
    detected = [path[i][None] for i in range(12)]
    detected[5] = detected[6] = NO_HANDS
    detected[9] = np.stack((path[9], made_hand(30, 40, 20)))  # a neck taken for a hand
    complete = complete_hands(detected, max_gap_frames=3, min_frames=3)
    assert [len(h) for h in complete] == [1] * 12
    np.testing.assert_allclose(np.concatenate(complete), np.stack(path), atol=1e-3)


def test_the_median_of_three_removes_a_flash_and_keeps_a_moving_edge():
    edge = np.zeros((5, 4, 20, parsing.N_CLASSES), np.float32)
    for i in range(5):
        edge[i, :, : 5 + 2 * i, parsing.HEAD] = 1
        edge[i, :, 5 + 2 * i :, parsing.BACKGROUND] = 1
    np.testing.assert_allclose(np.stack(list(parsing.steady(edge))), edge)
    flash = edge[:1].repeat(5, 0)
    flash[2] = np.roll(flash[2], 7, axis=1)
    np.testing.assert_allclose(np.stack(list(parsing.steady(flash)))[2], edge[0])


def test_quantised_memberships_sum_to_255_exactly():
    rng = np.random.default_rng(0)
    memberships = rng.dirichlet(np.full(5, 0.3), (40, 40)).astype(np.float32)
    values = parsing.quantise(memberships)
    assert (values.sum(-1, dtype=int) == 255).all()
    assert np.abs(values / 255 - memberships).max() < 3 / 255


def test_holes_in_a_person_are_closed_and_bays_stay_open():
    mask = np.zeros((40, 40), np.float32)
    mask[5:35, 5:35] = 1
    mask[15:20, 15:20] = 0  # an ear-ring
    mask[25:35, 10:14] = 0  # between arm and body, open below
    closed = parsing.close_holes(mask)
    assert closed[15:20, 15:20].min() == 1
    assert closed[30:35, 11:13].max() == 0


def test_background_is_found_behind_a_walking_person_and_guessed_behind_a_standing_one():
    rng = np.random.default_rng(0)
    wall = np.repeat(np.linspace(60, 200, 64)[None, :, None], 48, 0).repeat(3, 2).astype(np.uint8)
    frames, backgrounds = [], []
    for i in range(20):
        frame, background = wall.copy(), np.ones((48, 64), np.float32)
        left = 4 + 2 * i if i < 15 else 34
        for a, b in ((left, left + 8), (28, 36)):
            frame[20:, a:b] = (200, 30, 30)
            background[20:, a:b] = 0
        frames.append(np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))
        backgrounds.append(background)
    plate = background_plate(frames, backgrounds, margin_px=2).astype(int)
    error = np.abs(plate - wall)
    assert error[:, :24].mean() < 2, "walked past"
    assert error[25:, 29:35].max() < 40, "never seen, but no red either"


def test_a_plate_of_nothing_is_grey():
    plate = fill_smoothly(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool))
    assert (np.abs(plate.astype(int) - 128) <= 1).all()
