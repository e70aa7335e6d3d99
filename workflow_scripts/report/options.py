"""Options of the stage report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from wildtalker_core.option_types import limits
from wildtalker_core.speech.options import DenoiserName


@dataclass(frozen=True)
class ReportSection:
    """Tables, figures and the report page."""

    denoisers: Annotated[Sequence[DenoiserName], limits(minItems=1, uniqueItems=True)] = (
        "none",
        "spectral_subtraction",
        "mss",
        "mss_adaptive",
        "noisereduce",
    )
    """Rows of Table 3, each a value of speech.denoiser; none is the noisy speech itself."""
    table1: Annotated[Sequence[str] | None, limits(uniqueItems=True)] = None
    """Names of `methods` that are rows of Table 1, in this order, and render the test frames; null
    takes all."""
    table2: Annotated[Sequence[str] | None, limits(uniqueItems=True)] = None
    """Names of `methods` that are rows of Table 2, the lips of the head on the test frames; null
    takes all that have a head of their own."""
    driven: Annotated[Sequence[str] | None, limits(uniqueItems=True)] = None
    """Names of `methods` that speak `drive`; null takes all."""
    has_quoted_rows: bool = True
    """Show the paper's own numbers (config/paper_numbers.yaml) below ours, marked as quoted."""
    n_figure_frames: Annotated[int, limits(1, 12)] = 3
    """Test frames of each clip in Figure 3, from the widest open mouth to the closed one, count."""
    figure_column_px: Annotated[int, limits(64, 1024, multipleOf=2)] = 256
    """Width of a picture in Figure 3 and in the side-by-side videos, pixels."""
