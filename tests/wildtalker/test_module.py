"""Other people's workflows with this one as a module: those of docs/module.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "module.md").read_text()
SNAKEFILE, STORAGE = re.findall(r"```python\n(.*?)```", PAGE, re.S)
CONFIG = re.search(r"```yaml\n(.*?)```", PAGE, re.S)[1]
ADDRESS = re.search(r"github\(.*\)", SNAKEFILE)[0]
#: What the run by remote address is given from the address: rules and scripts.
REMOTE = ("Snakefile", "workflow", "rules", "workflow_scripts", "envs", "docs/captions")


def snakemake(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Status and output of Snakemake in a consumer's folder, which no path of ours leads to."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [Path(sys.executable).parent / "snakemake", "--cores", "1", *arguments],
        cwd=folder, capture_output=True, text=True, env={**kept, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def write_consumer(folder: Path, snakefile: str) -> Path:
    (folder / "Snakefile").write_text(snakefile)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "film.mp4").symlink_to(ROOT / "examples" / "astronaut.mp4")
    return folder


@pytest.fixture
def consumer(tmp_path) -> Path:
    """The workflow of the page, with this checkout in the place of the address."""
    where = f'"{ROOT / "workflow" / "Snakefile"}"'
    return write_consumer(tmp_path, SNAKEFILE.replace(ADDRESS, where))


def test_its_rules_stand_between_those_of_a_consumer(consumer):
    status, output = snakemake(consumer)
    assert status == 0, output
    assert (consumer / "n_frames.txt").read_text().split() == ['"n_frames":', "100"]
    assert (consumer / "portraits/me/media/manifest.json").is_file()
    status, output = snakemake(consumer, "--dry-run")
    assert status == 0 and "Nothing to be done" in output, output


def test_everything_can_be_asked_for(consumer):
    status, output = snakemake(consumer, "--dry-run", "wildtalker_default")
    assert status == 0, output
    counts = dict(re.findall(r"^(\w+) +(\d+)$", output, re.M))
    assert counts["wildtalker_train_splats"] == "1"
    assert {"cut", "wildtalker_write_report", "wildtalker_pack_portrait"} <= counts.keys()
    assert not [name for name in counts if not name.startswith(("wildtalker_", "cut", "total"))]


def test_a_wrong_key_of_its_section_is_named(consumer):
    config = yaml.safe_load(CONFIG)
    config["wildtalker"]["mdeia"] = {}
    (consumer / "config.yaml").write_text(yaml.safe_dump(config))
    status, output = snakemake(consumer, "--dry-run")
    assert status == 1 and "did you mean media?" in output


@pytest.fixture
def hosted(tmp_path) -> Path:
    """The workflow of the page as it stands, and the address in Snakemake's own store of clones."""
    source, cache = tmp_path / "source", tmp_path / "cache"
    for name in REMOTE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, source / name)
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*who, "commit", "-qm", "all"],
        ["tag", "v0.1.0"],
    ):
        subprocess.run(["git", *command], cwd=source, check=True)
    clones = cache / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com"
    subprocess.run(["git", "clone", "-q", "--bare", source, clones / "you/wildtalker"], check=True)
    (tmp_path / "consumer").mkdir()
    return write_consumer(tmp_path / "consumer", SNAKEFILE)


def test_by_remote_address(hosted):
    """Rules and scripts come from the clone, everything else from the package."""
    cache = {"XDG_CACHE_HOME": str(hosted.parent / "cache")}
    status, output = snakemake(hosted, **cache, PYTHONPATH=str(ROOT))
    assert status == 0, output
    assert (hosted / "n_frames.txt").read_text().split() == ['"n_frames":', "100"]


def test_by_remote_address_without_the_package(hosted):
    cache = {"XDG_CACHE_HOME": str(hosted.parent / "cache")}
    status, output = snakemake(hosted, "--dry-run", **cache)
    assert status == 1 and 'pip install "wildtalker[workflow]"' in output


@pytest.fixture
def bucket():
    """Address of an S3 server on this machine, whose bucket `recordings` has the film me.mp4."""
    pytest.importorskip("snakemake_storage_plugin_s3")
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1",
                          aws_access_key_id="me", aws_secret_access_key="secret")  # fmt: skip
    client.create_bucket(Bucket="recordings")
    client.upload_file(ROOT / "examples" / "astronaut.mp4", "recordings", "me.mp4")
    yield address
    server.stop()


def test_a_recording_from_a_bucket(consumer, bucket):
    """The page's second Snakefile: its rule `cut` fetches the film."""
    text = (consumer / "Snakefile").read_text()
    local = re.search(r"rule cut:\n.*?\n\n\n", text, re.S)[0]
    (consumer / "Snakefile").write_text(text.replace(local, f"{STORAGE}\n\n"))
    (consumer / "film.mp4").unlink()
    keys = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "me", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret"}
    status, output = snakemake(consumer, "--config", f"endpoint_url={bucket}", **keys)
    assert status == 0, output
    film = (ROOT / "examples" / "astronaut.mp4").read_bytes()
    assert (consumer / "clips/me.mp4").read_bytes() == film


def test_weights_are_fetched_once_for_two_folders(tmp_path, shared_data):
    """`--cache`: the second folder is given a link to what the first one has proven."""
    cache = tmp_path / "cache"
    cache.mkdir()
    told = {"SNAKEMAKE_OUTPUT_CACHE": str(cache)}
    weights = "weights/face_landmarker.task"
    clips = {"clips": {"me": {"path": str(ROOT / "examples" / "astronaut.mp4")}}}
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "me.yaml").write_text(yaml.safe_dump(clips))
    (tmp_path / "first/weights").mkdir()
    shutil.copy(shared_data / weights, tmp_path / "first" / weights)
    command = [
        "--snakefile",
        ROOT / "Snakefile",
        "--cache",
        "--configfile",
        "me.yaml",
        "--",
        weights,
    ]
    status, output = snakemake(tmp_path / "first", "--forcerun", "fetch_weights", *command, **told)
    assert status == 0, output
    no_network = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    status, output = snakemake(tmp_path / "second", *command, **told, **no_network)
    assert status == 0 and "from cache" in output, output
    (kept,) = cache.iterdir()
    assert (tmp_path / "second" / weights).resolve() == kept
    assert kept.read_bytes() == (shared_data / weights).read_bytes()
