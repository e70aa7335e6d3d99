"""A Gradio page: a recording or a text becomes a video. python gradio_demo.py me.portrait"""

from __future__ import annotations

import sys
import tempfile

import gradio as gr

from wildtalker_core import open_portrait
from wildtalker_core.errors import InputError


def demo(path: str) -> gr.Interface:
    """The page of a portrait file."""
    portrait = open_portrait(path)

    def video_of(speech_path: str | None, text: str) -> str:
        video_path = tempfile.mkdtemp() + "/said.mp4"
        try:
            if text:
                portrait.say_text(text, video_path, label="synthetic")
            else:
                portrait.say(speech_path or "", video_path, label="synthetic")
        except InputError as error:  # its subject may be a command or a path
            raise gr.Error(f"{error.problem}; {error.remedy}") from None
        return video_path

    inputs = [gr.Audio(type="filepath", label="Recording"), gr.Textbox(label="or text")]
    return gr.Interface(video_of, inputs, gr.Video(), analytics_enabled=False, api_name="say")


if __name__ == "__main__":
    demo(sys.argv[1]).launch()
