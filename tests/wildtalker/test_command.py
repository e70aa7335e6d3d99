"""The command from a built wheel, in a clean environment that sees only the dependencies."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from wildtalker import cli
from wildtalker.commands import doctor
from wildtalker.commands.make import clip_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def output_of(command: list, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder of executables of an environment with the wheel and, by a path file, our packages."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    listed = output_of(["git", "ls-files", "-co", "--exclude-standard"], ROOT).splitlines()
    for name in listed:
        is_left_out = name.startswith(("examples/", "docs/pictures/", "tests/"))
        if not is_left_out and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip"]
    output_of([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--wheel-dir", folder, source], folder)  # fmt: skip
    venv.create(folder / "env", symlinks=True)
    scheme = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    bin_dir = Path(sysconfig.get_path("scripts", "venv", scheme))
    output_of([*pip, "--python", bin_dir / "python", "install", "--quiet", "--no-deps",
               "--no-index", "--force-reinstall", next(folder.glob("*.whl"))], folder)  # fmt: skip
    return bin_dir


def test_wheel_plans_the_workflow_in_any_folder(installed, tmp_path):
    """Snakefile, rules, schemas, presets and every script come from the wheel."""
    video = tmp_path / "my clip.mp4"
    video.symlink_to(ROOT / "examples" / "astronaut.mp4")
    plan = output_of([installed / "wildtalker", "make", video, "--preset", "smoke", "--size", "96",
                      "--plan"], tmp_path)  # fmt: skip
    assert "train_splats" in plan and "write_report" in plan
    config = yaml.safe_load((tmp_path / "results" / "my_clip.yaml").read_text())
    assert config["train"] == {"preset": "smoke"} and config["media"] == {"size_px": 96}
    where = output_of([installed / "python", "-c", "import wildtalker; print(wildtalker.__file__)"],
                      tmp_path)  # fmt: skip
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_wheel_has_every_data_file(installed):
    site = next((installed.parent / "lib").glob("python*/site-packages"))
    for pattern in ("rules/*.smk", "envs/*", "config/**/*.yaml", "workflow_scripts/**/*.py",
                    "docs/captions/*.rst"):  # fmt: skip
        for path in ROOT.glob(pattern):
            assert (site / "wildtalker" / "workflow" / path.relative_to(ROOT)).is_file(), path
    for path in (*(ROOT / "wildtalker_core").rglob("*.py"), *(ROOT / "wildtalker").rglob("*.*")):
        if path.suffix != ".pyc":
            assert (site / path.relative_to(ROOT)).is_file(), f"{path}: not in pyproject.toml"


def test_wheel_makes_the_first_stage(installed, tmp_path):
    """A rule's script runs from the wheel, with the core beside it."""
    (tmp_path / "me.yaml").write_text(
        yaml.safe_dump({
            "clips": {"me": {"path": str(ROOT / "examples" / "astronaut.mp4")}},
            "media": {"size_px": 96, "max_seconds": 4},
        })
    )  # fmt: skip
    site = next((installed.parent / "lib").glob("python*/site-packages"))
    output_of([installed / "python", "-m", "snakemake", "--cores", "1", "--configfile", "me.yaml",
               "--snakefile", site / "wildtalker/workflow/Snakefile",
               "results/me/media/manifest.json"], tmp_path)  # fmt: skip
    assert (tmp_path / "results/me/media/manifest.json").is_file()


def test_wheel_tells_a_failure_in_one_line(installed, tmp_path):
    """Snakemake's events are read by the logger plugin that the wheel carries."""
    (tmp_path / "bad.mp4").write_text("no video")
    done = subprocess.run([installed / "wildtalker", "make", "bad.mp4", "--cores", "1"],
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert any(line.endswith("media: extract_frames") for line in lines)
    assert lines[-1].startswith("error: bad.mp4: is not a readable video")


def test_doctor_has_a_line_for_each_part(installed, tmp_path):
    lines = output_of([installed / "wildtalker", "doctor"], tmp_path).splitlines()
    assert {"python", "disk", "gpu", "torch", "mediapipe"} <= {line.split()[1] for line in lines}
    assert all(line.split()[0] in ("ok", "absent") for line in lines)


def test_doctor_says_whether_something_speaks(monkeypatch):
    monkeypatch.delenv("WILDTALKER_VOICE", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert doctor.voice()[0] == "absent"
    monkeypatch.setenv("WILDTALKER_VOICE", "http://127.0.0.1:1/?key=secret")
    state, _, remark = doctor.voice()
    assert state == "ok" and "secret" not in remark


@pytest.mark.parametrize("name", ["starlette", "websockets"])
def test_a_page_without_its_server_is_one_line(capsys, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert cli.main(["live", "me.portrait"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name}") and error.count("\n") == 1


def test_a_missing_video_is_one_line(capsys):
    assert cli.main(["make", "nowhere.mp4"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: nowhere.mp4") and error.count("\n") == 1


@pytest.mark.parametrize(("file", "name"), [
    ("me.mp4", "me"), ("my clip.mov", "my_clip"), ("report.mp4", "clip_report"),
    ("_x.mp4", "clip__x"), ("spoiled_3.mkv", "clip_spoiled_3"), ("é.mp4", "clip__"),
])  # fmt: skip
def test_clip_names_are_what_the_schema_takes(file, name):
    assert clip_name(Path(file)) == name


def test_pins_are_the_locks():
    lines = "\n".join(path.read_text() for path in ROOT.glob("requirements*.lock")).splitlines()
    locked = {line.lower().replace("'", '"') for line in lines if "==" in line}
    extras = PROJECT["project"]["optional-dependencies"].values()
    for pin in [*PROJECT["project"]["dependencies"], *sum(extras, [])]:
        assert pin.lower().replace("'", '"') in locked
