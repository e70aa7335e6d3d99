"""Which methods have the same head and lips: those are trained once.

An ablation of the torso's mask, say, changes nothing of the head. So its torso is trained under the
head of the first method that has this very head.
"""

from collections.abc import Mapping
from typing import Any

from wildtalker_core.training.options import INDIFFERENT
from workflow_scripts.configuration import METHOD_SPEECH

#: Entries of the train section that neither the head nor the lips stage reads.
_OF_THE_TORSO = ("torso", "static_weight", "torso_reference", "splats")


def stage_of_training(train: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The entries of the section ``train`` that decide what ``stage`` gives.

    Args:
        stage: head, lips, torso or splats.
    """
    others = {"head", "lips", "torso", "splats"} - {stage} | set(INDIFFERENT)
    if stage in ("head", "lips"):
        others |= set(_OF_THE_TORSO)
    return {key: value for key, value in train.items() if key not in others}


def head_options(view: Mapping[str, Any]) -> dict[str, Any]:
    """All of a method's config (``configuration.method_view``) that decides its head and lips."""
    train = view["train"]
    others: tuple[str, ...] = INDIFFERENT
    if train["renderer"] == "field":  # one body of Gaussians has no head of its own
        others = (*_OF_THE_TORSO, *INDIFFERENT)
    return {
        "speech": {key: view["speech"][key] for key in METHOD_SPEECH},
        "train": {key: value for key, value in train.items() if key not in others},
    }


def head_owner(method: str, views: Mapping[str, Mapping[str, Any]]) -> str:
    """The first method whose head is ``method``'s; itself, if nobody before it has the same.

    Args:
        views: config of each trained method, in the config's order.
    """
    mine = head_options(views[method])
    return next(name for name, view in views.items() if head_options(view) == mine)
