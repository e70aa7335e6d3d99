"""Locks, container files and Makefile agree, and imports do without what the lock leaves out."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.conftest import ROOT

LOCKS = {name: (ROOT / f"requirements{name}.lock").read_text() for name in ("", "-extra", "-test")}
_BLOCK = """
import sys
from importlib.machinery import PathFinder

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_absent = name.split(".")[0] in {names!r}
        return None if is_absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops
ensure_torchvision_ops()
{code}
"""


def name_of(line: str) -> str:
    """Name of a package in a line of a lock, as pip compares names."""
    return re.split("[=;]", line)[0].strip().lower().replace("_", "-")


def locked(*suffixes: str) -> set[str]:
    lines = [line for suffix in suffixes for line in LOCKS[suffix].splitlines()]
    return {name_of(line) for line in lines if "==" in line}


def modules_outside(*suffixes: str) -> set[str]:
    """Modules of this environment that none of the named locks brings."""
    allowed = {*locked(*suffixes), "pip", "setuptools"}
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not allowed & {name_of(owner) for owner in owners}
    }


def run_without(names: set[str], code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BLOCK.format(names=names, code=code)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "from librosa.filters import mel; assert mel(sr=16000, n_fft=400).shape == (128, 201)",
        "import noisereduce, lpips, simple_lama_inpainting, pandas",
        "from wildtalker_core.pretrained import mediapipe_models as models; "
        "models.backend() == 'litert' or __import__('mediapipe.tasks.python.vision')",
        "import snakemake.cli, snakemake.report, snakemake.persistence",
        "import tempfile; from torch.utils.tensorboard import SummaryWriter; "
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator; "
        "folder = tempfile.mkdtemp(); writer = SummaryWriter(folder); "
        "writer.add_scalar('loss', 2.0, 1); writer.close(); "
        "events = EventAccumulator(folder).Reload(); assert events.Scalars('loss')[0].value == 2",
    ],
)
def test_a_default_run_imports_without_the_other_locks(code):
    absent = modules_outside("")
    assert "ptlflow" in absent and "torch" not in absent
    run_without(absent, code)


def test_flow_networks_run_without_what_the_extra_lock_leaves_out():
    run_without(
        modules_outside("", "-extra"),
        "import ptlflow; from ptlflow.utils.io_adapter import IOAdapter; "
        "[ptlflow.get_model(name) for name in ('gmflow', 'raft_small')]",
    )


@pytest.mark.parametrize(
    ("package", "module", "call"),
    [
        ("ptlflow", "optical_flow", "PtlFlow('gmflow', 'x.pth', 'cpu')"),
        ("transformers", "audio_encoders", "load_hf_encoder('facebook/hubert-base-ls960', -1)"),
        ("onnxruntime", "audio_encoders", "load_deepspeech('requirements.lock')"),
        ("onnxruntime", "deepfilternet", "load_deepfilternet('requirements.lock')"),
    ],
)
def test_an_option_whose_package_is_absent_names_what_to_do(package, module, call):
    assert package in locked("-extra")
    run_without(
        {package},
        "from wildtalker_core.errors import InputError\n"
        f"from wildtalker_core.pretrained.{module} import *\n"
        f"try:\n    {call}\n"
        "except InputError as error:\n    assert 'make extra' in str(error)\n"
        "else:\n    raise AssertionError",
    )


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_no_package_stands_in_two_locks(python):
    lines = [line for text in LOCKS.values() for line in text.splitlines() if "==" in line]
    markers = [Marker(line.partition(";")[2] or "os_name != ''") for line in lines]
    held = [name_of(line) for line, marker in zip(lines, markers, strict=True)
            if marker.evaluate({"python_version": python})]  # fmt: skip
    assert len(held) == len(set(held)) > 100
    assert {"numpy", "scikit-image", "ai-edge-litert"} <= set(held)
    assert ("mediapipe" in held) == (python != "3.13")


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def is_ignored(name: str) -> bool:
    patterns = [x for x in (ROOT / ".dockerignore").read_text().splitlines() if x and x[0] != "#"]
    return any(fnmatch.fnmatch(name, x) or name.startswith(f"{x}/") for x in patterns)


def test_dockerfile_copies_what_there_is():
    steps = instructions(ROOT / "Dockerfile")
    assert [word for word, _ in steps if word == "FROM"] == ["FROM"]
    copied = [name for word, rest in steps if word == "COPY" for name in shlex.split(rest)[:-1]]
    assert {"Makefile", "requirements.lock", "envs/container.sh", "."} == set(copied)
    for name in copied:
        assert (ROOT / name).exists() and not is_ignored(name), name
    needed = ("pyproject.toml", "README.md", "Snakefile", "rules/train.smk", "docs/captions/a.rst",
              "wildtalker/cli.py", "wildtalker_core/errors.py", "workflow_scripts/job.py",
              "config/schema.yaml", "profiles/default/config.yaml")  # fmt: skip
    assert not [name for name in needed if is_ignored(name)]
    assert is_ignored(".venv/bin/python") and is_ignored("results/me") and is_ignored("a.sif")


def test_apptainer_takes_the_same_steps():
    text = (ROOT / "apptainer.def").read_text()
    sections = dict(re.findall(r"^%(\w+).*\n((?:    .*\n|\n)*)", text, re.M))
    for line in sections["files"].split("\n"):
        if line.strip():
            source, target = line.split()
            assert (ROOT / source).exists() and target == f"/opt/wildtalker/{source}"
    steps = instructions(ROOT / "Dockerfile")
    docker = [rest.replace('"${DEVICE}"', "{{ DEVICE }}") for word, rest in steps if word == "RUN"]
    assert [line.strip() for line in sections["post"].strip().splitlines()] == [
        "cd /opt/wildtalker",
        *docker,
    ]
    base = next(rest for word, rest in steps if word == "ARG" and rest.startswith("BASE="))
    assert f"From: {base.removeprefix('BASE=')}\n" in text


@pytest.mark.parametrize(("device", "has_own_index"), [("cpu", True), ("cuda", False)])
def test_container_step_is_the_makefiles_setup(tmp_path, device, has_own_index):
    """The step's own commands, with stand-ins for the system's: what would be installed."""
    stand_in = tmp_path / "apt-get"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/apt\n')
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]} exec make -n -B "$@"\n')
    remove = tmp_path / "rm"
    remove.write_text("#!/bin/sh\n")
    for file in (stand_in, make, remove):
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        ["sh", "envs/container.sh", device], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"gcc", "git", "make", "python3-venv"} <= set((tmp_path / "apt").read_text().split())
    torch = re.search(r"^torch==.*", LOCKS[""], re.M)[0]
    (command,) = [line for line in done.stdout.splitlines() if line.endswith(torch)]
    assert ("download.pytorch.org/whl/cpu" in command) == has_own_index
    assert "--no-deps --requirement requirements.lock" in done.stdout


def test_container_step_refuses_another_device():
    done = subprocess.run(
        ["sh", "envs/container.sh", "tpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "neither cpu nor cuda" in done.stderr


def test_rules_name_the_container():
    assert 'container: "wildtalker.sif"' in (ROOT / "Snakefile").read_text()
    assert "apptainer build wildtalker.sif" in (ROOT / "apptainer.def").read_text()


def test_conda_environment_is_the_locks(tmp_path):
    """Its script, with a stand-in for pip: torch with dependencies, then both locks without."""
    pip = tmp_path / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nfor last; do :; done\n'
                   f'[ -f "$last" ] && cp "$last" {tmp_path}/lock || true\n')  # fmt: skip
    pip.chmod(pip.stat().st_mode | stat.S_IXUSR)
    subprocess.run(["sh", ROOT / "envs/wildtalker.post-deploy.sh"], check=True,
                   env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})  # fmt: skip
    first, second = (tmp_path / "asked").read_text().splitlines()
    assert re.fullmatch(r"install --constraint \S+ torch==[\d.]+", first)
    assert second.startswith("install --no-deps --requirement")
    listed = sorted((tmp_path / "lock").read_text().splitlines())
    wanted = (line for name in ("", "-extra") for line in LOCKS[name].splitlines())
    assert listed == sorted(line for line in wanted if "==" in line), (
        "type: make envs/wildtalker.post-deploy.sh"
    )
