"""Wav files whose header has a wrong length: speech written to a stream, killed recorders."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

from wildtalker_core.media.files import AnyPath

#: From here on a length is a program's word for "unknown", not a length.
_UNKNOWN = 0x7FFF0000

#: Chunks that may follow sound; behind a length of 0 they show that it is meant.
_TRAILERS = {b"LIST", b"id3 ", b"ID3 ", b"bext", b"fact", b"cue ", b"smpl", b"iXML", b"JUNK"}


@dataclass(frozen=True)
class _Data:
    """The chunk of samples: where its length stands, where it begins, what the header says."""

    length_at: int
    start: int
    promised: int
    bytes_per_second: int
    block_bytes: int


def open_mended(path: AnyPath) -> tuple[io.BufferedReader, str | None]:
    """A file to read sound from, and a line on what was wrong with its header (None: nothing).

    A wav whose header promises nothing, or more than there is, reads as one of the length that is
    there. Anything else reads as it is.
    """
    path = Path(path)
    n_bytes = path.stat().st_size
    with open(path, "rb") as file:
        data = _find_data(file)
        following = b"" if data is None else file.read(4)
    if data is None:
        return open(path, "rb"), None
    there = n_bytes - data.start
    is_zero = data.promised == 0 and there > 0 and following not in _TRAILERS
    if data.promised <= there and not is_zero:
        return open(path, "rb"), None
    there -= there % max(data.block_bytes, 1)
    seconds = there / max(data.bytes_per_second, 1)
    if is_zero:
        wrong = "its header says 0 samples"
    elif data.promised >= _UNKNOWN:
        wrong = "its header does not say how long it is"
    else:
        wrong = f"it is cut off: its header says {data.promised / data.bytes_per_second:.2f} s"
    mended = {4: n_bytes - 8, data.length_at: there}
    file = io.BufferedReader(_Patched(path, mended))
    return file, f"{wrong}; the {seconds:.2f} s that are there are taken"


def _find_data(file: io.BufferedReader) -> _Data | None:
    if file.read(4) != b"RIFF" or file.seek(8) != 8 or file.read(4) != b"WAVE":
        return None
    bytes_per_second = block_bytes = 0
    while len(head := file.read(8)) == 8:
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        at = file.tell()
        if name == b"data":
            return _Data(at - 4, at, length, bytes_per_second, block_bytes)
        if name == b"fmt ":
            body = file.read(16)
            if len(body) == 16:
                bytes_per_second, block_bytes = struct.unpack("<8xIH2x", body)
        file.seek(at + length + length % 2)
    return None


class _Patched(io.RawIOBase):
    """A file with other 32-bit numbers (little endian) at some places."""

    def __init__(self, path: Path, numbers: dict[int, int]) -> None:
        self._file = open(path, "rb")
        self.name = str(path)
        self._bytes = {
            at + i: byte
            for at, number in numbers.items()
            for i, byte in enumerate(struct.pack("<I", min(number, 0xFFFFFFFE)))
        }

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # gets no other
        at = self._file.tell()
        n_read = self._file.readinto(buffer) or 0
        for place, byte in self._bytes.items():
            if at <= place < at + n_read:
                buffer[place - at] = byte
        return n_read

    def close(self) -> None:
        self._file.close()
        super().close()
