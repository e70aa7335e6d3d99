"""A visitor's texts, spoken one after the other."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from wildtalker_core.errors import InputError, warn
from wildtalker_core.live.session import Session
from wildtalker_core.live.voice import SAMPLE_RATE_HZ, VoiceError, speak

#: Texts that may wait while one is made.
_MOST_WAITING = 4
_FAILED = "The voice failed; whoever runs this page finds the reason in its log"


class Texts:
    """Texts on their way into a session. A thread makes them, since a voice may take two minutes.

    Args:
        voice: see :func:`speak`.
        tell: called from that thread with why a text is not spoken, in words for the visitor.
    """

    def __init__(self, session: Session, voice: str | None, tell: Callable[[str], None]) -> None:
        self._session, self._voice, self._tell = session, voice, tell
        self._waiting: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._n_forgotten = 0
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Speak a text after those that wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self._tell("Too many texts are waiting")

    def forget(self) -> None:
        """Say nothing of what waits, nor of what is being made."""
        self._n_forgotten += 1
        try:
            while True:
                self._waiting.get_nowait()
        except queue.Empty:
            pass

    def close(self) -> None:
        """End the thread after the text that it is making."""
        self.forget()
        self._waiting.put(None)

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            n_before = self._n_forgotten
            try:
                sound = speak(text, self._voice)
                if self._n_forgotten == n_before:
                    self._session.hear(sound, SAMPLE_RATE_HZ)
            except VoiceError as error:  # names the command or the address
                warn(error.subject, f"{error.problem}; {error.remedy}")
                self._tell(_FAILED)
            except InputError as error:
                self._tell(f"The {error.subject} {error.problem}; {error.remedy}")
            except Exception:  # a full disk, say: later texts are spoken all the same
                logging.getLogger("wildtalker").exception("a text was not spoken")
                self._tell(_FAILED)
