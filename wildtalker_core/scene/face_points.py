"""Which of a scene's landmarks is what, for those who know scenes but no face detectors."""

from wildtalker_core.face.landmarks import NOSE_TIP

__all__ = ["NOSE_TIP"]
