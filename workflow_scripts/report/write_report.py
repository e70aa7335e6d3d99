"""Everything a run has made → one page that works offline."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from wildtalker_core.media.files import atomic_path, load_json
from wildtalker_core.metrics.table_forms import to_html
from wildtalker_core.metrics.tables import Table
from workflow_scripts.job import job
from workflow_scripts.provenance import file_digest
from workflow_scripts.report import tabulate_robustness
from workflow_scripts.report.tabulate import Found, Tables, build_tables
from workflow_scripts.run_times import runtime_tables
from workflow_scripts.score_tables import read_quoted
from workflow_scripts.weight_inputs import read_tried

TEMPLATE = Path(__file__).with_name("report.html.j2")
MIME_TYPES = {".png": "image/png", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class Media:
    """A picture or video of the page. path: png or mp4."""

    path: str
    caption: str

    @property
    def uri(self) -> str:
        """The file itself as a data URI."""
        content = base64.b64encode(Path(self.path).read_bytes()).decode()
        return f"data:{MIME_TYPES[Path(self.path).suffix]};base64,{content}"


@dataclass(frozen=True)
class Section:
    """One heading of the page and what stands below it, in this order."""

    key: str
    title: str
    text: str = ""
    videos: Sequence[Media] = ()
    tables: Sequence[Markup] = ()
    folded_title: str = ""
    folded_tables: Sequence[Markup] = ()
    pictures: Sequence[Media] = ()
    facts: Sequence[tuple[str, str]] = ()


#: What stands on the page whatever was run, from the result to its conditions.
SECTIONS = (
    Section(
        "portraits",
        "Portraits on the test frames",
        "Every method speaks the part of the clip that it was not trained on, side by side, "
        "with the clip's sound. Click a heading to sort by it, best first.",
        folded_title="Differences between rows, and tables of the single clips",
    ),
    Section("lips", "Lips of the head", folded_title="Tables of the single clips"),
    Section(
        "robustness",
        "Robustness",
        "A clean clip, spoiled more and more with hands in front and noise under the voice. "
        "Every method is trained on the spoiled clip and scored against the clean one.",
    ),
    Section("figure3", "Figure 3: the same frames, mouths enlarged"),
    Section("driven", "Driven by other speech", folded_title="Tables of the single recordings"),
    Section("speech", "Speech enhancement", folded_title="Tables of the single recordings"),
    Section(
        "motion",
        "What the pipeline saw",
        "Parsing, motion beyond the rigid motion of head and torso, the transient mask "
        "accumulated from it (Eq. 4), and the frames with hands removed.",
    ),
    Section("training", "Training"),
    Section(
        "runtimes",
        "Run times",
        "Wall clock and largest memory of each rule that works long, as Snakemake measured "
        "them; runs side by side share the machine's cores.",
    ),
    Section("provenance", "Provenance", "The conditions of every number on this page."),
)


def main(report_path: str, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page; nothing in it is fetched from anywhere."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    page = environment.from_string(TEMPLATE.read_text()).render(
        title=title,
        lead=lead,
        sections=[s for s in sections if s.videos or s.tables or s.pictures or s.facts],
    )
    with atomic_path(report_path) as partial:
        partial.write_text(page)


def page_sections(
    tables: Tables,
    made_with: Mapping[str, Any],
    media: Mapping[str, Sequence[Media]],
    runtimes: Sequence[Table],
    weights: Mapping[str, str],
    robustness: Sequence[Table] = (),
) -> list[Section]:
    """``SECTIONS`` with what was made.

    Args:
        media: pictures and videos by the key of their section.
        weights: digest by path of each foreign weights file that was used.
        robustness: of :func:`tabulate_robustness.build_tables`, or none.

    Raises KeyError: something for a section that the page has not, and which would be lost.
    """
    portraits = (tables.table1, tables.more, tables.movement)
    shown: dict[str, list[Table]] = {
        "portraits": [of[0] for of in portraits],
        "lips": tables.table2[:1],
        "robustness": list(robustness),
        "driven": tables.driven[:1],
        "speech": tables.table3[:1],
        "runtimes": list(runtimes),
    }
    folded: dict[str, list[Table]] = {
        "portraits": [*tables.differences, *(table for of in portraits for table in of[1:])],
        "lips": tables.table2[1:],
        "driven": tables.driven[1:],
        "speech": tables.table3[1:],
    }
    if lost := {*media, *shown, *folded} - {section.key for section in SECTIONS}:
        raise KeyError(f"the page has no section {', '.join(sorted(lost))}")
    return [
        replace(
            section,
            videos=[m for m in media.get(section.key, ()) if m.path.endswith(".mp4")],
            tables=list(map(as_html, shown.get(section.key, ()))),
            folded_tables=list(map(as_html, folded.get(section.key, ()))),
            pictures=[m for m in media.get(section.key, ()) if not m.path.endswith(".mp4")],
            facts=provenance_facts(made_with, weights) if section.key == "provenance" else (),
        )
        for section in SECTIONS
    ]


def as_html(table: Table) -> Markup:
    """Safe: ``to_html`` escapes whatever comes from outside."""
    return Markup(to_html(table))


def provenance_facts(
    made_with: Mapping[str, Any], weights: Mapping[str, str]
) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in made_with["versions"].items())
    return [
        ("commit", f"{made_with['commit']} (+ means: with local changes)"),
        ("digest of the code", made_with["code_digest"]),
        ("digest of the config", made_with["config_digest"]),
        ("machine", f"{made_with['cpu']}, {made_with['n_cores']} cores; GPU {made_with['gpu']}"),
        ("system", f"{made_with['system']}, Python {made_with['python']}"),
        ("packages", versions),
        *((f"weights: {name}", f"sha256 {digest}…") for name, digest in weights.items()),
    ]


def lead_line(tables: Tables, first_method: str) -> str:
    """The result in one sentence."""
    table = tables.table1[0]
    found = [row for row in table.rows if row.name == first_method and row.kind != "quoted"]
    if not found:
        return f"{len(table.rows)} rows."
    known = {
        column.heading: f"{found[0].scores[column.key].value:.{column.n_digits}f}"
        for column in table.columns
        if found[0].scores[column.key].value is not None
    }
    return f"{first_method}: " + ", ".join(f"{name} {value}" for name, value in known.items()) + "."


def portrait_media(path: str) -> Media:
    """A rendered video by itself, at its own size: {clip}/render/{method}/{setting}.mp4."""
    clip, _, method, setting = Path(path).with_suffix("").parts[-4:]
    return Media(path, f"{clip}, {setting}: {method} alone, as rendered")


def read_media(paths: Sequence[str], caption: str) -> list[Media]:
    """One caption for all, each with its file's stem in front: ``astronaut.self_driven: ...``."""
    return [Media(path, f"{Path(path).stem.replace('.', ', ')}: {caption}") for path in paths]


if __name__ == "__main__":
    with job(snakemake):
        given, params = snakemake.input, snakemake.params
        tables = build_tables(
            Found.read(given.video_scores, given.speech_scores, params.corrupted),
            read_quoted(given.paper) if params.options["has_quoted_rows"] else None,
            load_json(given.provenance),
        )
        portraits = [portrait_media(path) for path in given.portraits]
        driven = [media for media in portraits if "drive_" in Path(media.path).name]
        media = {
            "portraits": [
                *read_media(given.self_driven, "all methods side by side, with sound"),
                *(media for media in portraits if media not in driven),
            ],
            "driven": [
                *read_media(given.driven, "all methods side by side, with the driving speech"),
                *driven,
            ],
            "figure3": [Media(given.figure3, "Columns are methods, rows are test frames, from the "
                              "widest open mouth to the closed one.")],
            "robustness": [
                *(Media(path, "Scores against the strength of the spoiling.")
                  for path in [given.robustness] if path),
                *(Media(path, "What the pipeline saw of the most spoiled clip.")
                  for path in given.spoiled_overlay),
                *read_media(given.spoiled, "trained on the most spoiled clip, with sound"),
            ],
            "speech": read_media(given.speech, "spectrograms before and after denoising"),
            "motion": list(map(Media, given.overlays, params.clips)),
            "training": read_media(given.training, "losses over training steps"),
        }  # fmt: skip
        results_dir = Path(snakemake.output.report).parents[1]
        benchmarks = {
            clip: sorted(map(str, (results_dir / clip / "benchmarks").glob("*.tsv")))
            for clip in params.timed_clips
        }
        tried = [read_tried([path]) for path in given.tried]
        used = [*given.weights, *(found.path for found in tried if found.path)]
        weights = {path: file_digest(path) for path in used}
        main(
            snakemake.output.report,
            "WildTalker: " + ", ".join(params.clips),
            lead_line(tables, params.first_method),
            page_sections(
                tables,
                load_json(given.provenance),
                media,
                runtime_tables(benchmarks),
                weights,
                tabulate_robustness.build_tables(
                    [load_json(path) for path in given.robustness_scores],
                    params.strengths,
                    load_json(given.provenance),
                )
                if params.strengths
                else [],
            ),
        )
