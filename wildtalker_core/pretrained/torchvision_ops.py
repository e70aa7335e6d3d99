"""Lets torchvision be imported where its compiled operators do not fit the installed torch."""

from __future__ import annotations

# Kept alive for the life of the process: a Library that is collected takes its schemas with it.
_library = None


def ensure_torchvision_ops() -> None:
    """Make ``import torchvision`` work beside a CPU torch; nothing where it already does.

    PyPI has torchvision with CUDA operators only. Beside a CPU torch they cannot load, and the
    import ends in "operator torchvision::nms does not exist", though models and transforms, all
    that is used here, need none of them. The remedy declares the two operators (`nms`, `qnms`)
    that the import itself asks for; calling them still fails. Call this before anything that
    imports torchvision (lpips, ptlflow, torchmetrics). Safe to call again.
    """
    global _library
    if _library is not None:
        return
    import importlib.util
    from pathlib import Path

    import torch

    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return
    compiled = sorted(Path(package.origin).parent.glob("_C*.so"))
    for library in compiled:
        try:
            torch.ops.load_library(library)
        except OSError:
            continue  # built for another torch: the remedy below
    if hasattr(torch.ops.torchvision, "nms"):
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
