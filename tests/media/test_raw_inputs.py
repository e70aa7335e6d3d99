"""What comes from outside: odd names, folders, and files that another one has replaced."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.test_bad_inputs import assert_one_line, snakemake
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import decode_sound
from wildtalker_core.media.video import probe
from workflow_scripts import raw_inputs

EXAMPLE = ROOT / "examples" / "astronaut.mp4"
NAMES = ["10:30.mp4", "file:x.mp4", "a b.mp4", "50%d.mp4", "[1]*?.mp4", "-i.mp4", "é,;&'\".mp4"]


@pytest.mark.parametrize("name", NAMES)
def test_media_opens_any_name(tmp_path, name, monkeypatch):
    shutil.copy(EXAMPLE, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / name)):
        assert probe(path).width > 0
        assert len(decode_sound(path, 16000)) > 16000


def test_a_folder_is_named_as_one(tmp_path):
    for function in (probe, lambda path: decode_sound(path, 16000)):
        with pytest.raises(InputError, match="is a folder; name the file in it"):
            function(tmp_path)


def test_home_is_expanded_as_a_shell_does(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = {"clips": {"a": {"path": "~/v.mp4"}}, "x": ["~/b", "c~d", 3, None], "y": "~no-user/f"}
    expanded = raw_inputs.expand_home(config)
    assert expanded["clips"]["a"]["path"] == "/home/me/v.mp4"
    assert expanded["x"] == ["/home/me/b", "c~d", 3, None] and expanded["y"] == "~no-user/f"


@pytest.mark.parametrize(
    ("name", "words"),
    [("take {one}.mp4", ["braces", "config clips.me.path", "rename"]),
     ("folder", ["is a folder", "config clips.me.path"]),
     ("~/absent-video.mp4", ["/absent-video.mp4", "does not exist"])],
)  # fmt: skip
def test_one_line_before_anything_starts(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "take {one}.mp4")
    path = name if name.startswith("~") else str(tmp_path / name)
    config = {"clips": {"me": {"path": path}}, "train": {"preset": "smoke"}}
    status, terminal = snakemake(tmp_path, config, "me/media/manifest.json")
    assert_one_line(status, terminal, *words)
    assert "~/" not in terminal


def test_a_folder_is_wanted_for_external_videos(tmp_path):
    config = {
        "clips": {"me": {"path": str(EXAMPLE)}},
        "methods": {"theirs": {"kind": "external", "path": str(EXAMPLE)}},
    }
    status, terminal = snakemake(tmp_path, config, "me/media/manifest.json")
    assert_one_line(status, terminal, "is a file", "config methods.theirs.path")


def test_stamps_see_another_file_of_any_age(tmp_path):
    one = tmp_path / "a.mp4"
    one.write_bytes(b"12345")
    before = raw_inputs.stamp(str(tmp_path)), raw_inputs.stamp([str(one)])
    assert before == (raw_inputs.stamp(str(tmp_path)), raw_inputs.stamp(str(one)))
    os.utime(one, ns=(1, 10**18))
    older = raw_inputs.stamp(str(one))
    assert older != before[1]
    one.write_bytes(b"123456")
    os.utime(one, ns=(1, 10**18))
    assert raw_inputs.stamp(str(one)) != older
    assert raw_inputs.stamp("weights/face_landmarker.task") == []
    assert raw_inputs.stamp(str(tmp_path / "absent")) == []


def test_a_raw_video_replaced_by_an_older_one_is_made_again(tmp_path):
    """And by nothing, or by itself, it is not."""
    clip, hello = tmp_path / "10:30.mp4", tmp_path / "hello.wav"
    shutil.copy(EXAMPLE, clip)
    shutil.copy(ROOT / "examples" / "greeting.wav", hello)
    config = {
        "results_dir": str(tmp_path / "results"),
        "media": {"size_px": 64, "max_seconds": 2.0},
        "clips": {"me": {"path": str(clip)}},
        "drive": {"hello": str(hello)},
    }
    config_path = tmp_path / "config.yaml"
    config_path.write_text(yaml.safe_dump(config))
    targets = [
        str(tmp_path / "results" / "me" / part)
        for part in ("media/speech.wav", "speech/drive_hello/speech.wav")
    ]

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", *arguments,
             "--configfile", config_path, "--", *targets],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        return text

    run()
    assert "Nothing to be done" in run("-n")
    old = clip.stat().st_mtime_ns - 10**15
    replacement = tmp_path / "other.mp4"
    shutil.copy(EXAMPLE, replacement)
    os.utime(replacement, ns=(old, old))
    os.replace(replacement, clip)
    text = run("-n")
    assert "extract_frames" in text and "prepare_drive" not in text
    run()
    os.utime(hello, ns=(old, old))
    text = run("-n")
    assert "prepare_drive" in text and "extract_frames" not in text
