"""Videos that visitors gave, each with its run of the workflow; one run at a time."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from wildtalker.previews import METHOD, Previews
from wildtalker.running import STAGES, Progress, WatchedRun, clip_config, stage_of
from wildtalker_core.live.talking import TalkingPortrait, open_portrait

CLIP = "me"
_KEY = re.compile(r"[0-9a-f]{32}")
#: A longer video is used up to here, seconds; a picture from the training every so many steps.
_MOST_SECONDS, _PREVIEW_EVERY = 600, 200


class Video:
    """One visitor's video, in a folder of its own.

    Attributes:
        key: what its visitor knows and nobody else; also the folder's name.
        path: the file as it was sent.
        progress: of the run that is under way, or of the last one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.key, self.path = folder, folder.name, folder / "video"
        self.portrait_path = folder / "results" / CLIP / "train" / METHOD / "me.portrait"
        self.previews = Previews(folder / "results" / CLIP)
        self.progress = Progress()
        self.run: WatchedRun | None = None
        self.is_wanted, self.started_at = False, 0.0

    @property
    def state(self) -> str:
        """``waiting``, ``making``, ``ready``, ``failed`` or ``stopped``."""
        if self.run is not None:
            return "making"
        if self.is_wanted:
            return "waiting"
        if self.portrait_path.is_file():
            return "ready"
        return "failed" if self.progress.failure else "stopped"

    @cached_property
    def portrait(self) -> TalkingPortrait:
        """The finished portrait; opened once."""
        return open_portrait(self.portrait_path)

    def facts(self) -> dict[str, Any]:
        """What the page shows. The visitor's own folder is left out of the lines."""
        progress = self.progress
        stages = [
            {"name": name, "n_jobs": progress.n_jobs[name], "n_done": progress.n_done[name]}
            for name in STAGES
            if progress.n_jobs[name]
        ]
        running = list(progress.running.values()) if self.run else []
        lines = [progress.failure or "", *progress.warnings]
        failure, *warnings = (line.replace(f"{self.key}/", "") for line in lines)
        return {
            "state": self.state,
            "stages": stages,
            "running": [{"rule": rule, "stage": stage_of(rule)} for rule in running],
            "bar": progress.bar if self.run else None,
            "failure": failure if self.state == "failed" else None,
            "warnings": warnings,
            "seconds": round(time.monotonic() - self.started_at) if self.run else 0,
            "pictures": self.previews.versions(),
        }


class Videos:
    """All videos of one folder, those of earlier days among them.

    Args:
        folder: made if need be; also the workflow's working directory.
        command: gives the command that makes a target with a config, both relative to ``folder``.
        preset, size_px: of the training and of the frames; None for the workflow's defaults.
    """

    def __init__(
        self,
        folder: Path,
        command: Callable[[str, str], list[str]],
        preset: str | None = None,
        size_px: int | None = None,
    ) -> None:
        self.folder, self._command = folder.resolve(), command
        self._preset, self._size_px = preset, size_px
        self._lock, self._worker = threading.Lock(), ThreadPoolExecutor(1)
        self._videos: dict[str, Video] = {}
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self.folder.iterdir():
            if not _KEY.fullmatch(path.name):
                continue
            if (path / "video").is_file():
                self._videos[path.name] = Video(path)
            else:  # its upload was cut off
                shutil.rmtree(path)

    def __len__(self) -> int:
        return len(self._videos)

    def find(self, key: str | None) -> Video | None:
        """The video of a key; None where there is none. A key is looked up, never a path."""
        return self._videos.get(key or "")

    def n_before(self, video: Video) -> int:
        """Runs that come before the one of a video that waits."""
        if video.state != "waiting":
            return 0
        wanted = [v for v in list(self._videos.values()) if v.is_wanted and v is not video]
        return sum(v.run is not None or v.started_at < video.started_at for v in wanted)

    def new(self) -> Video:
        """A video whose file the caller has to write, and then to :meth:`add` or discard."""
        video = Video(self.folder / secrets.token_hex(16))
        video.folder.mkdir(mode=0o700)
        return video

    def add(self, video: Video) -> None:
        """A video whose file is whole."""
        self._videos[video.key] = video

    def start(self, video: Video) -> None:
        """Make the portrait, after those that wait already; goes on where it was stopped."""
        with self._lock:
            if video.state in ("failed", "stopped"):
                video.is_wanted, video.started_at = True, time.monotonic()
                self._worker.submit(self._make, video)

    def stop(self, video: Video) -> None:
        """End the run, or the wait for it."""
        with self._lock:
            video.is_wanted, run = False, video.run
        if run:
            run.stop()

    def remove(self, video: Video) -> None:
        """Delete a video and all that was made of it."""
        self._videos.pop(video.key, None)
        self.stop(video)
        shutil.rmtree(video.folder, ignore_errors=True)

    def close(self) -> None:
        """End all runs."""
        for video in list(self._videos.values()):
            self.stop(video)
        self._worker.shutdown(cancel_futures=True)

    def _make(self, video: Video) -> None:
        with self._lock:
            if not video.is_wanted:
                return
            try:
                video.run = self._begin(video)
            except OSError as error:
                video.is_wanted = False
                video.progress = Progress(inferred_error=f"error: {error}")
                return
        status = video.run.wait()
        with self._lock:
            was_stopped = not video.is_wanted
            video.run, video.is_wanted = None, False
        if status and was_stopped:
            video.progress = Progress()
        elif status:
            print(video.progress.failure, file=sys.stderr)

    def _begin(self, video: Video) -> WatchedRun:
        config = yaml.safe_dump(self._config(video), sort_keys=False)
        (video.folder / "config.yaml").write_text(config)
        target = str(video.portrait_path.relative_to(self.folder))
        run = WatchedRun(self._command(f"{video.key}/config.yaml", target), self.folder)
        video.progress, video.started_at = run.progress, time.monotonic()
        return run

    def _config(self, video: Video) -> dict[str, Any]:
        config = clip_config(
            CLIP, f"{video.key}/video", f"{video.key}/results", self._preset, self._size_px
        )
        config["clips"][CLIP]["consent"] = "stated when the video was sent"
        config.setdefault("media", {})["max_seconds"] = _MOST_SECONDS
        config.setdefault("train", {})["preview_every"] = _PREVIEW_EVERY
        return config
