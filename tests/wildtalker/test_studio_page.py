"""The studio's page in a real browser over loopback: from a dropped video to a talk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")

from tests.live.test_page import wait_for
from tests.report.chromium import CHROMIUM, Page
from tests.wildtalker.test_studio import portrait_path, served  # noqa: F401

#: Where pictures of the page go, to be looked at.
PICTURES = os.environ.get("WILDTALKER_PICTURES")
DROP = """(() => {
  const data = new DataTransfer();
  data.items.add(new File([%r], %r, { type: %r }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
})()"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")


def text(page, name):
    return page.evaluate(f"document.getElementById('{name}').textContent")


def click(page, name):
    page.evaluate(f"document.getElementById('{name}').click()")


def look_at(page, name):
    for size, width, is_dark in (("wide", 1100, False), ("narrow", 380, True)):
        picture = page.picture(width, 900, is_dark)
        if PICTURES:
            (Path(PICTURES) / f"studio_{name}_{size}.png").write_bytes(picture)
        assert not page.evaluate("document.body.scrollWidth > innerWidth")


def test_from_a_dropped_video_to_a_talk(served, tmp_path):  # noqa: F811
    page = Page(f"http://127.0.0.1:{served.port}/", tmp_path / "profile")
    try:
        wait_for(page, "!document.getElementById('give').hidden")
        look_at(page, "give")
        page.evaluate(DROP % ("text", "letter.txt", "text/plain"))
        assert "no video" in text(page, "said")
        page.evaluate("take({ name: 'long.mp4', type: 'video/mp4', size: 2.1e9 })")
        assert "2 GB" in text(page, "said")
        page.evaluate(DROP % ("waits", "<b>me.mp4", "video/mp4"))
        assert "<b>me.mp4" in text(page, "said")  # nothing is sent before the consent
        assert not list(served.folder.iterdir())
        click(page, "consent")
        wait_for(page, "document.getElementById('headline').textContent.startsWith('Making')")
        wait_for(page, "document.getElementById('line').textContent.includes('50 %')")
        look_at(page, "making")
        (key,) = [path for path in served.folder.iterdir() if path.is_dir()]
        click(page, "stop")
        wait_for(page, "document.getElementById('headline').textContent === 'Stopped'")
        (key / "go_on").touch()
        click(page, "go")
        wait_for(page, "!document.getElementById('talk').hidden")
        wait_for(page, "document.querySelectorAll('#pictures img').length === 3")
        wait_for(page, "[...document.images].every((image) => image.naturalWidth > 0)")
        look_at(page, "ready")
        click(page, "talk")
        wait_for(page, "location.pathname === '/talk' && window.seen && window.seen.length > 5")
        assert not page.evaluate("document.getElementById('back').hidden")
        look_at(page, "talk")
        click(page, "back")
        wait_for(page, "location.pathname === '/' && !!document.getElementById('talk')")
        wait_for(page, "!document.getElementById('talk').hidden")  # this browser knows its video
        assert page.errors == []
        asked = [urlsplit(a) for a in page.requests if not a.startswith(("data:", "blob:"))]
        assert asked and all(a.netloc == f"127.0.0.1:{served.port}" for a in asked)
    finally:
        page.close()


def test_a_failure_is_read_and_mended_and_the_video_deleted(served, tmp_path):  # noqa: F811
    page = Page(f"http://127.0.0.1:{served.port}/", tmp_path / "profile")
    other = Page(f"http://127.0.0.1:{served.port}/", tmp_path / "other")
    try:
        click(page, "consent")
        page.evaluate(DROP % ("fails", "me.mp4", "video/mp4"))
        wait_for(page, "document.getElementById('headline').textContent.includes('not work')")
        assert text(page, "line") == "error: video: has no face; film one"
        look_at(page, "failed")
        (key,) = [path for path in served.folder.iterdir() if path.is_dir()]
        (key / "mended").touch()
        click(page, "go")
        wait_for(page, "!document.getElementById('talk').hidden")
        # Another visitor's browser is offered an empty studio.
        assert not other.evaluate("document.getElementById('give').hidden")
        assert other.evaluate("document.images.length") == 0
        click(page, "delete")
        time.sleep(0.3)
        assert key.exists()  # asked twice
        click(page, "delete")
        wait_for(page, "!document.getElementById('give').hidden")
        assert not key.exists()
        assert page.errors == [] and other.errors == []
    finally:
        page.close()
        other.close()
