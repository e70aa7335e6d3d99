"""WildTalker: talking portraits from one ordinary video.

The packages follow the data: ``media`` and ``geometry`` at the bottom; ``speech``, ``face`` and
``motion`` beside each other; ``scene`` as the narrow waist; ``nerf`` and ``training`` to the right
of it; ``live`` plays what was trained. ``metrics`` stands alone, ``pretrained`` is the only door to
foreign networks.
"""

from typing import Any

__all__ = ["open_portrait"]


def __getattr__(name: str) -> Any:
    """``open_portrait`` on demand: it costs seconds to import."""
    if name == "open_portrait":
        from wildtalker_core.live.talking import open_portrait

        return open_portrait
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
