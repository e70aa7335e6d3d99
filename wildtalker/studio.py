"""The page on which a visitor's video becomes a portrait that talks."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wildtalker.serving import FILES, HEADERS, Server, live_route, page_routes
from wildtalker.videos import Video, Videos
from wildtalker_core.live.talking import TalkingPortrait

STUDIO_FILES = {**FILES, "/": "studio.html", "/talk": "index.html", "/studio.js": "studio.js"}
#: Bytes of one video; videos at once; uploads in ten minutes; what must stay free on the disk.
MOST_BYTES, MOST_VIDEOS, MOST_UPLOADS, FREE_BYTES = 2 * 10**9, 20, 10, 5 * 10**9
_WINDOW_SECONDS, _PATIENCE_SECONDS = 600.0, 60.0


class Refused(Exception):
    """A request that is not answered: an HTTP status, and why in words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Studio(Server):
    """Visitors and their videos; each sees only those whose key they have.

    Args:
        token: that every address needs, or None for 127.0.0.1 alone.
        max_sessions: conversations at once, and uploads at once.
        most_bytes: of one video.
        host: address that is listened on.
    """

    def __init__(
        self,
        videos: Videos,
        token: str | None = None,
        max_sessions: int = 4,
        most_bytes: int = MOST_BYTES,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(None, token, max_sessions, host)
        self.videos, self.most_bytes = videos, most_bytes
        self.n_uploads = 0
        self._uploaded_at: list[float] = []

    def portrait_for(self, connection: HTTPConnection) -> TalkingPortrait | None:
        """The finished portrait of the key in the address."""
        video = self.videos.find(connection.query_params.get("video"))
        return video.portrait if video is not None and video.state == "ready" else None

    def video_of(self, request: Request) -> Video:
        """The video of the key in the address. Raises Refused."""
        video = self.videos.find(request.query_params.get("video"))
        if video is None:
            raise Refused(404, "there is no such video")
        return video

    def check_upload(self, request: Request) -> None:
        """Raises Refused: too large, no video, too many, no consent, no room."""
        length = request.headers.get("content-length", "0")
        kind = request.headers.get("content-type", "application/octet-stream")
        now = time.monotonic()
        self._uploaded_at = [t for t in self._uploaded_at if now - t < _WINDOW_SECONDS]
        n_bytes = int(length) if length.isdecimal() else 0
        if n_bytes > self.most_bytes:
            raise self.too_large()
        if not kind.startswith("video/") and kind != "application/octet-stream":
            raise Refused(415, f"this is {kind}, no video; choose a video file")
        if request.query_params.get("consent") != "yes":
            raise Refused(400, "the person in the video has to agree")
        if self.n_uploads >= self.max_sessions or len(self._uploaded_at) >= MOST_UPLOADS:
            raise Refused(429, "too many videos are being sent; try again later")
        if len(self.videos) + self.n_uploads >= MOST_VIDEOS:
            raise Refused(429, "the studio is full; a video has to be deleted first")
        if shutil.disk_usage(self.videos.folder).free < n_bytes + FREE_BYTES:
            raise Refused(507, "the studio's disk is full")
        self._uploaded_at.append(now)

    def too_large(self) -> Refused:
        return Refused(
            413, f"the video is larger than {self.most_bytes / 1e9:g} GB; send a shorter part"
        )

    async def receive(self, request: Request) -> Video:
        """Write an upload piece by piece, and start its run. Raises Refused, ClientDisconnect."""
        self.check_upload(request)
        video = self.videos.new()
        self.n_uploads += 1
        try:
            with open(video.folder / "partial", "wb") as file:
                async for piece in _with_patience(request.stream()):
                    if file.tell() + len(piece) > self.most_bytes:
                        raise self.too_large()
                    await asyncio.to_thread(file.write, piece)
                if not file.tell():
                    raise Refused(400, "the file is empty")
            (video.folder / "partial").rename(video.path)
            self.videos.add(video)
        except BaseException as error:
            shutil.rmtree(video.folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise Refused(507, f"the video cannot be stored ({error.strerror})") from None
            raise
        finally:
            self.n_uploads -= 1
        self.videos.start(video)
        return video


async def _with_patience(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of an upload, each within a minute. Raises Refused."""
    while True:
        try:
            yield await asyncio.wait_for(anext(pieces), _PATIENCE_SECONDS)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(408, "the upload stood still for a minute") from None


def studio_application(studio: Studio) -> Starlette:
    """The pages for uvicorn."""

    def guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable:
        async def endpoint(request: Request) -> Response:
            try:
                if refusal := studio.refusal(request):
                    raise Refused(403, refusal)
                response = await answer(request)
            except Refused as refused:
                response = PlainTextResponse(refused.reason, refused.status)
            except ClientDisconnect:
                response = PlainTextResponse("the upload was cut off", 400)
            response.headers.update(HEADERS)
            return response

        return endpoint

    async def video(request: Request) -> Response:
        """POST sends a new one; GET asks how it stands; DELETE."""
        if request.method == "POST":
            return JSONResponse({"video": (await studio.receive(request)).key})
        video = studio.video_of(request)
        if request.method == "DELETE":
            await asyncio.to_thread(studio.videos.remove, video)
            return Response(status_code=204)
        facts = await asyncio.to_thread(video.facts)
        return JSONResponse({**facts, "n_before": studio.videos.n_before(video)})

    async def run(request: Request) -> Response:
        """POST starts the run or goes on with it; DELETE stops it."""
        act = studio.videos.start if request.method == "POST" else studio.videos.stop
        await asyncio.to_thread(act, studio.video_of(request))
        return Response(status_code=204)

    async def picture(request: Request) -> Response:
        jpeg = studio.video_of(request).previews.jpeg(request.query_params.get("name", ""))
        if jpeg is None:
            raise Refused(404, "there is no such picture")
        return Response(jpeg, media_type="image/jpeg")

    async def portrait(request: Request) -> Response:
        """The finished file, to keep."""
        video = studio.video_of(request)
        if video.state != "ready":
            raise Refused(404, "the portrait is not finished")
        return FileResponse(video.portrait_path, filename="me.portrait")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(studio.videos.close)

    routes = [
        Route("/video", guarded(video), methods=["GET", "POST", "DELETE"]),
        Route("/run", guarded(run), methods=["POST", "DELETE"]),
        Route("/picture", guarded(picture)),
        Route("/portrait", guarded(portrait)),
    ]
    pages = page_routes(studio, STUDIO_FILES)
    return Starlette(routes=[*pages, live_route(studio), *routes], lifespan=lifespan)
