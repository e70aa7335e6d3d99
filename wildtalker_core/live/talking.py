"""``open_portrait``: one call that makes a finished portrait talk."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.pose_order import back_and_forth
from wildtalker_core.live.backgrounds import Background
from wildtalker_core.live.manner import Manner
from wildtalker_core.live.portrait_file import Kept, load_kept
from wildtalker_core.live.session import Session
from wildtalker_core.live.voice import SAMPLE_RATE_HZ, speak
from wildtalker_core.media.audio import decode_sound, write_waveform
from wildtalker_core.media.finished import finished_video
from wildtalker_core.media.label import label_plate
from wildtalker_core.media.sound_checks import require_audible
from wildtalker_core.mouth.blinks import BLINK_CHANNELS, Blinking
from wildtalker_core.option_types import options_of
from wildtalker_core.speech.audio_features import AudioFeatures, log_mel
from wildtalker_core.speech.denoisers import denoise_stream, make_denoiser
from wildtalker_core.speech.options import DenoiserOptions
from wildtalker_core.speech.whisper_features import whisper_features

#: A network of eight megabytes, and finished files.
_NOT_CARRIED = ("deepfilternet", "external")


def open_portrait(path: str | os.PathLike[str]) -> TalkingPortrait:
    """Open a ``.portrait`` file, on the CPU.

    Raises InputError: absent, broken, made by a newer version.
    """
    return TalkingPortrait(load_kept(path), str(path))


class TalkingPortrait:
    """A portrait that talks: :meth:`say` a recording, or :meth:`live`.

    Attributes:
        height, width: of its pictures, pixels; fps: frames per second.
        made_of: what it was made of: digests, date, clip, consent, licence.
        gain, manner: of the mouth, and of head and blinks, where a call gives none; to be set.
        voice: what speaks a text where a call gives none, see :func:`speak`; to be set.
    """

    def __init__(self, kept: Kept, name: str) -> None:
        self._kept, self.name = kept, name
        self.height, self.width = kept.portrait.shape.height, kept.portrait.shape.width
        self.fps, self.made_of = kept.fps, kept.made_of
        self.gain: float = kept.render.mouth_gain
        self.manner = Manner()
        self.voice: str | None = None

    def say(
        self,
        speech_path: str | os.PathLike[str],
        video_path: str | os.PathLike[str],
        background: str = "plate",
        gain: float | None = None,
        label: str | None = None,
        manner: Manner | None = None,
        denoiser: str | None = None,
        seed: int = 0,
        crf: int = 18,
    ) -> int:
        """Write a video that says a recording, with its sound.

        Args:
            speech_path: any file with sound.
            video_path: ``.mp4``; with background ``alpha`` ``.webm`` (VP9), ``.mov`` (ProRes 4444)
                or a folder of PNG files.
            background: ``plate``, ``alpha``, ``green``, ``white``, ``black`` or a picture's path.
            gain: factor of the mouth's motion; None for :attr:`gain`, at first the workflow's.
            label: text to show in the corner, such as ``synthetic``; None for none.
            manner: of head and blinks; None for :attr:`manner`.
            denoiser: what cleans the recording for the ear, as in the config section ``speech``;
                None for what cleaned the clip's own speech.
            seed: of the blinks. crf: quality of the mp4, as in the config section ``render``.

        Returns:
            the number of frames.

        Raises InputError: no sound, an unknown background or ending, a denoiser that is not here, a
            label that cannot be written.
        """
        behind = Background(background, self.height, self.width)
        note = f"Synthetic: spoken by the portrait {Path(self.name).name}, made with WildTalker"
        plate = None if label is None else label_plate(label, self.height, self.width)
        writer = finished_video(
            video_path, self.fps, speech_path, crf, note, background == "alpha", plate
        )
        heard = self._heard(speech_path, denoiser)
        moments = self._moments(heard, gain, manner or self.manner, seed)
        with writer as video:
            for moment in moments:
                video.append(behind.picture(self._kept.portrait, moment))
        return video.n_written

    def say_text(
        self,
        text: str,
        video_path: str | os.PathLike[str],
        voice: str | None = None,
        **options: Any,
    ) -> int:
        """:meth:`say` what a voice makes of a text; see :func:`speak` for what a voice is."""
        with tempfile.TemporaryDirectory() as folder:
            speech_path = Path(folder) / "speech.wav"
            write_waveform(speech_path, speak(text, voice or self.voice), SAMPLE_RATE_HZ)
            return self.say(speech_path, video_path, **options)

    def live(
        self,
        background: str = "plate",
        gain: float | None = None,
        is_microphone: bool = False,
        manner: Manner | None = None,
        **others: Any,
    ) -> Session:
        """A session that hears pieces of sound and gives frames; see :class:`Session`."""
        behind = Background(background, self.height, self.width)
        gain = self.gain if gain is None else gain
        return Session(self._kept, behind, gain, is_microphone, manner or self.manner, **others)

    def _heard(
        self, speech_path: str | os.PathLike[str], denoiser_name: str | None = None
    ) -> AudioFeatures:
        """The recording as the workflow prepares a driving speech."""
        hearing = self._kept.hearing
        name = denoiser_name or hearing["denoiser"]
        if name in _NOT_CARRIED:
            raise InputError(
                self.name, f"knows speech that {name} has cleaned, which no portrait file carries",
                "clean the recording with it (snakemake denoise) and add --denoiser none, or name "
                "another one, such as --denoiser mss_adaptive",
            )  # fmt: skip
        denoiser = make_denoiser(name, options_of(DenoiserOptions, hearing))
        rate_hz = hearing["sample_rate_hz"]
        speech = decode_sound(speech_path, rate_hz)
        require_audible(speech, rate_hz, speech_path)
        speech = speech / max(1.0, np.abs(speech).max())
        speech = np.concatenate(list(denoise_stream([speech], denoiser, rate_hz)))
        n_frames = math.ceil(speech.size / rate_hz * self.fps - 1e-3)
        hear = log_mel
        if self._kept.encoder is not None:
            hear = partial(whisper_features, encoder=self._kept.encoder)
        return hear(speech, rate_hz, n_frames, self.fps, floor_db=hearing["logmel_floor_db"])

    def _moments(
        self, heard: AudioFeatures, gain: float | None, manner: Manner, seed: int
    ) -> Iterator[Moment]:
        kept, n = self._kept, len(heard.is_silent)
        poses = torch.as_tensor(back_and_forth(len(kept.loop.T_camera_head), n))
        moments = manner.moments(kept.loop)[poses]
        options = replace(kept.render, mouth_gain=self.gain if gain is None else gain)
        mouth = kept.portrait.hear(
            torch.as_tensor(heard.audio_features), heard.is_silent, np.arange(n),
            moments.T_camera_head, self.fps, options,
        )  # fmt: skip
        blinking = Blinking(manner.blinking(kept.blinks), self.fps, seed)
        for i in range(n):
            expression = moments.expression[i].clone()
            expression[list(BLINK_CHANNELS)] = torch.as_tensor(blinking.next(), dtype=torch.float32)
            yield replace(moments[i], mouth=mouth[i], expression=expression)
