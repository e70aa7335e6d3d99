"""Table 3 on folders of pairs: layout, rates, missing files, means and intervals."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import soundfile

from wildtalker_core.errors import InputError
from wildtalker_core.speech.options import DenoiserOptions, Made
from workflow_scripts.evaluate import score_speech_pairs
from workflow_scripts.evaluate.options import SpeechPairs
from workflow_scripts.report import tabulate_pairs
from workflow_scripts.speech import denoise
from workflow_scripts.speech.denoise_speech import main as denoise_file

RATE_HZ = 16000
OPTIONS = DenoiserOptions(scales=[[512, 128, 512], [1024, 256, 1024]])
MADE_WITH = {
    "cpu": "a CPU", "n_cores": 1, "gpu": "none", "commit": "abc", "code_digest": "def",
}  # fmt: skip
NAMES = ("p232_005", "p232_014", "p287_005")


@pytest.fixture(scope="module")
def folders(shared_data, tmp_path_factory):
    """Three real pairs laid out as VoiceBank-DEMAND is."""
    root = tmp_path_factory.mktemp("pairs")
    for ours, theirs in (("clean_testset_wav", "clean"), ("noisy_testset_wav", "noisy")):
        (root / ours).mkdir()
        for name in NAMES:
            source = shared_data / "speech" / "pairs" / theirs / f"{name}.wav"
            (root / ours / f"{name}.wav").write_bytes(source.read_bytes())
    return root


def run(folders, path, enhancer, external=None, n_processes=1):
    score_speech_pairs.main(
        str(folders / "clean_testset_wav"),
        str(folders / "noisy_testset_wav"),
        external and str(external),
        str(path),
        enhancer,
        OPTIONS,
        n_processes,
    )
    return tabulate_pairs.read_scores(str(path))


def test_processes_change_nothing_and_files_are_paired_by_name(folders, tmp_path):
    alone, _ = run(folders, tmp_path / "a.tsv", "mss")
    together, notes = run(folders, tmp_path / "b.tsv", "mss", n_processes=2)
    assert alone == together and list(alone) == [f"{name}.wav" for name in NAMES] and not notes
    assert set(alone["p232_005.wav"]) == set(score_speech_pairs.SCORES)


def test_a_denoiser_and_its_finished_files_score_the_same(folders, tmp_path):
    """`external` takes what `mss` wrote; one file less is noted and makes its own part."""
    made, _ = run(folders, tmp_path / "mss.tsv", "mss")
    noisy, _ = run(folders, tmp_path / "none.tsv", "none")
    for name in NAMES[:2]:
        source = folders / "noisy_testset_wav" / f"{name}.wav"
        denoise_file(str(source), str(tmp_path / "ext" / f"{name}.wav"), "mss", OPTIONS, None, None)
    found, notes = run(folders, tmp_path / "ext.tsv", "ours_again", tmp_path / "ext")
    for name in (f"{n}.wav" for n in NAMES[:2]):
        for key, value in made[name].items():
            assert found[name][key] == pytest.approx(value, abs=0.05), key  # 16 bits
        assert noisy[name]["pesq"] < made[name]["pesq"]
    assert found["p287_005.wav"] == {} and list(notes) == ["p287_005.wav"]

    tables = tabulate_pairs.build_tables(
        {"none": noisy, "mss": made, "ours_again": found},
        {"none": {}, "mss": {}, "ours_again": notes},
        ["ours_again"],
        {"table3": {"mss": {"pesq": 3.87}}},
        MADE_WITH,
    )
    rows = {row.name: row for row in tables[0].rows if row.kind != "quoted"}
    assert rows["ours_again"].scores["pesq"].value is None
    assert rows["mss"].scores["pesq"].value == pytest.approx(
        np.mean([scores["pesq"] for scores in made.values()])
    )
    assert [row.name for row in tables[0].rows if row.kind == "quoted"] == ["mss"]
    same_files = {row.name: row for row in tables[-1].rows}
    assert tables[-1].part == "the 2 files of ours_again"
    assert same_files["noisy"].scores["pesq"].value == pytest.approx(
        np.mean([noisy[f"{name}.wav"]["pesq"] for name in NAMES[:2]])
    )


def test_written_tables_hold_mean_and_ends(folders, tmp_path):
    run(folders, tmp_path / "none.tsv", "none")
    outputs = {kind: str(tmp_path / f"table.{kind}") for kind in ("tsv", "md", "tex")}
    tabulate_pairs.main([str(tmp_path / "none.tsv")], ["none"], [], None, MADE_WITH, outputs)
    lines = (tmp_path / "table.tsv").read_text().splitlines()
    keys = lines[0].split("\t")
    by_part = {
        cells[2]: float(cells[keys.index("pesq")])
        for cells in (line.split("\t") for line in lines[1:4])
    }
    assert by_part["lower end"] < by_part["mean"] < by_part["upper end"]
    assert "3 pairs" in (tmp_path / "table.md").read_text()
    assert r"\begin{tabular}" in (tmp_path / "table.tex").read_text()


def test_other_rates_are_brought_to_16_khz(folders, tmp_path):
    """VoiceBank-DEMAND comes at 48 kHz; its scores must be those of the same files at 16 kHz."""
    scipy_signal = pytest.importorskip("scipy.signal")
    for kind in ("clean_testset_wav", "noisy_testset_wav"):
        (tmp_path / kind).mkdir()
        waveform, _ = soundfile.read(folders / kind / "p232_005.wav")
        soundfile.write(
            tmp_path / kind / "p232_005.wav",
            scipy_signal.resample_poly(waveform, 3, 1),
            48000,
            subtype="FLOAT",
        )
    high, _ = run(tmp_path, tmp_path / "high.tsv", "none")
    low, _ = run(folders, tmp_path / "low.tsv", "none")
    for key, tolerance in (("pesq", 0.05), ("stoi", 0.005), ("si_sdr_db", 0.1)):
        assert high["p232_005.wav"][key] == pytest.approx(low["p232_005.wav"][key], abs=tolerance)


def test_folders_that_do_not_pair(tmp_path):
    arguments = (str(tmp_path / "s.tsv"), "none", OPTIONS)
    with pytest.raises(InputError, match="names no recordings"):
        score_speech_pairs.main(None, None, None, *arguments)
    for kind in ("clean", "noisy"):
        (tmp_path / kind).mkdir()
    folders = (str(tmp_path / "clean"), str(tmp_path / "noisy"), None)
    with pytest.raises(InputError, match="holds no wav"):
        score_speech_pairs.main(*folders, *arguments)
    soundfile.write(tmp_path / "noisy/b.wav", np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(InputError, match=r"b\.wav.*no partner"):
        score_speech_pairs.main(*folders, *arguments)
    soundfile.write(tmp_path / "clean/b.wav", np.ones(2 * RATE_HZ), RATE_HZ)
    with pytest.raises(InputError, match="16000 samples"):
        score_speech_pairs.main(*folders, *arguments)
    assert not (tmp_path / "s.tsv").exists()


def test_a_file_without_a_score_counts_for_no_row():
    """PESQ finds no utterance in one denoised file: its row must not gain by that."""
    full = {"a": {"pesq": 2.0}, "b": {"pesq": 1.0}}
    lacking = {"a": {"pesq": 3.0}, "b": {}}
    rows = tabulate_pairs.rows_of(
        {"none": full, "mss": lacking}, ["a", "b"], [], tabulate_pairs.mean
    )
    assert [row.scores["pesq"].value for row in rows] == [2.0, 3.0]
    assert rows[0].scores["stoi"].value is None


def test_interval_is_that_of_the_mean():
    """For many files the bootstrap's interval is the normal one, 1.96 standard errors."""
    values = np.random.default_rng(0).normal(2.0, 0.5, 400)
    lower, upper = tabulate_pairs.interval(values)
    error = 1.96 * values.std() / math.sqrt(400)
    assert (values.mean() - lower) == pytest.approx(error, rel=0.06)
    assert (upper - values.mean()) == pytest.approx(error, rel=0.06)
    assert tabulate_pairs.interval(np.full(5, 3.0)) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("suffix", "rate_hz", "n_channels", "subtype", "written"),
    [
        ("wav", 44100, 2, "FLOAT", "FLOAT"),
        ("wav", 8000, 1, "PCM_24", "PCM_24"),
        ("flac", 48000, 2, "PCM_16", "PCM_16"),
        ("ogg", 22050, 1, "VORBIS", "PCM_16"),
    ],
)
def test_denoise_keeps_rate_channels_format_and_length(
    tmp_path, suffix, rate_hz, n_channels, subtype, written
):
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.standard_normal((3 * rate_hz + 17, n_channels))
    path = tmp_path / f"talk.{suffix}"
    soundfile.write(path, noise, rate_hz, subtype=subtype)
    out = tmp_path / "denoised" / "talk.wav"
    denoise.main([str(path)], [str(out)], "mss", OPTIONS)
    before, after = soundfile.info(path), soundfile.info(out)
    assert (after.samplerate, after.channels, after.frames) == (
        rate_hz, n_channels, before.frames,
    )  # fmt: skip
    assert after.subtype == written
    given, left = (soundfile.read(p)[0] for p in (path, out))
    assert np.std(left) < 0.7 * np.std(given)


def test_denoise_without_a_recording_says_how():
    with pytest.raises(InputError, match="--config denoise"):
        denoise.main([], [], "mss", OPTIONS)


def test_rows_without_a_network_are_made_by_default():
    """A network is fetched for whoever asks for it."""
    assert set(SpeechPairs().denoisers) == set(get_args(Made)) - {"deepfilternet"}
