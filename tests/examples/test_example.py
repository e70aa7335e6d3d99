"""The bundled clip is what its truth says, and its generator is repeatable."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from scipy.ndimage import gaussian_filter1d

from wildtalker_core.pretrained.mediapipe_models import FaceMesh

EXAMPLES_DIR = Path(__file__).resolve().parents[2] / "examples"
TRUTH_DIR = EXAMPLES_DIR / "truth"
N_FRAMES, SIZE_PX, FPS = 300, 256, 25
SAMPLE_EVERY = 6


@pytest.fixture(scope="module")
def portrait():
    """The generator's module; `examples/` is a folder of scripts, not a package."""
    sys.path.insert(0, str(EXAMPLES_DIR))
    try:
        import synthetic_portrait
    finally:
        sys.path.remove(str(EXAMPLES_DIR))
    return synthetic_portrait


def read_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return read_frames(EXAMPLES_DIR / "astronaut.mp4")


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(TRUTH_DIR / "truth.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def facts() -> dict:
    return json.loads((TRUTH_DIR / "facts.json").read_text())


@pytest.fixture(scope="module")
def occluder() -> np.ndarray:
    with np.load(TRUTH_DIR / "occluder_masks.npz") as stored:
        return np.unpackbits(stored["occluder"], axis=-1).astype(bool)


@pytest.fixture(scope="module")
def detected(frames) -> list[np.ndarray | None]:
    """Face mesh [478, 3] in pixels of every sixth frame, None where no face is found."""
    with FaceMesh(is_tracking=False) as mesher:
        return [next(iter(mesher(frame)), None) for frame in frames[::SAMPLE_EVERY]]


def read_sound() -> np.ndarray:
    with av.open(str(EXAMPLES_DIR / "astronaut.mp4")) as container:
        blocks = [block.to_ndarray()[0] for block in container.decode(audio=0)]
    return np.concatenate(blocks).astype(float)


def psnr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    error = np.mean((reference.astype(float) - estimate.astype(float)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def test_clip_has_the_stated_format_and_size(frames):
    path = EXAMPLES_DIR / "astronaut.mp4"
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.average_rate == FPS
        assert audio.codec_context.name == "aac"
        assert float(audio.duration * audio.time_base) == pytest.approx(N_FRAMES / FPS, abs=0.1)
    assert frames.shape == (N_FRAMES, SIZE_PX, SIZE_PX, 3)
    assert path.stat().st_size <= 3_000_000
    assert sum(file.stat().st_size for file in TRUTH_DIR.iterdir()) <= 3_000_000


def test_face_is_found_where_the_truth_says(detected, truth, portrait):
    found = [i for i, points in enumerate(detected) if points is not None]
    assert len(found) >= 0.99 * len(detected)
    rigid = list(portrait.RIGID_POINTS)
    for i in found:
        expected = truth["rigid_points_px"][i * SAMPLE_EVERY]
        assert np.linalg.norm(detected[i][rigid, :2] - expected, axis=1).mean() < 3.0
    # Points 234 and 454 are the right and left ear of the face mesh; yaw turns the line between.
    across = np.array([detected[i][454] - detected[i][234] for i in found])
    seen_yaw = np.arctan2(-across[:, 2], across[:, 0])
    true_yaw = truth["yaw_pitch_roll_radians"][np.array(found) * SAMPLE_EVERY, 0]
    assert np.corrcoef(seen_yaw, true_yaw)[0, 1] > 0.95


def test_seen_mouth_follows_the_stated_opening(detected, truth):
    seen = [np.nan if p is None else np.linalg.norm(p[13] - p[14]) for p in detected]
    valid = np.isfinite(seen)
    stated = truth["mouth_opening"][::SAMPLE_EVERY]
    assert np.corrcoef(np.array(seen)[valid], stated[valid])[0, 1] > 0.8


def test_truth_has_one_entry_a_frame(truth, facts, occluder):
    for name in (
        "head_rotations",
        "head_translations",
        "yaw_pitch_roll_radians",
        "mouth_opening",
        "mouth_rounding",
        "blink",
        "camera_shift_px",
        "rigid_points_px",
    ):
        assert len(truth[name]) == N_FRAMES, name
        assert np.isfinite(truth[name]).all(), name
    assert occluder.shape == (N_FRAMES, SIZE_PX, SIZE_PX)
    with np.load(TRUTH_DIR / "parsing.npz") as parsing:
        person, head = (np.unpackbits(parsing[k], axis=-1).astype(bool) for k in ("person", "head"))
    assert person.shape == head.shape == occluder.shape
    assert (head & ~person).sum() == 0
    assert facts["split"] == {"train": [0, 272], "test": [272, 300]}
    for name in ("mouth_opening", "blink"):
        assert truth[name].min() >= 0.0 and 0.5 < truth[name].max() <= 1.0, name


def test_hands_come_and_go_and_leave_the_face_free(occluder, truth):
    visible = occluder.any(axis=(1, 2))
    assert 0.45 < visible.mean() < 0.65
    assert 0.2 < visible[272:].mean() < 1.0
    columns, rows = np.moveaxis(truth["rigid_points_px"].astype(int), -1, 0)
    hidden = occluder[np.arange(N_FRAMES)[:, None], rows, columns]
    assert not hidden.any()


def test_hand_free_frames_differ_only_under_the_hand(frames, occluder):
    hand_free = read_frames(TRUTH_DIR / "hand_free.mp4")
    assert hand_free.shape == frames.shape
    assert psnr_db(hand_free[~occluder], frames[~occluder]) > 36.0
    assert psnr_db(hand_free[occluder], frames[occluder]) < 18.0


def test_rotations_are_orthonormal_and_match_their_angles(truth):
    rotations = truth["head_rotations"].astype(float)
    identity = np.broadcast_to(np.eye(3), rotations.shape)
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), identity, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-5)
    yaw, pitch, roll = truth["yaw_pitch_roll_radians"].T
    np.testing.assert_allclose(-np.arcsin(rotations[:, 2, 0]), yaw, atol=1e-5)
    np.testing.assert_allclose(np.arctan2(rotations[:, 2, 1], rotations[:, 2, 2]), pitch, atol=1e-5)
    np.testing.assert_allclose(np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]), roll, atol=1e-5)
    assert 0.14 < np.abs(yaw).max() < 0.22


def test_projections_follow_from_pose_and_focal_length(truth):
    turned = np.einsum("nij,pj->npi", truth["head_rotations"], truth["rigid_points"])
    camera = turned + truth["head_translations"][:, None]
    seen = camera[..., :2] / camera[..., 2:] * truth["focal_length_px"] + SIZE_PX / 2
    seen = seen + truth["camera_shift_px"][:, None]
    np.testing.assert_allclose(seen, truth["rigid_points_px"], atol=0.01)


def test_mouth_opens_with_the_clean_speech(truth):
    clean, sample_rate_hz = soundfile.read(TRUTH_DIR / "clean_speech.flac")
    assert sample_rate_hz == 16000 and len(clean) == N_FRAMES * sample_rate_hz // FPS
    level = np.sqrt(gaussian_filter1d(clean**2, 0.02 * sample_rate_hz))
    at_frames = level[:: sample_rate_hz // FPS]
    assert np.corrcoef(at_frames, truth["mouth_opening"])[0, 1] > 0.6
    assert truth["mouth_opening"][:10].max() < 0.02


def test_sound_is_the_clean_speech_in_noise_of_the_stated_level(facts):
    clean, sample_rate_hz = soundfile.read(TRUTH_DIR / "clean_speech.flac")
    noisy = read_sound()[: len(clean)]
    lag = np.argmax(
        [np.dot(np.roll(clean, shift)[2000:-2000], noisy[2000:-2000]) for shift in range(-40, 41)]
    )
    assert lag - 40 == 0
    snr_db = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
    assert snr_db == pytest.approx(facts["snr_db"], abs=0.5)
    lead = int(facts["lead_seconds"] * sample_rate_hz)
    assert np.abs(clean[:lead]).max() < 1e-3 < np.std(noisy[:lead])


def test_greeting_is_other_clean_speech():
    greeting, sample_rate_hz = soundfile.read(EXAMPLES_DIR / "greeting.wav")
    assert sample_rate_hz == 16000 and greeting.ndim == 1
    assert 2.5 < len(greeting) / sample_rate_hz < 4.5
    assert 0.3 < np.abs(greeting).max() < 1.0


def test_tiny_clip_is_repeatable_and_obeys_its_seed(portrait):
    first, truth_first = portrait.make_tiny(n_frames=12, size_px=96, seed=3)
    again, truth_again = portrait.make_tiny(n_frames=12, size_px=96, seed=3)
    other, truth_other = portrait.make_tiny(n_frames=12, size_px=96, seed=4)
    assert first.shape == (12, 96, 96, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(truth_first.occluder_masks, truth_again.occluder_masks)
    assert not np.allclose(truth_first.head_rotations, truth_other.head_rotations)
    assert (first != other).any()
    assert truth_first.occluder_masks.any() and not truth_first.occluder_masks.all((1, 2)).any()
    free = ~truth_first.occluder_masks.any(axis=(1, 2))
    np.testing.assert_array_equal(first[free], truth_first.hand_free_frames[free])


def test_situations_are_as_asked(portrait):
    model = portrait.build_portrait(96)
    calm = portrait.Situation(n_frames=6, size_px=96, blinks_per_minute=0.0)
    shaken = portrait.Situation(
        n_frames=6, size_px=96, yaw_degrees=25.0, camera_shake_px=6.0, blinks_per_minute=0.0
    )
    _, truth_calm = portrait.render_situation(calm, model)
    frames, truth = portrait.render_situation(shaken, model)
    assert not truth_calm.occluder_masks.any() and not truth_calm.camera_shift_px.any()
    assert np.abs(truth.yaw_pitch_roll_radians[:, 0]).max() == pytest.approx(np.deg2rad(25.0))
    assert np.abs(truth.camera_shift_px).max() == pytest.approx(6.0 * 96 / 256)
    assert truth.blink.max() == 0.0 and truth.mouth_opening.max() == 0.0
    crossing = portrait.Situation(
        n_frames=3,
        size_px=96,
        hand_crosses_face=True,
        gestures=(portrait.Gesture("leaving_hand", "right", duration_seconds=4.0),),
    )
    _, truth = portrait.render_situation(crossing, model)
    assert (truth.occluder_masks & truth.head_masks).any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "somersault"},
        {"kind": "beat", "side": "up"},
        {"kind": "beat", "duration_seconds": 0},
    ],
)
def test_bad_gestures_are_refused(portrait, bad):
    with pytest.raises(ValueError, match="gesture"):
        portrait.Gesture(**bad)
