"""The test frames of a clip, swapped for noise, change nothing that is learnt or chosen."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.media.made_clips import FFMPEG
from tests.training.conftest import assert_same_bits, preset, silent
from wildtalker_core.media.audio import read_waveform, write_waveform
from wildtalker_core.media.files import load_arrays
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import read_image
from wildtalker_core.media.options import FrameOptions
from wildtalker_core.media.splits import load_split, split_frames
from wildtalker_core.occlusion.options import FlowOptions, MaskOptions, RemovalOptions
from wildtalker_core.person.options import FocalLengthOptions, HandOptions, LandmarkOptions
from wildtalker_core.pose.options import StabilizerOptions
from wildtalker_core.pretrained.face_detector import FaceDetector
from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.options import BoxOptions, SceneSection
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.speech.options import SpeechSection
from wildtalker_core.training import stages
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.losses import ms_ssim_loss
from workflow_scripts.media import extract_frames, extract_speech
from workflow_scripts.media import split_frames as split_script
from workflow_scripts.occlusion import accumulate_transient_masks, estimate_flow, remove_hands
from workflow_scripts.person import detect_landmarks, parse_portrait, track_head
from workflow_scripts.pose import measure_expression, stabilize_head
from workflow_scripts.scene import assemble_scene, register_body
from workflow_scripts.scene_inputs import scene_files, scene_paths
from workflow_scripts.speech import corrupt_speech, denoise_speech, extract_audio_features

N_FRAMES, FPS, RATE_HZ = 66, 25, 16000
_, UNSEEN, _ = split_frames(N_FRAMES)  # first test frame
CONFIG = ROOT / "config"


def film(path: Path, frames: np.ndarray, sound: np.ndarray) -> Path:
    """Without loss, frame by frame: what comes later cannot change what was before."""
    sound_path = path.with_suffix(".wav")
    write_waveform(sound_path, sound, RATE_HZ, subtype="FLOAT")
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS)]
    codecs = ["-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "pcm_f32le"]
    command = [FFMPEG, "-y", "-v", "error", *raw, "-i", "-", "-i", sound_path, *codecs, path]
    subprocess.run(command, input=frames.tobytes(), check=True)
    return path


def make_clips(folder: Path) -> tuple[Path, Path]:
    """The example's first seconds; and the same with noise for its test frames.

    Two of them still show somebody, mirrored and pale, or there would be nothing to test on.
    """
    with av.open(str(ROOT / "examples" / "astronaut.mp4")) as video:
        frames = []
        for frame in video.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == N_FRAMES:
                break
    frames = np.stack(frames)
    sound, rate_hz = read_waveform(ROOT / "examples" / "truth" / "clean_speech.flac")
    assert rate_hz == RATE_HZ
    sound = sound[: N_FRAMES * RATE_HZ // FPS]
    rng = np.random.default_rng(0)
    noisy, hiss = frames.copy(), sound.copy()
    noisy[UNSEEN:-2] = rng.integers(0, 256, noisy[UNSEEN:-2].shape, np.uint8)
    noisy[-2:] = 100 + noisy[-2:, :, ::-1] // 3
    first = UNSEEN * RATE_HZ // FPS
    hiss[first:] = 1.5 * rng.standard_normal(len(hiss) - first)
    return film(folder / "clip.mkv", frames, sound), film(folder / "noise.mkv", noisy, hiss)


def prepare(video: Path, folder: Path, find_faces: FaceDetector) -> None:
    """Every rule from the raw clip to the scene, as the workflow calls them."""
    media, person, occlusion, pose = (
        f"{folder}/{stage}" for stage in ("media", "person", "occlusion", "pose")
    )
    frames, manifest, split = (
        f"{media}/{name}" for name in ("frames.zarr.zip", "manifest.json", "split.json")
    )
    extract_frames.main(str(video), frames, manifest, "clip", FrameOptions(size_px=96), find_faces)
    split_script.main(frames, manifest, split, FrameOptions.train_fraction)
    speech = f"{media}/speech.wav"
    extract_speech.main(str(video), manifest, split, speech, f"{media}/speech.json")
    prepare_speech(folder, speech, manifest, split)

    landmarks = f"{person}/landmarks.npz"
    detect_landmarks.main(frames, manifest, split, landmarks, LandmarkOptions())
    parsing, background = f"{person}/parsing.zarr.zip", f"{person}/background.png"
    parse_portrait.main(frames, landmarks, split, parsing, background, HandOptions())
    track = f"{person}/head_track.npz"
    track_head.main(landmarks, manifest, split, track, FocalLengthOptions())
    expression = f"{pose}/expression.npz"
    measure_expression.main(frames, landmarks, track, split, expression, None)

    magnitude, rigid = f"{occlusion}/flow_magnitude.zarr.zip", f"{occlusion}/rigid_motion.npz"
    estimate_flow.main(frames, parsing, landmarks, split, magnitude, rigid, FlowOptions())
    mask, hand_free = f"{occlusion}/transient_mask.zarr.zip", f"{occlusion}/hand_free.zarr.zip"
    accumulate_transient_masks.main(
        frames, magnitude, rigid, parsing, manifest, split, mask, MaskOptions()
    )
    remove_hands.main(frames, parsing, mask, split, hand_free, RemovalOptions())
    head_pose = f"{pose}/head_pose.npz"
    stabilize_head.main(frames, landmarks, track, mask, split, head_pose, StabilizerOptions())
    assemble_scene.main(
        manifest, split, landmarks, head_pose, expression, background, frames, parsing, mask,
        hand_free, f"{folder}/scene/scene.npz", BoxOptions(),
    )  # fmt: skip
    register_body.main(
        scene_paths(scene_files(folder, "noisy.mss")), head_pose, f"{folder}/scene/body_motion.npz",
        SceneSection.torso_soft_components,
    )  # fmt: skip


def prepare_speech(folder: Path, speech: str, manifest: str, split: str) -> None:
    """Babble over the speech, denoised again; and features of what is left."""
    noisy, clean = f"{folder}/speech/noisy/speech.wav", f"{folder}/speech/noisy.mss/speech.wav"
    corrupt_speech.main(speech, None, split, noisy, {"noise": "babble", "snr_db": 5.0})
    values = SpeechSection(audio_features="logmel")
    denoise_speech.main(noisy, clean, "mss_adaptive", values, None, split)
    features = f"{folder}/speech/noisy.mss/audio_features.npz"
    extract_audio_features.main(clean, manifest, split, features, values)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Results of the clip and of the one with noise."""
    folder = tmp_path_factory.mktemp("independence")
    with FaceDetector() as find_faces:
        for video, name in zip(make_clips(folder), ("own", "noise"), strict=True):
            prepare(video, folder / name, find_faces)
    return folder / "own", folder / "noise"


def test_the_clips_differ_where_they_should(prepared):
    own, noise = (FrameStore(folder / "media" / "frames.zarr.zip")[:] for folder in prepared)
    assert (own[UNSEEN:] != noise[UNSEEN:]).mean() > 0.9
    splits = [load_split(folder / "media" / "split.json") for folder in prepared]
    assert splits[0].ends == splits[1].ends and splits[0].is_counted.all()
    assert np.flatnonzero(~splits[1].is_counted).tolist() == list(range(UNSEEN, N_FRAMES - 2))


@pytest.mark.parametrize(
    "store",
    ["media/frames", "person/parsing", "occlusion/flow_magnitude", "occlusion/transient_mask",
     "occlusion/hand_free"],
)  # fmt: skip
def test_stacks_are_the_same_before_the_test(prepared, store):
    own, noise = (FrameStore(folder / f"{store}.zarr.zip")[:UNSEEN] for folder in prepared)
    assert np.array_equal(own, noise)


#: Facts of the test, or figures of the whole clip that only people read.
OF_THE_TEST = {"test_frames", "jitter_px", "coarse_jitter_px"}


@pytest.mark.parametrize(
    "file",
    ["person/landmarks", "person/head_track", "pose/expression", "occlusion/rigid_motion",
     "pose/head_pose", "speech/noisy.mss/audio_features", "scene/scene", "scene/body_motion"],
)  # fmt: skip
def test_arrays_are_the_same_before_the_test(prepared, file):
    own, noise = (load_arrays(folder / f"{file}.npz") for folder in prepared)
    for name in own.keys() - OF_THE_TEST:
        known = slice(UNSEEN) if len(own[name].shape) and len(own[name]) == N_FRAMES else ...
        assert np.array_equal(own[name][known], noise[name][known]), name


def test_plate_and_sound_are_the_same_before_the_test(prepared):
    plates = [read_image(folder / "person" / "background.png") for folder in prepared]
    assert np.array_equal(*plates)
    for name in ("media", "speech/noisy", "speech/noisy.mss"):
        own, noise = (read_waveform(folder / name / "speech.wav")[0] for folder in prepared)
        known = slice(UNSEEN * RATE_HZ // FPS)
        assert np.array_equal(own[known], noise[known]), name
        assert not np.array_equal(own, noise), name


@pytest.mark.parametrize("lip_feature", ["mouth_shape", "audio"])
def test_every_weight_is_the_same(prepared, tmp_path, lip_feature):
    few = {"steps": 6, "occupancy_every": 3, "patch_size": 16}
    train = preset("smoke", head=few, lips=few, torso=few, model={"lip_feature": lip_feature})
    own, noise = (trained_weights(folder, train, tmp_path / folder.name) for folder in prepared)
    assert_same_bits(own, noise)


def test_every_weight_of_the_gaussians_is_the_same(prepared, tmp_path):
    train = preset("smoke", renderer="splats", splats={"steps": 6, "n_gaussians": 400})

    def weights(folder: Path) -> dict[str, torch.Tensor]:
        scene = load_scene(**scene_paths(scene_files(folder, "noisy.mss")))
        motion = load_body_motion(folder / "scene" / "body_motion.npz")
        checkpoints = tmp_path / folder.name
        return stages.splats_stage(
            scene, motion, train, None, checkpoints, silent
        ).portrait.state_dict()

    own, noise = (weights(folder) for folder in prepared)
    assert_same_bits(own, noise)


def trained_weights(folder: Path, train: dict, out: Path) -> dict[str, torch.Tensor]:
    """Head, lips and torso, a few steps each."""

    scene = load_scene(**scene_paths(scene_files(folder, "noisy.mss")))
    motion = load_body_motion(folder / "scene" / "body_motion.npz")
    trained = stages.head_stage(scene, train, out / "checkpoints" / "head", silent)
    for stage in ("lips", "torso"):
        path = out / f"{stage}.safetensors"
        facts = {"stage": stage, "shape": dataclasses.asdict(trained.portrait.shape)}
        save_portrait(path, trained.portrait.state_dict(), facts)
        checkpoints = out / "checkpoints" / stage
        if stage == "lips":
            trained = stages.lips_stage(scene, path, train, ms_ssim_loss, checkpoints, silent)
        else:
            trained = stages.torso_stage(scene, motion, path, train, checkpoints, silent)
    return trained.portrait.state_dict()
