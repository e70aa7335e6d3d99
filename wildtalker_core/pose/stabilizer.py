"""The Head-Sync Stabilizer: head poses that neither shake nor lag.

``smooth_poses`` filters poses; ``bundle_adjust`` finds them anew from tracks of skin points. It has
three steps, each a robust least-squares problem solved by Gauss-Newton:

1. *Structure* from some hundred frames: points, poses and focal length together. The points are
   eliminated first (Schur complement; Triggs et al. 2000), so a step costs seconds at most.
2. *Motion* of all frames: the poses alone, joined by a penalty on their second difference in time;
   a banded system, linear in the number of frames.
3. The template is fitted anew to the landmarks under the new poses.

The reprojection error is weighted by Cauchy's function, so that points which follow a hand, a
strand of hair or an expression lose their say.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.rotations import (
    matrix_to_quaternion,
    quaternion_to_matrix,
    rigid,
)
from wildtalker_core.media.splits import Split, by_parts
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.head_pose import (
    HeadTrack,
    refine_template,
)
from wildtalker_core.person.landmark_track import smooth_without_lag
from wildtalker_core.person.template import head_units_transform
from wildtalker_core.pose.motion import adjust_motion
from wildtalker_core.pose.skin_tracks import SkinTracks
from wildtalker_core.pose.structure import Observations, Structure, adjust_structure

# ASSUME: smoothness reaches no further than this many frames.
_MEMORY_FRAMES = 50


def smooth_poses(track: HeadTrack, window_frames: int, split: Split, order: int = 2) -> HeadTrack:
    """Savitzky-Golay filter over the poses of a track: the plain stabilizer.

    Translations are filtered as they are, rotations as quaternions of one sign (the window is so
    short that the sphere they lie on is flat there).
    """

    def smoothed(values: np.ndarray) -> np.ndarray:
        return smooth_without_lag(values, window_frames, order)

    poses = torch.from_numpy(track.T_camera_head)
    quaternion = matrix_to_quaternion(poses[:, :3, :3]).numpy()
    turns = np.sign((quaternion[1:] * quaternion[:-1]).sum(-1))
    quaternion[1:] *= np.cumprod(np.where(turns == 0, 1, turns))[:, None]
    smooth = track.T_camera_head.copy()
    smooth[:, :3, :3] = quaternion_to_matrix(
        torch.from_numpy(by_parts(smoothed, quaternion, split))
    ).numpy()
    smooth[:, :3, 3] = by_parts(smoothed, track.T_camera_head[:, :3, 3], split)
    return HeadTrack(smooth, track.focal_length, track.template)


def bundle_adjust(
    track: HeadTrack,
    tracks: SkinTracks,
    landmarks: np.ndarray,
    height: int,
    width: int,
    split: Split,
    n_key_frames: int = 160,
) -> HeadTrack:
    """Points, focal length and poses that agree with the skin tracks; then the template.

    Points, focal length and template come from training frames; the other frames' poses are found
    given these, each part after the one before it.

    Args:
        track: the coarse poses to start from.
        tracks: skin points seen in the frames.
        landmarks: [n, 478, 2] pixels.
        height, width: of the frames, pixels.
        split: of the clip.
        n_key_frames: frames that decide about points and focal length.
    """
    fitted = np.flatnonzero(split.is_fitted)
    depth = float(np.median(track.T_camera_head[fitted, 2, 3]))
    face_px = 0.30 * track.focal_length / depth
    poses = torch.from_numpy(track.T_camera_head).clone()
    template = torch.from_numpy(track.template)
    seen = Observations.of(tracks, height, width)
    n_seen = tracks.is_seen.sum((1, 2))
    structure = Structure(torch.from_numpy(tracks.points_head), track.focal_length)
    key_frames = torch.from_numpy(fitted[_spread_keys(n_seen[fitted], n_key_frames)])
    structure = adjust_structure(structure, poses[key_frames], seen.of_frames(key_frames), face_px)
    observed = torch.from_numpy(landmarks).double()
    rigid_points = list(lm.RIGID_POINTS)

    def moved(first: int, stop: int, template: Tensor) -> Tensor:
        frames = slice(first, stop)
        return adjust_motion(
            structure, poses[frames], seen.of_frames(frames), template[rigid_points],
            observed[frames, rigid_points], face_px,
        )  # fmt: skip

    for _ in range(2):
        before = template
        poses[: split.ends[0]] = moved(0, split.ends[0], before)
        template = refine_template(
            before, poses[fitted], observed[fitted], structure.focal_length, height, width,
            0.01 * face_px, 0.1,
        )  # fmt: skip
    for start, stop in split.spans[1:]:
        if start == stop:
            continue
        first = max(0, start - _MEMORY_FRAMES)
        poses[start:stop] = moved(first, stop, before)[start - first :]
    return _in_head_units(HeadTrack(poses.numpy(), structure.focal_length, template.numpy()))


def _spread_keys(n_seen: np.ndarray, n_most: int) -> np.ndarray:
    """Frames that see most points, spread over the clip."""
    usable = np.flatnonzero(n_seen > 0.5 * np.median(n_seen))
    return usable[np.unique(np.linspace(0, len(usable) - 1, n_most).astype(int))]


def _in_head_units(track: HeadTrack) -> HeadTrack:
    """The same motion for a template that is again 0.30 wide, level and centred."""
    template = torch.from_numpy(track.template)
    scale, axes, centre = head_units_transform(template)
    # X_new = scale * axes @ (X - centre); the camera's length unit grows by the same scale.
    poses = torch.from_numpy(track.T_camera_head)
    rotation = poses[:, :3, :3] @ axes.T
    shift = scale * (poses[:, :3, :3] @ centre + poses[:, :3, 3])
    moved = scale * (template - centre) @ axes.T
    return HeadTrack(rigid(rotation, shift).numpy(), track.focal_length, moved.numpy())
