"""Options of the networks of a radiance field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.option_types import Count, Natural, Positive, limits


@dataclass(frozen=True)
class ModelSection:
    """Sizes of the portrait's networks (SyncTalk, Peng et al. 2024; ER-NeRF, Li et al. 2023)."""

    position_encoding: Literal["tri_plane", "grid_3d", "frequency"] = "tri_plane"
    """Features of a position: tri_plane (three 2-D hash grids; ER-NeRF, SyncTalk), grid_3d (one 3-D
    hash grid; RAD-NeRF), frequency (sines and cosines; AD-NeRF)."""
    conditioning: Literal["region_attention", "ambient", "concatenate"] = "region_attention"
    """How speech and expression reach the field: region_attention (weighted at each position;
    ER-NeRF, SyncTalk), ambient (speech chooses a place in a small grid of its own; RAD-NeRF),
    concatenate (appended to the position's features; AD-NeRF)."""
    expression: Literal["upper_face", "blink", "none"] = "upper_face"
    """What the field is told of the upper face: upper_face (seven brow and blink values; SyncTalk),
    blink (their mean over both eyes; ER-NeRF and RAD-NeRF have one number), none (AD-NeRF)."""
    direction_encoding: Literal["spherical_harmonics", "frequency"] = "spherical_harmonics"
    """Features of a viewing direction; frequency has four octaves (AD-NeRF)."""
    sampling: Literal["occupied", "hierarchical"] = "occupied"
    """Samples of a ray: occupied (constant steps through occupied cells; RAD-NeRF), hierarchical
    (even intervals, then finer ones where something is; NeRF, AD-NeRF)."""
    lip_feature: Literal["audio", "mouth_shape"] = "mouth_shape"
    """What the field hears. audio: a code learnt with the picture, as in the paper. mouth_shape
    (ours): the mouth's shape, learnt from landmarks first, from the sound and the head's pose
    (kernel regression)."""
    n_mouth_shapes: Annotated[int, limits(1, 40)] = 5
    """Components of the mouth's shape (ours). Five tell the opening; the sixth and later cannot be
    heard and only help to learn frames by heart."""
    half_extents: Annotated[Sequence[Positive], limits(minItems=3, maxItems=3)] = (0.3, 0.36, 0.3)
    """Half sides x, y, z of the head's box, head units (the face is 0.30 wide; ours)."""
    n_steps_across: Annotated[int, limits(4)] = 32
    """Marching steps along the depth of the head's box (ours; step 0.019 head units)."""
    n_samples: Count = 16
    """Most occupied samples a ray (16, RAD-NeRF), or even intervals for sampling hierarchical (64,
    NeRF)."""
    n_fine_samples: Count = 128
    """Intervals added where something is, for sampling hierarchical (128, NeRF)."""
    occupancy_resolution: Annotated[int, limits(8)] = 64
    """Cells per axis of the head's occupancy grid (128 in the peers)."""
    alpha_resolution: Annotated[int, limits(8)] = 128
    """Cells per axis of the torso's alpha grid (128, RAD-NeRF)."""
    grid_levels: Count = 12
    """Levels of each of the head's grids (12, ER-NeRF's code)."""
    grid_features_per_level: Count = 1
    """Features per level of each of the head's grids (1, ER-NeRF)."""
    grid_log2_hashmap_size: Annotated[int, limits(4, 24)] = 14
    """Base-2 logarithm of the entries of a level of a head's grid (14, ER-NeRF)."""
    grid_base_resolution: Count = 64
    """Cells per axis of the coarsest level of a head's grid (64, ER-NeRF)."""
    grid_finest_resolution: Count = 512
    """Cells per axis of the finest level of a head's grid (512, ER-NeRF)."""
    grid_init: Positive = 1e-4
    """Table entries start uniform in plus or minus this (1e-4 in the peers)."""
    n_lip: Count = 32
    """Length of the lip feature f_l (32, ER-NeRF)."""
    n_code: Natural = 4
    """Length of the head's per-frame code (4, RAD-NeRF; 0 for none, AD-NeRF)."""
    n_octaves: Count = 10
    """Octaves of the position, for position_encoding frequency (10, NeRF)."""
    n_ambient: Literal[2, 3] = 2
    """Dimensions of the ambient space, for conditioning ambient (2, RAD-NeRF)."""
    n_hidden: Count = 64
    """Width of the density network (64, ER-NeRF)."""
    n_density_layers: Count = 3
    """Linear layers of the density network (3, RAD-NeRF; 9, NeRF)."""
    density_skip: Natural = 0
    """Layer of the density network, from 0, that sees its input once more (5, NeRF); 0 for none."""
    n_geometry: Count = 64
    """Numbers that the density network hands to the colour network (64, RAD-NeRF)."""
    n_colour_hidden: Count = 64
    """Width of the colour network (64, ER-NeRF)."""
    has_biases: bool = False
    """Whether density and colour network have biases (false in RAD-NeRF)."""
    n_attention: Count = 64
    """Width of the region attention to speech (64, ER-NeRF), or of the network that chooses the
    ambient place (64, RAD-NeRF)."""
    n_expression_attention: Count = 64
    """Width of the region attention to the expression (64, SyncTalk; 16, ER-NeRF)."""
    n_uncertainty: Natural = 0
    """Width of the network that guesses each sample's error (32, ER-NeRF); 0 for none, as
    `uncertainty` of a stage needs it."""
    torso_levels: Count = 16
    """Levels of the torso's grid (16, RAD-NeRF)."""
    torso_log2_hashmap_size: Annotated[int, limits(4, 24)] = 16
    """Base-2 logarithm of the entries of a level of the torso's grid (16, RAD-NeRF)."""
    torso_finest_resolution: Count = 2048
    """Cells per axis of the torso grid's finest level (2048, RAD-NeRF)."""
    torso_pose: Literal["anchors", "euler"] = "anchors"
    """How the torso is told the head's pose: anchors (where three learnt points are seen; ER-NeRF),
    euler (angles and translation; RAD-NeRF)."""
    torso_pose_octaves: Count = 3
    """Octaves of the pose (3, ER-NeRF; 4, RAD-NeRF)."""
    torso_pixel_octaves: Count = 8
    """Octaves of the pixel (8, ER-NeRF; 10, RAD-NeRF)."""
    torso_hidden: Count = 32
    """Width of the torso's colour network (32, RAD-NeRF)."""
    torso_follows_head: bool = False
    """Let the torso's picture as a whole move linearly with the head's pose before a network bends
    it (ours; false in the peers). Measured in docs/portrait.md."""
    torso_deform_hidden: Count = 32
    """Width of the torso's deformation network (32, ER-NeRF; 64, RAD-NeRF)."""
