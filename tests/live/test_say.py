"""One call writes the pictures that the workflow renders, in every kind of file."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from tests.live.test_session import RATE, tiny_kept, voice
from wildtalker.cli import main
from wildtalker_core import open_portrait
from wildtalker_core.errors import InputError
from wildtalker_core.geometry.pose_order import back_and_forth
from wildtalker_core.live.backgrounds import compose
from wildtalker_core.live.portrait_file import save_kept
from wildtalker_core.media.audio import write_waveform
from wildtalker_core.media.label import label_plate, labelled
from wildtalker_core.media.video import read_video
from wildtalker_core.mouth.blinks import BLINK_CHANNELS, Blinking, blink_manner, new_blinks
from wildtalker_core.speech.audio_features import log_mel
from workflow_scripts.render.render_portrait import render


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("say")
    save_kept(folder / "me.portrait", tiny_kept())
    write_waveform(folder / "hello.wav", voice(2), RATE)
    return folder


def test_pictures_are_those_of_the_workflow(files):
    """The workflow's own steps on the same moments, from features to pictures."""
    portrait = open_portrait(files / "me.portrait")
    kept = portrait._kept
    portrait.say(files / "hello.wav", files / "hello.mp4", crf=0)
    shown = [image for image, _ in read_video(files / "hello.mp4")]
    speech = (np.round(voice(2) * 32767) / 32768).astype(np.float32)
    heard = log_mel(speech, RATE, 50, 25.0)
    moments = kept.loop[torch.as_tensor(back_and_forth(len(kept.loop.gaze), 50))]
    mouth = kept.portrait.hear(
        torch.as_tensor(heard.audio_features), heard.is_silent, np.arange(50),
        moments.T_camera_head, 25.0, kept.render,
    )  # fmt: skip
    moments.mouth[:] = mouth
    blinking = Blinking(kept.blinks, kept.fps, 0)
    blinks = np.array([blinking.next() for _ in range(50)])
    moments.expression[:, list(BLINK_CHANNELS)] = torch.as_tensor(blinks, dtype=torch.float32)
    wanted = list(render(kept.portrait, moments))
    assert len(shown) == len(wanted) == 50
    # Lossless but for the chroma of yuv420p.
    luma = [np.abs(a.astype(float).mean(2) - b.astype(float).mean(2)).mean() for a, b in
            zip(shown, wanted, strict=True)]  # fmt: skip
    assert max(luma) < 2


def test_new_blinks_are_the_manner_of_the_clip():
    expression = np.zeros((500, 7))
    for middle in (50, 180, 300, 420):
        expression[middle - 2 : middle + 3, 5:] = 0.8
    values = new_blinks(expression, 1000, 25.0, 3)
    manner = blink_manner(expression, 25.0)
    assert values.shape == (1000, 2) and 0.5 < values.max() <= 1
    assert manner.mean_interval_seconds == pytest.approx(5)
    np.testing.assert_array_equal(values, new_blinks(expression, 1000, 25.0, 3))


@pytest.mark.parametrize("name, form", [("a.webm", "yuva420p"), ("a.mov", "yuva444p")])
def test_alpha_files(files, name, form):
    portrait = open_portrait(files / "me.portrait")
    n = portrait.say(files / "hello.wav", files / name, background="alpha")
    kept = portrait._kept
    heard = portrait._heard(files / "hello.wav")
    _, alpha = kept.portrait.draw(next(portrait._moments(heard, None, portrait.manner, 0)))
    with av.open(str(files / name)) as container:
        stream = container.streams.video[0]
        assert "Synthetic" in str({**container.metadata, **stream.metadata})
        decoder = av.codec.CodecContext.create("libvpx-vp9", "r") if name == "a.webm" else None
        frames = []
        for packet in container.demux(stream):
            frames += decoder.decode(packet) if decoder else packet.decode()
    assert len(frames) == n == 50
    assert frames[0].format.name.startswith(form[:8])
    found = frames[0].to_ndarray(format="rgba")[..., 3] / 255.0
    assert np.abs(found - alpha.detach().numpy()).mean() < 0.02


def test_who_is_nearly_solid_is_solid_and_the_picture_over_the_plate_stays():
    rng = np.random.default_rng(0)
    alpha = np.linspace(0, 1, 101, dtype=np.float32)[:, None].repeat(5, 1)
    plate, green = rng.random((2, 101, 5, 3), np.float32)
    colours = alpha[..., None] * rng.random((101, 5, 3), np.float32)

    def shown(behind, solid, n_channels=3):
        picture = np.empty((101, 5, n_channels), np.uint8)
        compose(colours, alpha, plate, behind, np.float32(solid), picture)
        return picture.astype(float)

    wanted = 255 * (colours + (1 - alpha[..., None]) * plate)
    for solid in (1, 0.96):
        assert np.abs(shown(plate, solid) - wanted).max() <= 0.51
    over, straight = shown(green, 0.96), shown(green, 0.96, 4)
    assert np.abs(over - wanted)[96:].max() <= 0.51  # nothing of what is behind
    raised = straight[..., 3]
    assert (raised[96:] == 255).all() and (raised[:95] < 255).all() and (raised[0] == 0).all()
    laid = straight[..., :3] * raised[..., None] / 255 + (255 - raised[..., None]) * green
    assert np.abs(laid - over)[5:].max() < 2


def test_folder_of_pictures_and_metadata(files):
    status = main(["say", str(files / "me.portrait"), str(files / "hello.wav"),
                   str(files / "pictures"), "--background", "alpha"])  # fmt: skip
    assert status == 0 and len(list((files / "pictures").glob("*.png"))) == 50
    with av.open(str(files / "hello.mp4")) as container:
        assert "Synthetic" in container.metadata["comment"]


def test_mistakes_are_one_line(files, capsys):
    for video, background in (("a.avi", "plate"), ("a.mp4", "alpha"), ("b.mp4", "purple")):
        arguments = ["say", str(files / "me.portrait"), str(files / "hello.wav"),
                     str(files / video), "--background", background]  # fmt: skip
        assert main(arguments) == 1
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(InputError):
        open_portrait(files / "none.portrait")


def test_label_is_in_a_corner_and_nowhere_else():
    image = np.full((96, 128, 4), 100, np.uint8)
    marked = labelled(image, label_plate("synthetic", 96, 128))
    changed = (marked != image).any(2)
    assert changed[80:, :40].any() and not changed[:70].any()
    assert (marked[changed][:, 3] == 255).all()  # a label is seen where the person is not


@pytest.mark.parametrize("text", ["künstlich", "синтетика", "συνθετικό", "nhân tạo", "مصطنع"])
def test_each_letter_of_a_label_is_drawn(text):
    """As it looks alone, and no two alike: no box or question mark stands for it."""
    letters = text.replace(" ", "")
    seen = {letter: label_plate(letter, 256, 256) for letter in letters}
    assert len({plate.tobytes() for plate in seen.values()}) == len(set(letters))
    question = label_plate("?", 256, 256)
    assert all(not np.array_equal(plate, question) for plate in seen.values())
    whole = label_plate(text, 256, 256)
    ink = sum(seen[letter].astype(int).sum() for letter in letters)
    assert whole.astype(int).sum() == pytest.approx(ink, rel=0.3)


@pytest.mark.parametrize(
    "text, wanted", [("a合成", "合成"), (" ", "is empty"), ("synthetic " * 20, "too long")]
)
def test_a_label_that_cannot_be_written_is_said_in_one_line(files, tmp_path, capsys, text, wanted):
    command = ["say", str(files / "me.portrait"), str(files / "hello.wav"), str(tmp_path / "a.mp4")]
    assert main([*command, "--label", text]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: label") and wanted in said
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("name", ["deepfilternet", "external"])
def test_a_denoiser_that_no_file_carries_is_said_in_one_line(files, tmp_path, capsys, name):
    """Live it is heard all the same, and a recording by naming another denoiser."""
    kept = tiny_kept()
    path = tmp_path / "me.portrait"
    save_kept(path, replace(kept, hearing={**kept.hearing, "denoiser": name}))
    command = ["say", str(path), str(files / "hello.wav"), str(tmp_path / "a.mp4")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and name in said and "--denoiser none" in said
    assert not (tmp_path / "a.mp4").exists()
    assert main([*command, "--denoiser", "none"]) == 0
    session = open_portrait(path).live()
    session.hear(voice(1), RATE)
    assert next(session.frames()).is_speaking
    assert main([*command, "--denoiser", "magic"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
