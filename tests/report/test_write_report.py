"""The page as a browser sees it: offline, playing, sorting, without a complaint."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT
from tests.report.chromium import CHROMIUM, Page
from tests.report.conftest import video_score
from wildtalker_core.media.image import write_image
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.metrics.tables import Table
from workflow_scripts.report import tabulate_robustness, write_report
from workflow_scripts.report.tabulate import Found, Tables, build_tables
from workflow_scripts.report.write_report import Media, page_sections
from workflow_scripts.run_times import runtime_tables
from workflow_scripts.score_tables import read_quoted

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def report(tmp_path, video_scores, speech_scores, made_with):
    """A whole page with a two-second video."""
    soundfile.write(tmp_path / "s.wav", 0.1 * np.sin(np.arange(32000) / 5), 16000)
    with VideoWriter(tmp_path / "v.mp4", 25, tmp_path / "s.wav") as video:
        for i in range(50):
            video.append(np.full((64, 64, 3), 5 * i, np.uint8))
    write_image(tmp_path / "p.png", np.full((40, 60, 3), 99, np.uint8))
    (tmp_path / "train_head.wildtalker.tsv").write_text(
        HEADER + "61.5\t0:01:01\t812\t1\t1\t1\t1\t1\t90\t110.2\n"
    )
    (tmp_path / "short.tsv").write_text(HEADER + "0.1\t0:00:00\tNA\tNA\tNA\tNA\t0\t0\tNA\tNA\n")
    tables = build_tables(
        Found(video_scores, {}, speech_scores),
        read_quoted(str(ROOT / "config" / "paper_numbers.yaml")),
        made_with,
    )
    video, picture = (
        Media(str(tmp_path / "v.mp4"), "a <video>"),
        Media(str(tmp_path / "p.png"), "p"),
    )
    media = {
        "portraits": [video], "figure3": [picture], "motion": [picture],
        "robustness": [picture, video],
    }  # fmt: skip
    strengths = {"spoiled_0": 0, "spoiled_100": 100}
    robustness = tabulate_robustness.build_tables(
        [video_score(clip, "ours", "self_driven", 30.0) for clip in strengths],
        strengths,
        made_with,
    )
    benchmarks = {"anna": sorted(map(str, tmp_path.glob("*.tsv")))}
    path = tmp_path / "report.html"
    sections = page_sections(
        tables,
        made_with,
        media,
        runtime_tables(benchmarks),
        {"weights/alexnet.pth": "abc"},
        robustness,
    )
    write_report.main(str(path), "WildTalker: anna, bert", "lead", sections)
    return path


def test_media_of_a_section_that_is_not_there_are_no_loss_without_a_word(made_with):
    empty = Table("t", (), ())
    tables = Tables(*([empty] for _ in fields(Tables)))
    with pytest.raises(KeyError, match="self_driven"):
        page_sections(tables, made_with, {"self_driven": [Media("v.mp4", "v")]}, (), {})
    assert page_sections(tables, made_with, {"portraits": [Media("v.mp4", "v")]}, (), {})


def test_nothing_is_fetched_by_the_text(report):
    text = report.read_text()
    addresses = re.findall(r'(?:src|href)\s*=\s*"([^"]+)"', text)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "a &lt;video&gt;" in text, "captions are escaped"
    assert "weights: weights/alexnet.pth" in text and "sha256 abc" in text
    for words in ("digest of the code", "digest of the config", "torch 2.13.0", "strength 100 %"):
        assert words in text, words
    assert "NA" not in re.sub("<[^>]*>", "", text.split("Run times")[2]), "no value is n/a, not NA"


@pytest.fixture
def page(report, tmp_path):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    opened = Page(report, tmp_path / "profile")
    yield opened
    opened.close()


def test_page_in_a_browser(page):
    """One browser for all of it: starting one costs seconds."""
    column = """[...document.querySelector('table').tBodies[0].rows].map(
        row => row.cells[0].textContent + ' ' + row.cells[1].textContent)"""
    before = page.evaluate(column)
    click = "document.querySelectorAll('table thead th')[1].querySelector('button').click()"
    page.evaluate(click)
    values = [float(line.split()[-1]) for line in page.evaluate(column)]
    assert values == sorted(values, reverse=True), "higher is better: best first"
    assert sorted(page.evaluate(column)) == sorted(before), "no row is lost"
    page.evaluate(click)
    values = [float(line.split()[-1]) for line in page.evaluate(column)]
    assert values == sorted(values)
    # LPIPS: nothing was measured, so the quoted values lead and n/a stays at the end, either way.
    click = click.replace("[1]", "[2]")
    for _ in range(2):
        page.evaluate(click)
        cells = page.evaluate(column.replace("cells[1]", "cells[2]"))
        is_absent = [" n/a" in cell for cell in cells]
        assert is_absent == sorted(is_absent)

    # Every table of the page can be sorted, not only the first.
    heads = "[...document.querySelectorAll('table')].map(t => t.querySelectorAll('th')[1])"
    page.evaluate(f"{heads}.forEach(head => head.querySelector('button').click())")
    assert all(page.evaluate(f"{heads}.map(head => head.hasAttribute('aria-sort'))"))

    n_videos = page.evaluate("document.querySelectorAll('video').length")
    assert n_videos == 2
    ready = page.evaluate("""Promise.all([...document.querySelectorAll('video')].map(
        video => video.readyState >= 1 ? video.videoWidth : new Promise(resolve =>
            video.addEventListener('loadedmetadata', () => resolve(video.videoWidth)))))""")
    assert ready == [64, 64], "each can be played"
    played = page.evaluate("""(async () => {
        const video = document.querySelector('video');
        video.muted = true;
        await video.play();
        await new Promise(resolve => setTimeout(resolve, 1500));
        return {time: video.currentTime, width: video.videoWidth, error: video.error,
                has_sound: video.webkitAudioDecodedByteCount > 0};
    })()""")
    assert played["time"] > 0.3 and played["width"] == 64 and played["error"] is None
    assert played["has_sound"]
    pictures = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    assert pictures and all(pictures)

    assert page.errors == []
    outside = [url for url in page.requests if not url.startswith(("file:", "data:"))]
    assert outside == []
    assert sum(url.startswith("file:") for url in page.requests) == 1, "the page itself alone"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_browser_would_notice(tmp_path):
    """A page that breaks each promise is caught at each: the test above can fail."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><link rel=icon href='data:,'><img src='http://outside.invalid/x.png'>"
        "<script>console.error('a complaint'); throw new Error('an exception')</script>"
    )
    page = Page(bad, tmp_path / "profile")
    try:
        page.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
        assert "http://outside.invalid/x.png" in page.requests
        assert any("a complaint" in error for error in page.errors)
        assert any("an exception" in error for error in page.errors)
    finally:
        page.close()
