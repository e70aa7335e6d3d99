"""Which methods have the same head and lips: those are trained once.

An ablation of the torso's mask, say, changes nothing of the head. So its torso is trained under the
head of the first method that has this very head.
"""

from collections.abc import Mapping
from typing import Any

from wildtalker_core.training.reads import deciding
from workflow_scripts.configuration import METHOD_SPEECH


def head_key(view: Mapping[str, Any]) -> dict[str, Any]:
    """All of a method's config (``configuration.method_view``) that decides its head and lips."""
    train = view["train"]
    # One body of Gaussians has no head of its own.
    stages = ("splats",) if train["renderer"] == "splats" else ("head", "lips")
    key = {stage: deciding(train, stage) for stage in stages}
    if train["perceptual"] == "lpips":
        key["lpips_backbone"] = train["lpips_backbone"]
    return key | {"speech": {name: view["speech"][name] for name in METHOD_SPEECH}}


def head_owner(method: str, views: Mapping[str, Mapping[str, Any]]) -> str:
    """The first method whose head is ``method``'s; itself, if nobody before it has the same.

    Args:
        views: config of each trained method, in the config's order.
    """
    mine = head_key(views[method])
    return next(name for name, view in views.items() if head_key(view) == mine)
