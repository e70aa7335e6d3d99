"""Which of a scene's landmarks is what, for those who know scenes but no face detectors."""

from wildtalker_core.person.landmarks import LEFT_EYE, LIPS_INNER, LIPS_OUTER, NOSE_TIP, RIGHT_EYE

__all__ = ["LEFT_EYE", "LIPS_INNER", "LIPS_OUTER", "NOSE_TIP", "RIGHT_EYE"]
