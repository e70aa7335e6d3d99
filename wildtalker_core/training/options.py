"""What is known of the config section ``train`` without knowing any of its networks."""

from __future__ import annotations

#: Entries that do not decide the result: a checkpoint may be continued with others, and methods
#: that differ in them have the same head.
INDIFFERENT = (
    "preset",
    "threads",
    "lpips_backbone",
    "preview_every",
    "rasteriser",
)
