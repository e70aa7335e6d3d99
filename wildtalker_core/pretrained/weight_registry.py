"""Every foreign weights file that WildTalker can use: where it comes from and how it is proven.

Nothing here is needed by the default run. A file is fetched once, by ``snakemake weights/{file}``
or when a config names it, checked against its sum, and kept; on a machine without network it is
copied to ``weights/`` by hand, or the config names it where it is. Files are read as data, never
run.
"""

from __future__ import annotations

import errno
import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from wildtalker_core.errors import InputError

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Weights:
    """One file.

    Attributes:
        name: of the network.
        file: its path under ``weights/``.
        address: where it is published.
        sha256: of the content, hexadecimal; the first digits only where the publisher gives no
            more (ptlflow and torch's hub check files by the eight digits in their names); None
            where there is none, and the address names an unchangeable revision instead.
        size_bytes: None where it is not known.
        licence: of the weights, which may differ from their code's.
        purpose: what they are for, with the config key that names the file.
    """

    name: str
    file: str
    address: str
    sha256: str | None
    size_bytes: int | None
    licence: str
    purpose: str


_TORCH = "https://download.pytorch.org/models"
_PTLFLOW = "https://github.com/hmorimitsu/ptlflow/releases/download/weights1"
_HUB = "https://huggingface.co/facebook"
_WAV2VEC2 = f"{_HUB}/wav2vec2-base-960h/resolve/22aad52d435eb6dbaf354bdad9b0da84ce7d6156"
_HUBERT = f"{_HUB}/hubert-large-ls960-ft/resolve/ece5fabbf034c1073acae96d5401b25be96709d8"

REGISTRY = {
    weights.file: weights
    for weights in (
        Weights(
            "AlexNet",
            "alexnet-owt-7be5be79.pth",
            f"{_TORCH}/alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            244408911,
            "BSD-3-Clause (torchvision); trained on ImageNet",
            "backbone of LPIPS: evaluate.lpips_weights, train.lpips_backbone",
        ),
        Weights(
            "VGG-16",
            "vgg16-397923af.pth",
            f"{_TORCH}/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            553433881,
            "BSD-3-Clause (torchvision); trained on ImageNet",
            "backbone of LPIPS with lpips_net: vgg: evaluate.lpips_weights",
        ),
        Weights(
            "SyncNet v2",
            "syncnet_v2.model",
            "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            54573114,
            "none stated by its authors (University of Oxford); research use",
            "LSE-C and LSE-D: evaluate.syncnet_weights",
        ),
        Weights(
            "FaceLandmarker",
            "face_landmarker.task",
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/"
            "float16/1/face_landmarker.task",
            "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            3758596,
            "Apache-2.0 (Google)",
            "blendshapes: face.face_landmarker_path, evaluate.blendshape_model",
        ),
        Weights(
            "LaMa",
            "big-lama.pt",
            "https://github.com/enesmsahin/simple-lama-inpainting/releases/download/v0.1.0/"
            "big-lama.pt",
            "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
            205669692,
            "Apache-2.0 (LaMa)",
            "hand removal with motion.inpaint: lama: motion.lama_weights_path",
        ),
        Weights(
            "GMFlow",
            "gmflow-things-5a18a9e8.ckpt",
            f"{_PTLFLOW}/gmflow-things-5a18a9e8.ckpt",
            "5a18a9e8",
            None,
            "Apache-2.0 (GMFlow)",
            "flow with motion.flow: ptlflow, the paper's network: motion.flow_weights_path",
        ),
        Weights(
            "RAFT",
            "raft-things-802bbcfd.ckpt",
            f"{_PTLFLOW}/raft-things-802bbcfd.ckpt",
            "802bbcfd",
            None,
            "BSD-3-Clause (RAFT)",
            "flow with motion.flow_model: raft: motion.flow_weights_path",
        ),
        Weights(
            "RAFT small",
            "raft_small-things-b7d9f997.ckpt",
            f"{_PTLFLOW}/raft_small-things-b7d9f997.ckpt",
            "b7d9f997",
            None,
            "BSD-3-Clause (RAFT)",
            "flow with motion.flow_model: raft_small: motion.flow_weights_path",
        ),
        Weights(
            "wav2vec 2.0 base, its shape",
            "wav2vec2-base-960h/config.json",
            f"{_WAV2VEC2}/config.json",
            "d3ec255c063d9f95057b553b19c20135b259875834a4fe9deb218a6be25b4cf3",
            1596,
            "Apache-2.0 (Meta)",
            "audio_features: hf: the folder is speech.hf_model",
        ),
        Weights(
            "wav2vec 2.0 base",
            "wav2vec2-base-960h/model.safetensors",
            f"{_WAV2VEC2}/model.safetensors",
            "8aa76ab2243c81747a1f832954586bc566090c83a0ac167df6f31f0fa917d74a",
            377607901,
            "Apache-2.0 (Meta)",
            "audio_features: hf: the folder is speech.hf_model",
        ),
        Weights(
            "HuBERT large, its shape",
            "hubert-large-ls960-ft/config.json",
            f"{_HUBERT}/config.json",
            None,
            None,
            "Apache-2.0 (Meta)",
            "audio_features: hf: the folder is speech.hf_model",
        ),
        Weights(
            "HuBERT large",
            "hubert-large-ls960-ft/pytorch_model.bin",
            f"{_HUBERT}/pytorch_model.bin",
            "9cf43abec3f0410ad6854afa4d376c69ccb364b48ddddfd25c4c5aa16398eab0",
            None,
            "Apache-2.0 (Meta)",
            "audio_features: hf: the folder is speech.hf_model",
        ),
        Weights(
            "DeepSpeech 0.1.0",
            "deepspeech-0.1.0-models.tar.gz",
            "https://github.com/mozilla/DeepSpeech/releases/download/v0.1.0/"
            "deepspeech-0.1.0-models.tar.gz",
            None,
            None,
            "MPL-2.0 (Mozilla)",
            "audio_features: deepspeech, after its export to ONNX: speech.deepspeech_model",
        ),
    )
}


def fetch(weights: Weights, path: str | os.PathLike[str]) -> str:
    """Download to ``path``, where the file appears whole and proven, or not at all.

    A file that is there already is proven and kept. What a broken connection leaves stays beside
    ``path`` as ``.{name}.part``, and the next call fetches the rest.

    Returns the sha256 of the file, hexadecimal.

    Raises InputError: no network, broken off, another content than the registry's, folder not
        writable.
    """
    path = Path(path)
    if path.is_file():
        return verify(weights, path)
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(weights, partial, path)
        try:
            found = verify(weights, partial)
        except InputError:
            partial.unlink()
            raise
        os.replace(partial, path)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise
        raise InputError(
            path.parent,
            f"cannot be written to ({error.strerror})",
            f"make it writable, or name a present {path.name} in the config ({weights.purpose})",
        ) from error
    return found


def verify(weights: Weights, path: str | os.PathLike[str]) -> str:
    """Check a file that is there. Returns its sha256. Raises InputError if it is another."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if weights.sha256 is not None and not found.startswith(weights.sha256):
        raise InputError(
            weights.address if Path(path).name.startswith(".") else path,
            f"has sha256 {found[:16]}..., not {weights.sha256[:16]}... ({weights.name})",
            "remove it if it is there and fetch it again; if it stays so, its publisher or a proxy "
            "on the way has changed it: do not use it",
        )
    return found


def _download(weights: Weights, partial: Path, path: Path) -> None:
    """Fetch what ``partial`` lacks. Raises InputError if the rest does not come."""
    n_there = partial.stat().st_size if partial.exists() else 0
    by_hand = f"copy the file from another machine to {path}"
    n_bytes, n_expected = n_there, weights.size_bytes
    try:
        with _open(weights.address, n_there) as stream:
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
            weights.address,
            f"answers {error.code} {error.reason}",
            f"try again later, or {by_hand}",
        ) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        if n_bytes == n_there:
            raise InputError(
                weights.address,
                f"cannot be reached ({reason})",
                f"connect this machine to the network and run this again, or {by_hand}",
            ) from error
        raise _broken_off(weights, n_bytes, n_expected, str(reason)) from error
    if n_expected is not None and n_bytes < n_expected:
        raise _broken_off(weights, n_bytes, n_expected, "the connection was closed")


def _open(address: str, first_byte: int) -> HTTPResponse:
    headers = {"Range": f"bytes={first_byte}-"} if first_byte else {}
    request = urllib.request.Request(address, headers=headers)
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _broken_off(weights: Weights, n_bytes: int, n_expected: int | None, why: str) -> InputError:
    of_all = f" of {n_expected}" if n_expected else ""
    return InputError(
        weights.address,
        f"broke off after {n_bytes}{of_all} bytes ({why})",
        "run this again: it fetches the rest",
    )
