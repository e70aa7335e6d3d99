import numpy as np
import pytest

from tests.media.made_clips import brightness_ramp, frame_number, run_ffmpeg
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import decode_sound, write_waveform
from wildtalker_core.media.video import (
    first_frame_seconds,
    probe,
    read_video,
    sample_frames,
)
from wildtalker_core.media.video_writer import VideoWriter


def shown(path, fps, **span):
    """Source frame number, read from the picture itself, of each output frame."""
    numbers = []
    for sampled in sample_frames(path, fps, **span):
        assert list(sampled.outputs) == list(
            range(len(numbers), len(numbers) + len(sampled.outputs))
        )
        assert frame_number(sampled.image) == sampled.number
        numbers += [sampled.number] * len(sampled.outputs)
    return numbers


def expected(stamps, end_seconds, fps):
    """Brute force: the frame on show in the middle of each output frame."""
    n_outputs = int(np.floor(end_seconds * fps + 0.5 + 1e-9))
    middles = (np.arange(n_outputs) + 0.5) / fps - 0.001
    return [int(np.searchsorted(stamps, middle, side="right")) - 1 for middle in middles]


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov", "ts", "webm"])
def test_equal_rates_copy_frame_by_frame_in_every_container(tmp_path, container):
    path = brightness_ramp(tmp_path / f"ramp.{container}", "25", 2.0)
    assert shown(path, 25.0) == list(range(50))


@pytest.mark.parametrize("rate", ["30", "30000/1001", "24", "22.13", "50", "12"])
def test_any_rate_is_sampled_at_the_middle_of_output_frames(tmp_path, rate):
    path = brightness_ramp(tmp_path / "ramp.mp4", rate, 1.48)
    rate_hz = eval(rate)
    n_source = len(list(read_video(path)))
    stamps = np.arange(n_source) / rate_hz
    assert shown(path, 25.0) == expected(stamps, n_source / rate_hz, 25.0)


def test_variable_frame_rate_holds_a_frame_as_long_as_it_is_shown(tmp_path):
    whole = brightness_ramp(tmp_path / "whole.mp4", "25", 2.0)
    # Frames 10 to 29 are missing: frame 9 is shown for 0.84 s.
    holed = tmp_path / "holed.mkv"
    run_ffmpeg("-i", whole, "-vf", "select='lt(n,10)+gte(n,30)'", "-fps_mode", "passthrough",
               "-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv444p", holed)  # fmt: skip
    numbers = [s.number for s in sample_frames(holed, 25.0) for _ in s.outputs]
    assert numbers == [*range(10), *[9] * 20, *range(10, 30)]
    pictures = [frame_number(s.image) for s in sample_frames(holed, 25.0) for _ in s.outputs]
    assert pictures == [*range(10), *[9] * 20, *range(30, 50)]


def test_start_and_length_cut_the_clip(tmp_path):
    path = brightness_ramp(tmp_path / "ramp.mp4", "25", 2.0)
    assert shown(path, 25.0, start_seconds=0.4, max_seconds=1.0) == list(range(10, 35))
    assert shown(path, 25.0, start_seconds=1.6, max_seconds=1.0) == list(range(40, 50))
    assert shown(path, 25.0, start_seconds=9.0) == []


def test_edit_list_of_a_trimmed_clip_is_no_truncation(tmp_path):
    path = brightness_ramp(tmp_path / "ramp.mp4", "25", 3.0, "160x160", "-g", "100")
    trimmed = tmp_path / "trimmed.mp4"
    run_ffmpeg("-ss", 1.2, "-i", path, "-c", "copy", trimmed)
    pictures = [frame_number(s.image) for s in sample_frames(trimmed, 25.0) for _ in s.outputs]
    assert pictures == list(range(30, 75))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_display_matrix_turns_the_picture_upright(tmp_path, degrees, is_mirrored):
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(40, 216, (3, 4, 1)), np.ones((40, 40, 3))).astype(np.uint8)
    with VideoWriter(tmp_path / "plain.mp4", 25.0, crf=1) as video:
        for _ in range(3):
            video.append(picture)
    flip = ["-display_hflip"] if is_mirrored else []
    run_ffmpeg("-display_rotation", degrees, *flip, "-i", tmp_path / "plain.mp4", "-c", "copy",
               tmp_path / "turned.mp4")  # fmt: skip
    # What ffmpeg itself shows is the reference.
    run_ffmpeg("-i", tmp_path / "turned.mp4", "-frames:v", 1, "-c:v", "libx264rgb", "-crf", 0,
               tmp_path / "reference.mkv")  # fmt: skip
    reference = next(read_video(tmp_path / "reference.mkv"))[0]
    image = next(read_video(tmp_path / "turned.mp4"))[0]
    assert image.shape == reference.shape
    assert np.abs(image.astype(int) - reference).mean() < 4
    facts = probe(tmp_path / "turned.mp4")
    assert (facts.height, facts.width) == image.shape[:2]


def test_anamorphic_pixels_become_square(tmp_path):
    path = brightness_ramp(tmp_path / "wide.mp4", "25", 0.2, "160x160", "-aspect", "2:1")
    image = next(read_video(path))[0]
    assert image.shape == (160, 320, 3)
    assert (probe(path).width, probe(path).height) == (320, 160)


def test_writer_keeps_colours_frames_and_sound(tmp_path):
    rng = np.random.default_rng(1)
    colours = np.kron(rng.integers(30, 226, (4, 4, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    write_waveform(tmp_path / "tone.wav", tone.astype(np.float32), 16000)
    path = tmp_path / "made" / "portrait.mp4"
    with VideoWriter(path, 25.0, tmp_path / "tone.wav", crf=10) as video:
        for _ in range(25):
            video.append(colours)
    frames = list(read_video(path))
    assert len(frames) == 25
    np.testing.assert_allclose([t for _, t in frames], np.arange(25) / 25, atol=1e-4)
    inner = frames[7][0].reshape(4, 32, 4, 32, 3)[:, 8:24, :, 8:24].mean(axis=(1, 3))
    assert np.abs(inner - colours[::32, ::32]).max() < 6  # a wrong matrix errs by 20 and more
    sound = decode_sound(path, 16000)
    assert abs(sound.size - 16000) <= 1024
    spectrum = np.abs(np.fft.rfft(sound[2000:14000]))
    assert abs(np.argmax(spectrum) * 16000 / 12000 - 440) < 2
    assert [p.name for p in path.parent.iterdir()] == ["portrait.mp4"]


def test_interrupted_writer_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "v.mp4", 25.0) as video:
        video.append(np.zeros((64, 64, 3), np.uint8))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_changing_sizes_and_emptiness(tmp_path):
    with pytest.raises(ValueError, match="the first was"), VideoWriter(tmp_path / "v.mp4", 25) as v:
        v.append(np.zeros((64, 64, 3), np.uint8))
        v.append(np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="no frame"), VideoWriter(tmp_path / "v.mp4", 25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_missing_text_and_soundless_files_are_named(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 100)
    with pytest.raises(InputError, match="text.mp4: is not a readable video"):
        probe(text)
    with pytest.raises(InputError, match="absent.mp4: does not exist"):
        probe(tmp_path / "absent.mp4")
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.mp4")
    with pytest.raises(InputError, match="sound.mp4: has no video stream"):
        probe(tmp_path / "sound.mp4")


@pytest.mark.parametrize("name", ["front.mp4", "back.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.85])
def test_truncation_is_noticed(tmp_path, name, share):
    flags = ["-movflags", "+faststart"] if name == "front.mp4" else []
    path = tmp_path / name
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=size=160x160:rate=25:duration=6", "-f", "lavfi",
               "-i", "sine=duration=6", "-pix_fmt", "yuv420p", *flags, path)  # fmt: skip
    # An AVI of ffmpeg holds its first frame twice as long, for its decoder to reorder.
    n_outputs = sum(len(s.outputs) for s in sample_frames(path, 25.0))
    assert n_outputs == (151 if name == "a.avi" else 150)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="truncated|not a readable video|no readable|no video"):
        list(sample_frames(path, 25.0))


def test_late_first_frame_is_time_zero(tmp_path):
    path = brightness_ramp(tmp_path / "ramp.mkv", "25", 1.0)
    late = tmp_path / "late.mkv"
    run_ffmpeg("-itsoffset", 0.6, "-i", path, "-f", "lavfi", "-i", "sine=duration=1.6", "-map", 0,
               "-map", 1, "-c:v", "copy", late)  # fmt: skip
    assert first_frame_seconds(late) == pytest.approx(0.6, abs=0.03)
    assert shown(late, 25.0) == list(range(25))
