"""Text to speech by whatever speaks: a command, or an address with OpenAI's interface."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import decode_sound
from wildtalker_core.media.files import save_bytes

#: Used where nothing is named and it is installed.
DEFAULT_COMMAND = "espeak-ng -w {output} --stdin"
#: Environment variables: a voice, and the key for an address that wants one.
VOICE_VARIABLE, KEY_VARIABLE = "WILDTALKER_VOICE", "WILDTALKER_VOICE_KEY"
MOST_CHARACTERS, _MOST_BYTES, _SECONDS = 4096, 100_000_000, 120
_MODEL, _NAME = "tts-1", "alloy"
SAMPLE_RATE_HZ = 24000


class VoiceError(InputError):
    """A voice that failed. Its subject is the command or the address: not for a visitor's eyes."""


def find_voice(named: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The voice that is used: the named one, that of ``WILDTALKER_VOICE``, espeak-ng, or None."""
    found = named or environment.get(VOICE_VARIABLE)
    if found:
        return found
    return DEFAULT_COMMAND if shutil.which("espeak-ng") else None


def speak(text: str, voice: str | None) -> Float32[np.ndarray, "k"]:
    """What ``voice`` makes of a text: samples at ``SAMPLE_RATE_HZ``.

    Args:
        voice: an ``http://`` or ``https://`` address that answers as OpenAI's
            ``/v1/audio/speech`` does, with ``?model=`` and ``?voice=`` if others than tts-1 and
            alloy are wanted; the key of ``WILDTALKER_VOICE_KEY`` goes with it. Or a command that
            writes a sound file ``{output}`` and reads the text from its input or as ``{text}``; no
            shell sees it. None: ``find_voice``'s.

    Raises InputError: no text, too much of it, no voice. VoiceError: a voice that fails.
    """
    text = text.strip()
    if not text or len(text) > MOST_CHARACTERS:
        raise InputError("text", f"has {len(text)} characters", f"give 1 to {MOST_CHARACTERS}")
    voice = find_voice(voice)
    if voice is None:
        raise InputError("text", "has no voice", "install espeak-ng or name one with --voice")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        if voice.startswith(("http://", "https://")):
            save_bytes(path, _from_address(text, voice))
        else:
            _from_command(text, voice, path)
        if not path.is_file():
            raise VoiceError(voice, "wrote no sound", "let it write {output}")
        try:
            return decode_sound(path, SAMPLE_RATE_HZ)
        except InputError as error:  # the file is gone before anybody could look at it
            raise VoiceError(voice, f"wrote a file that {error.problem}", "try another") from None


def _from_address(text: str, address: str) -> bytes:
    place, _, query = address.partition("?")
    choice = dict(urllib.parse.parse_qsl(query))
    body = {"model": _MODEL, "voice": _NAME, **choice, "input": text, "response_format": "wav"}
    key = os.environ.get(KEY_VARIABLE)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        request = urllib.request.Request(place, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            sound = answer.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        said = error.read(300).decode("utf-8", "replace")
        raise VoiceError(place, f"answers {error.code}", _without(key, said)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = f"does not answer ({_without(key, str(error))})"
        raise VoiceError(place, problem, "is the voice running?") from None
    if len(sound) > _MOST_BYTES:
        raise VoiceError(place, "answers more than 100 MB", "say less at once")
    return sound


def _without(key: str | None, said: str) -> str:
    """What a server says of a key that it refuses may hold the key."""
    return said.replace(key, "(key)") if key else said


def _from_command(text: str, command: str, path: Path) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise VoiceError(command, f"is no command ({error})", "correct its quotes") from None
    filled = [word.replace("{output}", str(path)).replace("{text}", text) for word in words]
    try:
        done = subprocess.run(
            filled, input=text.encode(), capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise VoiceError(command, f"cannot be run ({error})", "name another --voice") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = said[-1] if said else "no reason given"
        raise VoiceError(command, f"failed ({reason})", "name another --voice")
