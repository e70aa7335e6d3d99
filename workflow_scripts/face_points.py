"""Which landmarks of the face mesh the scores look at."""

from __future__ import annotations

from wildtalker_core.metrics import theval
from wildtalker_core.metrics.frame_scores import FacePoints
from wildtalker_core.person import landmarks as mesh

FACE = FacePoints(
    mouth=mesh.MOUTH_OF_68,
    eyes=(mesh.LEFT_EYE_CORNER, mesh.RIGHT_EYE_CORNER),
    lips=(mesh.UPPER_LIP_INNER, mesh.LOWER_LIP_INNER),
    nose_tip=mesh.NOSE_TIP,
    rigid=mesh.RIGID_POINTS,
    n_points=mesh.N_LANDMARKS,
)
FEATURES = theval.FeaturePoints(
    lips=(*mesh.LIPS_OUTER, *mesh.LIPS_INNER),
    upper_lip=mesh.UPPER_LIP_EDGE,
    lower_lip=mesh.LOWER_LIP_EDGE,
    brows=(mesh.RIGHT_BROW, mesh.LEFT_BROW),
    eyes=(mesh.RIGHT_EYE, mesh.LEFT_EYE),
    outer_corners=(mesh.RIGHT_EYE_CORNER, mesh.LEFT_EYE_CORNER),
    corners=(
        (mesh.RIGHT_EYE_CORNER, mesh.RIGHT_EYE_INNER),
        (mesh.LEFT_EYE_INNER, mesh.LEFT_EYE_CORNER),
    ),
    rigid=mesh.RIGID_POINTS,
)
