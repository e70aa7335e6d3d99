"""What the stages say about each frame -> one scene with equal lengths and a split."""

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, load_json, save_arrays
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import read_image
from wildtalker_core.media.splits import load_split
from wildtalker_core.person.landmarks import face_box, lip_box
from wildtalker_core.person.visible_mouth import hidden_lips, visible_mouths
from wildtalker_core.scene.options import BoxOptions
from wildtalker_core.scene.scene import Scene
from workflow_scripts.job import call, job


def main(
    manifest_path: str,
    split_path: str,
    landmarks_path: str,
    head_pose_path: str,
    expression_path: str,
    background_path: str,
    frames_path: str,
    parsing_path: str,
    transient_mask_path: str,
    hand_free_path: str,
    scene_path: str,
    options: BoxOptions,
) -> None:
    """Write ``scene.npz``.

    Speech joins a scene when it is loaded (a method chooses its denoiser), so here silence stands
    in for it; all else is checked for length and finite values before anything is written.
    """
    manifest = load_json(manifest_path)
    track = load_arrays(landmarks_path, "landmarks", "is_interpolated")
    pose = load_arrays(head_pose_path, "T_camera_head", "focal_length")
    expression = load_arrays(expression_path, "expression")["expression"]
    background = read_image(background_path)
    frames = FrameStore(frames_path)
    height, width = frames.shape[1:3]
    if background.shape[:2] != (height, width):
        raise InputError(
            background_path,
            f"has {background.shape[1]}x{background.shape[0]} pixels, the frames {width}x{height}",
            "remove the clip's face folder and run again",
        )
    n_frames = len(manifest["frame_times_seconds"])
    split, parsing = load_split(split_path), FrameStore(parsing_path)
    hidden = hidden_lips(track["landmarks"], parsing)
    is_mouth_visible = visible_mouths(hidden, ~track["is_interpolated"], split)
    is_shape_known = split.is_fitted & is_mouth_visible
    print(f"the mouth is seen in {is_mouth_visible.sum()} of {n_frames} frames")
    scene = Scene(
        clip=manifest["clip"],
        frame_times_seconds=np.asarray(manifest["frame_times_seconds"], np.float64),
        T_camera_head=pose["T_camera_head"],
        focal_length=float(pose["focal_length"]),
        landmarks=track["landmarks"],
        expression=expression,
        is_face_visible=~track["is_interpolated"],
        is_mouth_visible=is_mouth_visible,
        face_box=face_box(track["landmarks"], height, width, options.face_margin),
        lip_box=lip_box(track["landmarks"], height, width, options.lip_margin, is_shape_known),
        background=background,
        train_frames=split.frames("train"),
        validation_frames=split.frames("validation"),
        test_frames=split.frames("test"),
        is_counted=split.is_counted,
        audio_features=np.zeros((n_frames, 0, 0), np.float32),
        is_silent=np.zeros(n_frames, bool),
        frames=frames,
        hand_free_frames=FrameStore(hand_free_path),
        parsing=parsing,
        transient_mask=FrameStore(transient_mask_path),
    )
    save_arrays(scene_path, **scene.facts())


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=BoxOptions(**snakemake.params.options))
