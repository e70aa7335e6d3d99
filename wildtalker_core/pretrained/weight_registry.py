"""Every foreign weights file that WildTalker can use: where it comes from and how it is proven.

Nothing here is needed by the default run. A file is fetched once, by ``snakemake weights/{file}``,
checked against its sum, and named in the config; on a machine without network it is copied to
``weights/`` by hand. Files are read as data, never run.
"""

from __future__ import annotations

import errno
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import atomic_path

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Weights:
    """One file.

    Attributes:
        file: its name under ``weights/``.
        address: where it is published.
        sha256: of the content, hexadecimal; the first digits only where the publisher gives no
            more (torch's own hub checks files by the eight digits in their names).
        size_bytes: None where it is not known.
        licence: of the weights, which may differ from their code's.
        purpose: what they are for, with the config key that names the file.
    """

    file: str
    address: str
    sha256: str
    size_bytes: int | None
    licence: str
    purpose: str


_FLOW_RELEASE = "https://github.com/hmorimitsu/ptlflow/releases/download/weights1"

REGISTRY = {
    weights.file: weights
    for weights in (
        Weights(
            "alexnet-owt-7be5be79.pth",
            "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            "7be5be79",
            None,
            "BSD-3-Clause (torchvision); trained on ImageNet",
            "backbone of LPIPS: evaluate.lpips_weights",
        ),
        Weights(
            "vgg16-397923af.pth",
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            "397923af",
            None,
            "BSD-3-Clause (torchvision); trained on ImageNet",
            "backbone of LPIPS with lpips_net: vgg: evaluate.lpips_weights",
        ),
        Weights(
            "syncnet_v2.model",
            "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            None,
            "none stated by its authors (University of Oxford); research use",
            "LSE-C and LSE-D: evaluate.syncnet_weights",
        ),
        Weights(
            "face_landmarker.task",
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/"
            "float16/1/face_landmarker.task",
            "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            3758596,
            "Apache-2.0 (Google)",
            "blendshapes: face.face_landmarker_path, evaluate.blendshape_model",
        ),
        Weights(
            "big-lama.pt",
            "https://github.com/enesmsahin/simple-lama-inpainting/releases/download/v0.1.0/"
            "big-lama.pt",
            "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
            205669692,
            "Apache-2.0 (LaMa)",
            "hand removal with motion.inpaint: lama: motion.lama_weights_path",
        ),
        Weights(
            "gmflow-things-5a18a9e8.ckpt",
            f"{_FLOW_RELEASE}/gmflow-things-5a18a9e8.ckpt",
            "5a18a9e8",
            None,
            "Apache-2.0 (GMFlow)",
            "flow with motion.flow: ptlflow, the paper's network: motion.flow_weights_path",
        ),
    )
}

OpenAddress = Callable[[str], IO[bytes]]


def open_address(address: str) -> IO[bytes]:
    """Open an address for reading."""
    return urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS)


def fetch(
    weights: Weights, path: str | os.PathLike[str], open_address: OpenAddress = open_address
) -> None:
    """Download to ``path``; the file appears whole and proven, or not at all.

    Args:
        open_address: address -> readable stream (a test's, or a mirror's).

    Raises InputError: no network, interrupted, another content than the registry's, folder not
        writable.
    """
    by_hand = f"copy {weights.file} from another machine to {path}"
    digest, n_bytes = hashlib.sha256(), 0
    try:
        with atomic_path(path) as partial, open(partial, "wb") as file:
            with open_address(weights.address) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    n_bytes += len(chunk)
                    file.write(chunk)
            _check_size(weights, n_bytes)
            _check_sum(weights, digest.hexdigest())
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        where = f"after {n_bytes} bytes" if n_bytes else "at once"
        raise InputError(
            weights.address, f"cannot be fetched ({where}: {reason})", f"try again, or {by_hand}"
        ) from error
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        raise InputError(
            Path(path).parent,
            f"cannot be written to ({error.strerror})",
            f"make it writable, or give the path of a present {weights.file} in the config",
        ) from error


def verify(weights: Weights, path: str | os.PathLike[str]) -> None:
    """Check a file that is there already. Raises InputError if its content is another."""
    with open(path, "rb") as file:
        _check_sum(weights, hashlib.file_digest(file, "sha256").hexdigest())


def _check_size(weights: Weights, n_bytes: int) -> None:
    if weights.size_bytes is not None and n_bytes < weights.size_bytes:
        raise InputError(
            weights.address,
            f"was interrupted after {n_bytes} of {weights.size_bytes} bytes",
            "try again",
        )


def _check_sum(weights: Weights, found: str) -> None:
    if not found.startswith(weights.sha256):
        raise InputError(
            weights.file,
            f"has sha256 {found[:16]}…, not {weights.sha256[:16]}…: incomplete or not the same "
            "file",
            "fetch it again; if it stays so, its publisher has changed it: do not use it",
        )
