"""The whole rule on a made-up clip: what must come out is known."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluate.conftest import FPS, SIZE_PX, TEST_FRAMES, MadeClip, write_render
from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, load_json, save_arrays, save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.metrics.frame_scores import Models
from wildtalker_core.pretrained.mediapipe_models import FaceMesh
from workflow_scripts.evaluate import score_render
from workflow_scripts.evaluate.score_render import Files

IDENTITY = {"clip": "clip", "method": "ours", "setting": "self_driven", "seed": 0}


def run(made: MadeClip, out: Path, models: Models, reference: str = "", **changes) -> dict:
    folder = changes.pop("folder", "render/ours")
    score_render.main(
        Files(
            video=made.path(f"{folder}/self_driven.mp4"),
            render=made.path(f"{folder}/self_driven.json"),
            manifest=made.path("media/manifest.json"),
            scene=changes.pop("scene", made.path("scene/scene.npz")),
            parsing=made.path("person/parsing.zarr.zip"),
            reference=reference or made.path("occlusion/hand_free.zarr.zip"),
            speech=made.path("media/speech.wav"),
            training=[made.path(f"train/ours/{part}.json") for part in ("head", "lips", "torso")],
            openface=changes.pop("openface", None),
        ),
        str(out / "frames.tsv"),
        str(out / "video.json"),
        IDENTITY | changes.pop("identity", {}),
        models,
        **changes,
    )
    return json.loads((out / "video.json").read_text())


@pytest.fixture(scope="module")
def face_mesh():
    with FaceMesh(is_tracking=False) as mesh:
        yield Models(find_landmarks=mesh, landmark_backend="mediapipe face mesh")


def no_faces(frame: np.ndarray) -> np.ndarray:
    return np.empty((0, 478, 3))


def test_own_frames_score_as_their_codec(made_clip, tmp_path, face_mesh):
    """The reference's frames after h264: everything near perfect, hours added up, n/a explained."""
    result = run(made_clip, tmp_path, face_mesh)
    value = {key: score["value"] for key, score in result["scores"].items()}
    assert value["psnr_db"] > 35
    assert value["psnr_torso_db"] > 33
    assert value["ssim"] > 0.95
    assert value["ms_ssim"] > 0.99
    assert value["lmd_px"] < 1.5
    assert value["lmd_interocular"] < 0.02
    assert value["training_hours"] == pytest.approx(1.0)
    assert value["ms_per_frame"] == pytest.approx(50)
    for key in ("lpips", "lse_c", "lse_d", "aue_mean", "blendshape_error"):
        assert value[key] is None
        assert "evaluate." in result["scores"][key]["reason"], "the reason names the config key"
    table = (tmp_path / "frames.tsv").read_text().splitlines()
    assert [int(line.split("\t")[0]) for line in table[1:]] == TEST_FRAMES.tolist()
    column = table[0].split("\t").index("psnr_db")
    per_frame = [float(line.split("\t")[column]) for line in table[1:]]
    assert np.mean(per_frame) == pytest.approx(value["psnr_db"], abs=1e-3)


def test_a_worse_render_scores_worse(made_clip, tmp_path, face_mesh):
    rng = np.random.default_rng(1)
    noisy = made_clip.frames[TEST_FRAMES] + rng.normal(0, 12, made_clip.frames[TEST_FRAMES].shape)
    folder = made_clip.root / "clip/render/noisy"
    frames = np.clip(noisy, 0, 255).astype(np.uint8)
    write_render(folder, frames, made_clip.root / "clip/media/speech.wav")
    models = Models(no_faces, "none")
    worse = run(made_clip, tmp_path, models, folder="render/noisy")["scores"]
    better = run(made_clip, tmp_path, models)["scores"]
    for key in ("psnr_db", "psnr_face_db", "psnr_lips_db", "ssim", "ms_ssim"):
        assert worse[key]["value"] < better[key]["value"], key
    assert worse["seam"]["value"] > better["seam"]["value"]


def test_faceless_frames_are_counted_and_left_out(made_clip, tmp_path, face_mesh):
    """A detector that misses three frames of the render: LMD over the rest, and it says so."""
    calls = []

    def sometimes(frame):
        calls.append(frame)
        # The render and its reference in turn.
        is_missed = len(calls) in (3, 5, 17)
        return np.empty((0, 478, 3)) if is_missed else face_mesh.find_landmarks(frame)

    result = run(made_clip, tmp_path, Models(sometimes, "sometimes"))
    assert result["n_faceless_frames"] == 3
    assert result["faceless_frames"] == [1, 2, 8]
    assert result["scores"]["lmd_px"]["value"] < 1.5
    rows = [line.split("\t") for line in (tmp_path / "frames.tsv").read_text().splitlines()]
    lmd = rows[0].index("lmd_px")
    assert [row[lmd] == "" for row in rows[1:]] == [i in (1, 2, 8) for i in range(10)]


def test_no_face_at_all_is_a_reason_not_a_number(made_clip, tmp_path):
    scores = run(made_clip, tmp_path, Models(no_faces, "none"))["scores"]
    for key in ("lmd_px", "mouth_correlation", "lip_audio_correlation", "jitter_px"):
        assert scores[key]["value"] is None
        assert scores[key]["reason"]
    assert scores["psnr_db"]["value"] > 35


def test_truth_is_cropped_and_sized_as_the_clip_was(made_clip, tmp_path):
    """Truth at the source's size with the crop somewhere inside: scores as the store's."""
    import cv2

    truth_path = tmp_path / "hand_free.mp4"
    with VideoWriter(truth_path, FPS, crf=5) as video:
        for frame in made_clip.frames:
            canvas = np.full((2 * SIZE_PX + 16, 2 * SIZE_PX + 40, 3), 90, np.uint8)
            large = cv2.resize(frame, (2 * SIZE_PX, 2 * SIZE_PX), interpolation=cv2.INTER_NEAREST)
            canvas[4 : 4 + 2 * SIZE_PX, 10 : 10 + 2 * SIZE_PX] = large
            video.append(canvas)
    models = Models(no_faces, "none")
    scores = run(made_clip, tmp_path, models, str(truth_path))["scores"]
    assert scores["psnr_db"]["value"] > 34
    shorter = tmp_path / "short.mp4"
    with VideoWriter(shorter, FPS) as video:
        for _ in range(5):
            video.append(canvas)
    with pytest.raises(InputError, match="ends before frame 13"):
        run(made_clip, tmp_path, models, str(shorter))


def test_a_missing_frame_is_an_error(made_clip, tmp_path):
    folder = made_clip.root / "clip/render/short"
    write_render(
        folder, made_clip.frames[TEST_FRAMES[:-1]], made_clip.root / "clip/media/speech.wav"
    )
    with pytest.raises(InputError, match="has 9 frames, its test split has 10"):
        run(made_clip, tmp_path, Models(no_faces, "none"), folder="render/short")


def test_frames_of_the_training_are_scored_like_any(made_clip, tmp_path, face_mesh):
    """The ceiling: what has a reference is told by the render, not by the setting's name."""
    result = run(made_clip, tmp_path, face_mesh, identity={"setting": "training_frames"})
    assert result["scores"]["psnr_db"]["value"] > 35


def test_driven_speech_has_sync_scores_only(made_clip, tmp_path, face_mesh):
    folder = Path(made_clip.path("render/driven"))
    folder.mkdir(parents=True, exist_ok=True)
    write_render(folder, made_clip.frames[TEST_FRAMES], Path(made_clip.path("media/speech.wav")))
    facts = load_json(folder / "self_driven.json")
    del facts["frames"]  # of the clip: none of them were filmed
    save_json(folder / "self_driven.json", facts)
    result = run(
        made_clip, tmp_path, face_mesh, folder="render/driven", identity={"setting": "drive_x"}
    )
    scores = result["scores"]
    assert scores["psnr_db"] == {
        "value": None,
        "backend": None,
        "reason": "no reference video exists for driven speech",
    }
    assert scores["jitter_px"]["value"] is not None
    assert result["reference"] is None
    header = (tmp_path / "frames.tsv").read_text().splitlines()[0]
    assert "psnr_db" not in header


def test_perceptual_and_sync_networks_are_used_where_given(made_clip, tmp_path, face_mesh):
    """Stand-in networks whose results are known."""

    def embed(crops, waveform):
        assert not isinstance(crops, (np.ndarray, list)), "one by one"
        assert np.stack(list(crops)).shape == (10, 224, 224, 3)
        rng = np.random.default_rng(0)
        lips = rng.normal(size=(40, 8))
        return lips, np.roll(lips, -2, axis=0)

    models = Models(
        face_mesh.find_landmarks,
        "mediapipe face mesh",
        perceptual_distance=lambda a, b: 0.25,
        perceptual_backend="constant",
        blendshapes=lambda frame: {"jawOpen": 0.5, "eyeBlinkLeft": 0.1},
        blendshape_backend="constant",
        embed_sync=embed,
        sync_backend="random",
    )
    scores = run(made_clip, tmp_path, models)["scores"]
    assert scores["lpips"] == {
        "value": pytest.approx(0.25), "backend": "constant", "standard_error": pytest.approx(0)
    }  # fmt: skip
    assert scores["blendshape_error"]["value"] == 0
    assert scores["lse_offset_frames"]["value"] == 2
    assert scores["lse_c"]["value"] > 1


def test_openface_tables(made_clip, tmp_path):
    from wildtalker_core.metrics.expression import OPENFACE_UNITS

    header = ["frame", *(f" AU{unit:02d}_r" for unit in OPENFACE_UNITS)]
    for name, level, n_rows in (("a", 0.0, 10), ("b", 2.0, 10), ("c", 0.0, 7)):
        lines = [",".join(header)] + [f"{i}" + f",{level}" * 17 for i in range(n_rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    paths = tuple(str(tmp_path / f"{name}.csv") for name in "ab")
    models = Models(no_faces, "none")
    scores = run(made_clip, tmp_path, models, openface=paths)["scores"]
    assert scores["aue_sum"]["value"] == pytest.approx(17 * 4)
    assert scores["aue_mean"]["value"] == pytest.approx(4)
    assert scores["aue_lower"]["value"] == pytest.approx(9 * 4)
    with pytest.raises(InputError, match="has 7 rows"):
        wrong = (paths[0], str(tmp_path / "c.csv"))
        run(made_clip, tmp_path, models, openface=wrong)


def test_black_frames_enter_no_mean_and_are_counted(made_clip, tmp_path, face_mesh):
    """Three black frames at the end, in the reference and in the render: as if they were not."""
    frames = made_clip.frames.copy()
    frames[11:] = 0
    with write_frames(tmp_path / "black.zarr.zip", len(frames), frames.shape[1:]) as store:
        for frame in frames:
            store.append(frame)
    folder = made_clip.root / "clip/render/black"
    write_render(folder, frames[TEST_FRAMES], Path(made_clip.path("media/speech.wav")))
    scene = load_arrays(made_clip.path("scene/scene.npz"))
    scene["is_counted"] = np.arange(len(frames)) < 11
    save_arrays(tmp_path / "scene.npz", **scene)
    reference = str(tmp_path / "black.zarr.zip")
    folder_name = "render/black"
    result = run(
        made_clip, tmp_path, face_mesh, reference, folder=folder_name,
        scene=str(tmp_path / "scene.npz"),
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "frames.tsv", sep="\t")
    assert result["n_left_out"] == 3
    assert table["psnr_db"].notna().tolist() == [True] * 7 + [False] * 3
    assert table["is_counted"].tolist() == [1] * 7 + [0] * 3
    assert result["faceless_frames"] == [], "a frame that does not count lacks no face"
    value = result["scores"]["psnr_db"]["value"]
    assert value == pytest.approx(table["psnr_db"].mean(), abs=1e-3)
    assert 33 < value < 45


def test_memory_does_not_grow_with_the_video(made_clip, tmp_path):
    """Frames are scored one by one: never are more than a few of them alive."""
    seen = []

    def look(frame):
        seen.append(weakref.ref(frame))
        n_alive.append(sum(reference() is not None for reference in seen))
        return np.empty((0, 478, 3))

    n_alive = []
    run(made_clip, tmp_path, Models(look, "none"))
    assert len(n_alive) == 20 and max(n_alive) <= 4
