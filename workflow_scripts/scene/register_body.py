"""Scene → motion of torso, eyes and camera, and what is behind the person."""

from wildtalker_core.media.files import load_arrays, save_arrays
from wildtalker_core.scene.body_motion import measure_body
from wildtalker_core.scene.scene import load_scene
from workflow_scripts.job import call, job
from workflow_scripts.scene_inputs import scene_paths


def main(
    scene_files: dict[str, str], head_pose_path: str, body_motion_path: str, n_soft: int
) -> None:
    """Write ``body_motion.npz``.

    Args:
        scene_files: arguments of ``load_scene``.
        n_soft: components of the torso's motion beyond a similarity.
    """
    template = load_arrays(head_pose_path, "template")["template"]
    motion = measure_body(load_scene(**scene_files), template, n_soft)
    followed = 1 - motion.torso.is_interpolated.mean()
    print(
        f"torso followed in {followed:.0%} of the frames"
        + (", so it moves with the head" if motion.torso_follows_head else "")
        + (", the camera moves" if motion.camera_moves else ", the camera stands")
    )
    save_arrays(body_motion_path, **motion.to_arrays())


if __name__ == "__main__":
    with job(snakemake):
        n_soft = snakemake.params.options["torso_soft_components"]
        call(main, snakemake, scene_files=scene_paths(snakemake.input), n_soft=n_soft)
