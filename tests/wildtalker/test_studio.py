"""The studio's server: from an upload to a portrait that talks, and visitors that break rules."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.conftest import ROOT
from tests.live.test_page import read, serve_application
from tests.live.test_session import tiny_kept
from wildtalker import studio as studio_module
from wildtalker.running import snakemake_command
from wildtalker.studio import Studio, studio_application
from wildtalker.videos import Videos
from wildtalker_core.live.portrait_file import save_kept

FAKE = Path(__file__).parent / "fake_workflow.py"


@pytest.fixture(scope="session")
def portrait_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "me.portrait"
    save_kept(path, tiny_kept(size=64))
    return path


class Served:
    """A studio over loopback, with the fake workflow."""

    def __init__(self, folder, portrait_path, **options):
        def command(config_path, target):
            return [sys.executable, str(FAKE), config_path, target, str(portrait_path)]

        self.folder = folder
        self.studio = Studio(Videos(folder, command), **options)
        self._server, self._thread, self.port = serve_application(studio_application(self.studio))

    def close(self):
        self._server.should_exit = True
        self._thread.join(20)

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def send(self, content, query="consent=yes", kind="video/mp4"):
        status, body = self.ask("POST", f"/video?{query}", content, **{"Content-Type": kind})
        assert status == 200, body
        return json.loads(body)["video"]

    def facts(self, key):
        status, body = self.ask("GET", f"/video?video={key}")
        assert status == 200, body
        return json.loads(body)

    def wait(self, key, *states):
        deadline = time.monotonic() + 30
        while (facts := self.facts(key))["state"] not in states:
            assert time.monotonic() < deadline and facts["state"] != "failed", facts
            time.sleep(0.05)
        return facts


@pytest.fixture
def served(tmp_path, portrait_path):
    served = Served(tmp_path / "studio", portrait_path)
    yield served
    served.close()


def test_a_video_becomes_a_portrait_that_talks(served):
    key = served.send(b"a video")
    facts = served.wait(key, "ready")
    assert [(s["name"], s["n_done"]) for s in facts["stages"]] == [
        ("media", 1), ("person", 1), ("occlusion", 1), ("train", 1),
    ]  # fmt: skip
    assert {"crop", "parsing", "masks"} == set(facts["pictures"])
    status, jpeg = served.ask("GET", f"/picture?video={key}&name=crop")
    assert status == 200 and jpeg[:2] == b"\xff\xd8"
    status, kept = served.ask("GET", f"/portrait?video={key}")
    assert status == 200 and kept == served.studio.videos.find(key).portrait_path.read_bytes()
    with connect(f"ws://127.0.0.1:{served.port}/live?video={key}") as visitor:
        assert "gain" in json.loads(visitor.recv())
        assert read(visitor.recv())[1].shape == (64, 64, 3)


def test_a_visitor_who_vanishes_leaves_a_seat(served):
    key = served.send(b"a video")
    served.wait(key, "ready")
    visitor = connect(f"ws://127.0.0.1:{served.port}/live?video={key}")
    for _ in range(3):
        visitor.recv()
    assert served.studio.n_sessions == 1
    visitor.socket.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 15
    while served.studio.n_sessions:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_broken_portrait_is_said(served):
    key = served.send(b"a video")
    served.wait(key, "ready")
    served.studio.videos.find(key).portrait_path.write_bytes(b"broken")
    with connect(f"ws://127.0.0.1:{served.port}/live?video={key}") as visitor:
        with pytest.raises(ConnectionClosed) as closed:
            visitor.recv()
    assert closed.value.rcvd.reason.startswith("the portrait ")
    assert str(served.folder) not in closed.value.rcvd.reason


def test_nobody_sees_another_ones_video(served):
    served.wait(served.send(b"a video"), "ready")
    for other in ("", "0" * 32, "../studio", ".", "%2e%2e"):
        for path in ("/video", "/picture", "/portrait"):
            assert served.ask("GET", f"{path}?video={other}&name=crop")[0] == 404
        for method, path in (("POST", "/run"), ("DELETE", "/run"), ("DELETE", "/video")):
            assert served.ask(method, f"{path}?video={other}")[0] == 404
        with connect(f"ws://127.0.0.1:{served.port}/live?video={other}") as visitor:
            with pytest.raises(ConnectionClosed):
                visitor.recv()


def test_a_failure_is_one_line_and_the_run_goes_on(served, capfd):
    key = served.send(b"fails")
    facts = served.wait(key, "failed")
    assert facts["failure"] == "error: video: has no face; film one"
    assert f"error: {key}/video: has no face; film one" in capfd.readouterr().err
    (served.folder / key / "mended").touch()
    assert served.ask("POST", f"/run?video={key}")[0] == 204
    facts = served.wait(key, "ready")
    assert [s["name"] for s in facts["stages"]] == [
        "person",
        "occlusion",
        "train",
    ]  # no second crop


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_stopped_studio_ends_its_runs_and_goes_on_later(tmp_path, portrait_path):
    served = Served(tmp_path, portrait_path)
    key = served.send(b"waits")
    served.wait(key, "making")
    pid = tmp_path / key / "pid"
    while not pid.exists():
        time.sleep(0.05)
    (tmp_path / ("f" * 32)).mkdir()  # an upload that a kill has cut off
    (tmp_path / "notes").mkdir()
    served.close()
    assert not is_alive(int(pid.read_text()))
    served = Served(tmp_path, portrait_path)
    assert served.facts(key)["state"] == "stopped"
    assert not (tmp_path / ("f" * 32)).exists() and (tmp_path / "notes").exists()
    (tmp_path / key / "go_on").touch()
    served.ask("POST", f"/run?video={key}")
    served.wait(key, "ready")
    served.close()


def test_one_run_at_a_time_and_each_can_be_stopped_and_deleted(served):
    first, second = served.send(b"waits"), served.send(b"waits")
    assert served.wait(first, "making")["n_before"] == 0
    facts = served.facts(second)
    assert (facts["state"], facts["n_before"]) == ("waiting", 1)
    served.ask("DELETE", f"/run?video={second}")
    assert served.facts(second)["state"] == "stopped"
    served.ask("DELETE", f"/run?video={first}")
    assert served.wait(first, "stopped")["failure"] is None
    served.ask("POST", f"/run?video={second}")
    served.wait(second, "making")
    assert served.ask("DELETE", f"/video?video={second}")[0] == 204
    assert served.ask("GET", f"/video?video={second}")[0] == 404
    assert not (served.folder / second).exists() and (served.folder / first).exists()


def folders(served):
    return [path for path in served.folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("content", "query", "kind", "status"),
    [
        (b"x" * 2000, "consent=yes", "video/mp4", 413),
        (b"a text", "consent=yes", "text/plain", 415),
        (b"", "consent=yes", "video/mp4", 400),
        (b"a video", "consent=no", "video/mp4", 400),
    ],
    ids=["large", "text", "empty", "no consent"],
)
def test_refused_uploads_leave_nothing(tmp_path, portrait_path, content, query, kind, status):
    served = Served(tmp_path, portrait_path, most_bytes=1000)
    given, reason = served.ask("POST", f"/video?{query}", content, **{"Content-Type": kind})
    assert given == status and reason and not folders(served)
    # Without a length in front, it is counted.
    pieces = iter([b"x" * 600, b"x" * 600])
    status, _ = served.ask("POST", "/video?consent=yes", pieces, **{"Content-Type": "video/mp4"})
    assert status == 413 and not folders(served)
    served.close()


def test_an_upload_that_breaks_off_leaves_nothing(served):
    with socket.create_connection(("127.0.0.1", served.port)) as visitor:
        visitor.sendall(
            b"POST /video?consent=yes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n"
            b"Content-Type: video/mp4\r\n\r\n" + b"x" * 1000
        )
        deadline = time.monotonic() + 10
        while not folders(served):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    while folders(served) or served.studio.n_uploads:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    served.wait(served.send(b"a video"), "ready")


def test_uploads_are_limited_in_number(served, monkeypatch):
    monkeypatch.setattr(studio_module, "MOST_UPLOADS", 2)
    served.send(b"a video"), served.send(b"a video")
    assert served.ask("POST", "/video?consent=yes", b"a video")[0] == 429
    monkeypatch.setattr(studio_module, "MOST_UPLOADS", 10)
    monkeypatch.setattr(studio_module, "MOST_VIDEOS", 2)
    assert served.ask("POST", "/video?consent=yes", b"a video")[0] == 429
    monkeypatch.setattr(studio_module, "MOST_VIDEOS", 10)
    monkeypatch.setattr(studio_module, "FREE_BYTES", 10**18)
    assert served.ask("POST", "/video?consent=yes", b"a video")[0] == 507


def test_strangers_and_other_pages_stay_outside(tmp_path, portrait_path):
    served = Served(tmp_path / "local", portrait_path)
    post = ("POST", "/video?consent=yes", b"a video")
    assert served.ask(*post, Host="evil.example")[0] == 403
    assert served.ask(*post, Origin="https://evil.example")[0] == 403
    assert served.ask("GET", "/")[0] == 200
    served.close()
    served = Served(tmp_path / "guarded", portrait_path, token="secret")
    assert served.ask(*post)[0] == 403 and served.ask("GET", "/talk")[0] == 403
    key = served.send(b"a video", "consent=yes&token=secret")
    assert served.ask("GET", f"/video?video={key}")[0] == 403
    assert served.ask("GET", f"/video?video={key}&token=secret")[0] == 200
    served.close()


def test_the_real_workflow_plans_what_a_video_needs(tmp_path):
    """The config and the target that the studio gives are ones that Snakemake takes."""
    plans = []

    def command(config_path, target):
        plans.append(snakemake_command(config_path, "1", [target], is_plan=True))
        return [sys.executable, "-c", ""]

    videos = Videos(tmp_path, command, preset="smoke", size_px=96)
    video = videos.new()
    video.path.write_bytes((ROOT / "examples" / "astronaut.mp4").read_bytes())
    videos.add(video)
    videos.start(video)
    while not plans:
        time.sleep(0.02)
    videos.close()
    done = subprocess.run(plans[0], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pack_portrait" in done.stdout and "write_report" not in done.stdout
