"""What the tables of scores have in common: columns, rows, footers, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wildtalker_core.media.files import atomic_path
from wildtalker_core.metrics.table_forms import to_latex, to_markdown, to_tsv
from wildtalker_core.metrics.tables import (
    TIE_ERRORS,
    Column,
    Row,
    RowKind,
    Score,
    Table,
)

TABLE1_COLUMNS = (
    # The paper's, in its order, then ours.
    Column("psnr_db", "PSNR", "higher", 2),
    Column("lpips", "LPIPS", "lower", 3),
    Column("lmd_px", "LMD", "lower", 3, is_of_head=True),
    Column("aue_mean", "AUE", "lower", 3, is_of_head=True),
    Column("lse_c", "LSE-C", "higher", 3, is_of_head=True),
    Column("lse_d", "LSE-D", "lower", 3, is_of_head=True),
    Column("training_hours", "hours", "lower", 3),
    Column("psnr_face_db", "PSNR face", "higher", 2, is_of_head=True),
    Column("ssim", "SSIM", "higher", 3),
    Column("lip_audio_correlation", "lip-audio", "higher", 2, is_of_head=True),
)
MORE_COLUMNS = (
    Column("ms_ssim", "MS-SSIM", "higher", 3),
    Column("psnr_torso_db", "PSNR torso", "higher", 2),
    Column("psnr_lips_db", "PSNR lips", "higher", 2, is_of_head=True),
    Column("lmd_interocular", "LMD / eyes", "lower", 4, is_of_head=True),
    Column("mouth_correlation", "mouth opening", "higher", 2, is_of_head=True),
    Column("lip_audio_lag_frames", "lip-audio lag", "none", 0),
    Column("blendshape_error", "blendshapes", "lower", 4, is_of_head=True),
    Column("aue_sum", "AUE sum", "lower", 3, is_of_head=True),
    Column("jitter_px", "jitter", "none", 2),
    Column("seam", "seam", "none", 2),
    Column("ms_per_frame", "ms / frame", "none", 0),
)
#: After THEval: none is better for being higher or lower, but for being near the ground truth's.
MOVEMENT_COLUMNS = (
    Column("lip_dynamics", "lip dynamics", "none", 5, is_of_head=True),
    Column("eyebrow_dynamics", "eyebrow dynamics", "none", 4, is_of_head=True),
    Column("head_motion", "head motion", "none", 2, is_of_head=True),
    Column("silent_lip_motion", "silent lips", "none", 4, is_of_head=True),
    Column("lip_loudness_gap", "lip-loudness gap", "none", 3, is_of_head=True),
)
BY_KEY = {c.key: c for c in (*TABLE1_COLUMNS, *MORE_COLUMNS, *MOVEMENT_COLUMNS)}
SYNC_COLUMNS = (
    *(BY_KEY[key] for key in ("lse_d", "lse_c", "lip_audio_correlation")),
    Column("lip_audio_lag_frames", "lag", "none", 0),
)
SPEECH_COLUMNS = (
    Column("pesq", "PESQ", "higher", 2),
    Column("csig", "CSIG", "higher", 2),
    Column("cbak", "CBAK", "higher", 2),
    Column("covl", "COVL", "higher", 2),
    Column("stoi", "STOI", "higher", 3),
    Column("si_sdr_db", "SI-SDR", "higher", 2),
)
#: The lips of Table 2, in the paper's order, then ours.
HEAD_COLUMNS = tuple(BY_KEY[key] for key in ("aue_mean", "lse_c", "lse_d", "lip_audio_correlation"))
#: Rows that see what they are scored by: nearest_landmarks chooses by the test landmarks.
ORACLES = ("nearest_landmarks",)
BASELINES = ("mean_frame",)
NOT_QUOTED = "not in the paper's table"

#: What a reader should know about a column that its heading does not say.
EXPLANATIONS = {
    "psnr_face_db": "PSNR face: inside the box around the face",
    "lmd_px": "LMD: 20 mouth points, each frame's mean removed, pixels at 512x512",
    "aue_mean": "AUE: mean over 17 action units of the squared difference",
    "lip_audio_correlation": (
        "lip-audio: correlation of lower lip and loudness at the best lag; ours, not an LSE, real "
        "clips reach 0.2 to 0.7"
    ),
    "training_hours": "hours: head, lips and torso, without preparation",
    "psnr_lips_db": "PSNR lips: inside the box around the lips",
    "psnr_torso_db": "PSNR torso: where the torso is, or a hand in front of it",
    "lmd_interocular": "LMD / eyes: LMD as a share of the distance between the outer eye corners",
    "mouth_correlation": "mouth opening: correlation with the reference's over the test frames",
    "lip_audio_lag_frames": "lag: frames by which the mouth follows the voice, 5 at most",
    "blendshape_error": "blendshapes: mean absolute difference of FaceLandmarker's blendshapes",
    "jitter_px": "jitter: mean second difference of rigid landmarks, pixels at 512x512 (what the "
    "ground truth has is the detector's)",
    "seam": "seam: edges at the neck that the reference has not, grey levels per pixel (blur has "
    "none)",
    "ms_per_frame": "ms / frame: rendering only, end to end",
    "lip_dynamics": "read each column by its distance from the ground truth's; lip dynamics, "
    "eyebrow dynamics: THEval's definitions on landmarks found anew in each frame",
    "head_motion": "head motion: THEval's formula on our pose, which no method here invents",
    "silent_lip_motion": "silent lips, lip-loudness gap: THEval's formulas on pauses found by "
    "loudness; its three picture qualities and its final score, the mean over eight, are not here",
    "stoi": "PESQ is wide band; CSIG, CBAK, COVL after Hu and Loizou 2008",
}


#: Settings in which a portrait is told more than in the others -> what it is told, in a row's name.
INFORMED = {"training_frames": "seen frames", "torso_given": "torso given"}


def row_of(
    name: str, kind: RowKind, scores: Mapping[str, Mapping[str, Any]], head: str = ""
) -> Row:
    cells = {
        key: Score(s["value"], s.get("reason") or "", s.get("standard_error"))
        for key, s in scores.items()
    }
    return Row(name, kind, cells, head)


def video_row(scores: Mapping[str, Any]) -> Row:
    """The row of one scored video."""
    head = scores.get("head_of") or scores["method"]
    return row_of(row_name(scores), kind_of(scores), scores["scores"], head)


def kind_of(scores: Mapping[str, Any]) -> RowKind:
    if scores["method"] == "ground_truth":
        return "ground_truth"
    if scores["setting"] in INFORMED:
        return "ceiling"
    if scores["method"] in ORACLES:
        return "oracle"
    if scores["method"] in BASELINES:
        return "baseline"
    return "external" if scores["kind"] == "external" else "measured"


def row_name(scores: Mapping[str, Any]) -> str:
    suffix = INFORMED.get(scores["setting"])
    return f"{scores['method']}, {suffix}" if suffix else scores["method"]


def quoted_rows(numbers: Mapping[str, Any], columns: Sequence[Column]) -> list[Row]:
    """Rows of a paper. Scores of a group of columns stand under the group's name."""
    rows = []
    for name, of in numbers.items():
        known: dict[str, Any] = {}
        for key, value in of.items():
            nested = value if isinstance(value, Mapping) else {"": value}
            known |= {f"{key}:{k}" if k else key: number for k, number in nested.items()}
        scores = {}
        for column in columns:
            value = known.get(column.key)
            if value is not None:
                scores[column.key] = Score(float(value))
            else:
                reason = "a dash in the paper" if column.key in known else NOT_QUOTED
                scores[column.key] = Score(None, reason)
        rows.append(Row(name, "quoted", scores))
    return rows


def quoted_lines(quoted: Mapping[str, Any]) -> list[str]:
    if not quoted:
        return []
    return [
        "quoted: the paper's own numbers, on other clips and another machine; not ranked with ours"
    ]


def hardware_lines(scores: Sequence[Mapping[str, Any]], made_with: Mapping[str, Any]) -> list[str]:
    """Mode, hardware, seed, commit and code: the conditions of every number above."""
    trained = [s for s in scores if kind_of(s) == "measured"]
    parts = []
    for label, key in (("mode", "mode"), ("trained on", "training_device"), ("seed", "seed")):
        values = names_of(trained, key)
        if values:
            parts.append(f"{label} {', '.join(map(str, values))}")
    parts.append(f"{made_with['cpu']}, {made_with['n_cores']} cores, GPU {made_with['gpu']}")
    parts.append(f"commit {made_with['commit']}, code {made_with['code_digest']}")
    return ["; ".join(parts)]


def face_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Renders in which a face was not found: their landmark scores are of the other frames."""
    return [
        f"{row_name(s)} on {s['clip']}: no face found in {s['n_faceless_frames']} of "
        f"{s['n_frames']} rendered frames; landmark scores are of the others, if any"
        for s in scores
        if s["n_faceless_frames"]
    ]


def rank_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """What bold means, what the errors are, and who takes no part."""
    blocks = sorted({s["block_frames"] for s in scores if s.get("block_frames")})
    lines = []
    if blocks:
        lengths = f"{blocks[0]}" if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"
        lines.append(
            f"± one standard error over the frames scored (bootstrap of blocks of {lengths} "
            "frames, since neighbours are alike; of one training, not between trainings or clips); "
            f"bold: the best and all within {TIE_ERRORS} standard errors of the difference, "
            "which is taken frame by frame where the score is a mean over frames"
        )
    lines += [
        f"{name}: an oracle (sees the test frames' landmarks), not ranked"
        for name in names_of([s for s in scores if kind_of(s) == "oracle"], "method")
    ]
    for method, head in dict.fromkeys(
        (s["method"], s["head_of"]) for s in scores if s.get("head_of")
    ):
        if method != head:
            lines.append(
                f"{method}: has the head of {head}, so the two are not ranked against each other "
                "by scores of face, lips or voice"
            )
    return lines


def left_out_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Frames that are not scored since the person is not in view."""
    most: dict[str, tuple[int, int]] = {}
    for s in scores:
        if s.get("n_left_out") and s["setting"] == "self_driven":
            most[s["clip"]] = (s["n_left_out"], s["n_frames"])
    return [
        f"{clip}: {n} frames beside the {n_scored} scored ones left out: the person is not in view"
        for clip, (n, n_scored) in most.items()
    ]


def backend_lines(scores: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[str]:
    """One line: which program measured which columns."""
    headings: dict[str, list[str]] = {}
    for column in columns:
        # Wall clocks differ by row (device, stages); the column's explanation says what they are.
        if column.key in ("training_hours", "ms_per_frame"):
            continue
        found = [s["scores"][column.key] for s in scores if column.key in s["scores"]]
        backends = " | ".join(sorted({f["backend"] for f in found if f["backend"]}))
        if backends:
            headings.setdefault(backends, []).append(column.heading)
    parts = [f"{', '.join(names)}: {backends}" for backends, names in headings.items()]
    return [f"backends: {'; '.join(parts)}"] if parts else []


def explain(columns: Sequence[Column]) -> list[str]:
    found = [EXPLANATIONS[column.key] for column in columns if column.key in EXPLANATIONS]
    return ["; ".join(found)] if found else []


def footers_of(
    columns: Sequence[Column],
    scores: Sequence[Mapping[str, Any]],
    conditions: Sequence[str],
    unranked: Sequence[str] = (),
) -> list[str]:
    """What stands below a table: what its columns are, who is ranked, conditions, programs."""
    ranked = [*unranked, *rank_lines(scores)]
    return [*explain(columns), *ranked, *conditions, *backend_lines(scores, columns)]


def names_of(scores: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Distinct values of an entry, in order."""
    return list(dict.fromkeys(s[key] for s in scores if s.get(key) is not None))


def write_tables(tables: Sequence[Table], outputs: Mapping[str, str]) -> None:
    """Write a table and its parts in each form for which there is a path: tsv, md, tex."""
    forms = {
        "tsv": lambda: to_tsv(tables),
        "md": lambda: "\n".join(map(to_markdown, tables)),
        "tex": lambda: "\n".join(map(to_latex, tables)),
    }
    for form, path in outputs.items():
        write(path, forms[form]())


def write(path: str, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text)


def read_quoted(path: str) -> dict[str, Any]:
    return yaml.safe_load(Path(path).read_text())
