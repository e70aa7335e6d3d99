"""Fetching weights: proven content or nothing, and each mishap says what to do."""

from __future__ import annotations

import hashlib
import io
import os
import re
import urllib.error
from dataclasses import replace

import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained import weight_registry
from wildtalker_core.pretrained.weight_registry import REGISTRY, Weights, fetch, verify
from workflow_scripts.evaluate import fetch_weights

CONTENT = bytes(range(256)) * 9000
GIVEN = Weights("net.pth", "http://example.invalid/net.pth",
                hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "MIT", "tests")  # fmt: skip


class Breaking(io.BytesIO):
    """A connection that is reset after a megabyte."""

    def read(self, size: int = -1) -> bytes:
        if self.tell() > 1 << 20:
            raise ConnectionResetError("reset by peer")
        return super().read(size)


def left_behind(folder) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_good_download_is_whole(tmp_path):
    fetch(GIVEN, tmp_path / "weights/net.pth", lambda address: io.BytesIO(CONTENT))
    assert (tmp_path / "weights/net.pth").read_bytes() == CONTENT
    verify(GIVEN, tmp_path / "weights/net.pth")
    assert left_behind(tmp_path / "weights") == ["net.pth"]


def no_network(address):
    raise urllib.error.URLError("Name or service not known")


@pytest.mark.parametrize(
    ("open_address", "words"),
    [
        (no_network, r"cannot be fetched \(at once: Name or service.*copy net.pth from another"),
        (lambda address: Breaking(CONTENT), r"after \d+ bytes: reset by peer.*try again"),
        (lambda address: io.BytesIO(CONTENT[:-9]), r"interrupted after \d+ of \d+.*try again"),
        (lambda address: io.BytesIO(CONTENT[:-1] + b"!"), r"has sha256 .*fetch it again"),
    ],
    ids=["no network", "reset", "short", "another file"],
)
def test_each_mishap_says_what_to_do_and_leaves_nothing(tmp_path, open_address, words):
    with pytest.raises(InputError, match=words):
        fetch(GIVEN, tmp_path / "net.pth", open_address)
    assert left_behind(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(weight_registry, "atomic_path", refuse)
    with pytest.raises(InputError, match="cannot be written to .Permission denied.; make it"):
        fetch(GIVEN, tmp_path / "net.pth", lambda address: io.BytesIO(CONTENT))


def test_a_sum_known_in_part(tmp_path):
    short = replace(GIVEN, sha256=GIVEN.sha256[:8], size_bytes=None)
    fetch(short, tmp_path / "net.pth", lambda address: io.BytesIO(CONTENT))
    with pytest.raises(InputError, match="sha256"):
        verify(replace(short, sha256="00000000"), tmp_path / "net.pth")


def test_registry_is_complete():
    for name, weights in REGISTRY.items():
        assert name == weights.file == weights.address.rsplit("/", 1)[1]
        assert re.fullmatch("[0-9a-f]{8}|[0-9a-f]{64}", weights.sha256)
        in_name = re.search(r"-([0-9a-f]{8})\.", name)
        assert in_name is None or weights.sha256.startswith(in_name[1])
        assert weights.licence and weights.purpose


def test_face_landmarker_is_the_shared_one(shared_data):
    verify(REGISTRY["face_landmarker.task"], shared_data / "weights/face_landmarker.task")


def test_unknown_file_names_the_known(tmp_path):
    with pytest.raises(InputError, match=r"use one of: alexnet-owt"):
        fetch_weights.main(str(tmp_path / "resnet.pth"))
