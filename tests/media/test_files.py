"""Small files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile

import pytest
import torch

from wildtalker_core.media.files import atomic_path, save_json
from wildtalker_core.training.checkpoints import save_portrait


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_files_have_the_users_own_mode(tmp_path, umask):
    """Whoever may read the user's other files may read portraits, too."""
    before = os.umask(umask)
    try:
        save_portrait(tmp_path / "head.safetensors", {"a": torch.zeros(2)}, {})
        save_json(tmp_path / "a.json", {})
        with atomic_path(tmp_path / "b.bin") as partial:
            number, name = tempfile.mkstemp(dir=tmp_path)  # as some writers do: 0600
            os.close(number)
            os.replace(name, partial)
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir(mode=0o700)
        assert os.umask(umask) == umask, "reading the umask does not change it"
    finally:
        os.umask(before)
    for name in ("head.safetensors", "a.json", "b.bin"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask, name
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask
