"""Every frame in its own geometry and colour, as a player would show it."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from tests.conftest import faults_folder
from tests.media.made_clips import face_picture, run_ffmpeg
from wildtalker_core.errors import InputError
from wildtalker_core.media.high_range import KNEE, standard_range, tone_curve
from wildtalker_core.media.video import has_same_shape, probe, read_video, sample_frames

COLOURS = np.array([[250, 10, 10], [20, 230, 20], [30, 30, 240], [200, 150, 120]], np.uint8)


def write_stream(path, pictures, codec="libx264", fps=25, pix_fmt="yuv420p", tag=None):
    """Encode RGB pictures; ``tag`` is the number of a colour matrix: 1 BT.709, 6 BT.601."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, Fraction(fps), options={"crf": "4"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if tag:
            stream.codec_context.colorspace = tag
        matrix = Colorspace.ITU709 if tag == 1 else Colorspace.ITU601
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(
                format=pix_fmt, dst_colorspace=matrix, dst_color_range=ColorRange.MPEG
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def quarters(height, width):
    """Four plain fields."""
    image = np.zeros((height, width, 3), np.uint8)
    for colour, y, x in zip(COLOURS, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
        image[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = (
            colour
        )
    return image


def fields(image):
    """The four plain fields' colours."""
    height, width = image.shape[:2]
    middles = [(height * y // 4, width * x // 4) for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))]
    return np.array([image[y - 4 : y + 4, x - 4 : x + 4].mean(axis=(0, 1)) for y, x in middles])


@pytest.mark.parametrize("size", [(480, 640), (512, 512), (576, 720), (720, 1280), (1080, 1920)])
def test_untagged_colours_are_those_of_the_size(tmp_path, size):
    """SD without a tag is BT.601, HD BT.709; a wrong matrix errs by 20 and more."""
    matrix = Colorspace.ITU709 if size[0] >= 720 else Colorspace.ITU601
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(quarters(*size), format="rgb24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG
            )
            planes = av.VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")  # no tags
            container.mux(stream.encode(planes))
        container.mux(stream.encode(None))
    image = next(read_video(path))[0]
    assert np.abs(fields(image) - COLOURS).max() < 8


@pytest.mark.parametrize("tag", [1, 6])
@pytest.mark.parametrize("size", [(240, 320), (720, 1280)])
def test_tagged_colours_are_those_of_the_tag(tmp_path, tag, size):
    path = write_stream(tmp_path / "v.mp4", [quarters(*size)] * 2, tag=tag)
    assert np.abs(fields(next(read_video(path))[0]) - COLOURS).max() < 8


# --- high dynamic range ---------------------------------------------------------------------------


def pq(nits):
    """SMPTE ST 2084, written down again."""
    y = (np.asarray(nits) / 1e4) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(scene):
    """ARIB STD-B67 for scene light in [0, 1]."""
    scene = np.asarray(scene, float)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)


def converted(signal, kind, is_bt2020):
    image = np.round(np.asarray(signal) * 65535).astype(np.uint16)[None]
    return standard_range(image, kind, is_bt2020)[0]


@pytest.mark.parametrize("kind", ["pq", "hlg"])
def test_greys_below_the_knee_keep_their_light(kind):
    """Closed form: V = (nits / 203)^(1 / 2.4), whatever carries the light."""
    nits = np.linspace(1, KNEE * 203, 40)
    signal = pq(nits) if kind == "pq" else hlg((nits / 1000) ** (1 / 1.2))
    got = converted(np.stack([signal] * 3, 1), kind, True)
    assert np.abs(got - 255 * (nits[:, None] / 203) ** (1 / 2.4)).max() <= 1


def test_highlights_roll_off_and_the_peak_is_white():
    light = np.linspace(0.01, 5, 500)
    shown = np.array([tone_curve(x, 1000 / 203) for x in light])
    assert (np.diff(shown) >= -1e-9).all() and shown.max() <= 1 + 1e-9
    np.testing.assert_array_equal(shown[light <= KNEE], light[light <= KNEE])
    slope = (tone_curve(KNEE + 1e-5, 4.9) - tone_curve(KNEE, 4.9)) / 1e-5
    assert slope == pytest.approx(1, abs=1e-3)
    assert (converted(np.full((1, 3), pq(1000.0)), "pq", True) == 255).all()


@pytest.mark.parametrize("kind", ["sdr", "pq", "hlg"])
def test_colours_of_bt709_come_back_from_bt2020(kind):
    """Linear BT.709 → BT.2020 by BT.2087's matrix, written down here, → there and back."""
    to_2020 = np.array(
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    )
    linear = (COLOURS / 255.0) ** 2.4 * KNEE
    light = linear @ to_2020.T
    signal = {
        "sdr": light ** (1 / 2.4),
        "pq": pq(203 * light),
        "hlg": hlg((0.203 * light) ** (1 / 1.2)),
    }[kind]
    expected = 255 * linear ** (1 / 2.4)
    assert np.abs(converted(signal, kind, True).astype(float) - expected).max() < 6


@pytest.mark.parametrize(
    ("trc", "name"), [(ColorTrc.SMPTE2084, "pq"), (ColorTrc.ARIB_STD_B67, "hlg")]
)
def test_a_ten_bit_file_is_recognised_by_its_tags(tmp_path, trc, name):
    signal = 0.5 * np.ones((64, 64, 3))
    codes = np.round(signal * 65535).astype(np.uint16)
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        options = {"x265-params": "log-level=none"}
        stream = container.add_stream("libx265", 25, options=options)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = trc, ColorPrimaries.BT2020
        context.colorspace, context.color_range = Colorspace.BT2020, ColorRange.MPEG
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(codes, format="rgb48le")
            frame = frame.reformat(
                format="yuv420p10le",
                dst_colorspace=Colorspace.BT2020,
                dst_color_range=ColorRange.MPEG,
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(path).dynamic_range == name
    image = next(read_video(path))[0]
    expected = converted(np.full((1, 3), 0.5), name, True)[0]
    assert np.abs(image.reshape(-1, 3).mean(0) - expected).max() < 2


@pytest.mark.parametrize("name", ["hlg.mp4", "pq.mp4"])
def test_high_range_files_look_like_the_clip_they_are_made_from(name):
    path = faults_folder() / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    image = next(read_video(path))[0].astype(float)
    assert np.abs(image[20:44, 20:44].mean(axis=(0, 1)) - [253, 0, 0]).max() < 25
    base = next(read_video(faults_folder() / "base_speech.mp4"))[0]
    # Its middle; in the corners are patches of colour.
    assert np.abs(image - base)[70:190].mean() < 6


# --- interlacing ----------------------------------------------------------------------------------


def combing(image):
    """Steps between neighbouring lines over steps between lines of one field."""
    grey = image.astype(float).mean(-1)
    return np.abs(np.diff(grey, axis=0)).mean() / np.abs(grey[2:] - grey[:-2]).mean()


def moving_frames(n, size=256):
    """Fields of a picture that moves sideways, as two frames each of n interlaced ones."""
    face = face_picture(size)
    return [np.roll(face, 6 * i, axis=1) for i in range(2 * n)]


@pytest.mark.parametrize("first", ["tff", "bff"])
def test_interlaced_frames_lose_their_combs_and_no_frame(tmp_path, first):
    fields_ = moving_frames(12)
    top, bottom = (0, 1) if first == "tff" else (1, 0)
    frames = []
    for early, late in zip(fields_[::2], fields_[1::2], strict=True):
        frame = early.copy()
        frame[bottom::2] = late[bottom::2]
        frames.append(frame)
    assert top != bottom
    plain = write_stream(tmp_path / "plain.mkv", frames, "ffv1", pix_fmt="yuv444p")
    path = tmp_path / "i.mp4"
    run_ffmpeg("-i", plain, "-vf", f"setfield={first},format=yuv420p", "-c:v", "libx264", "-crf", 4,
               "-flags", "+ildct+ilme", "-x264-params", f"{first}=1", path)  # fmt: skip
    assert probe(path).is_interlaced
    got = [image for image, _ in read_video(path)]
    assert len(got) == 12
    assert combing(frames[5]) > 1.1
    assert combing(got[5]) < 0.8
    # The field that is shown first is what the frame shows.
    error = np.abs(got[5][::1].astype(float) - fields_[10]).mean()
    assert error < np.abs(got[5].astype(float) - fields_[11]).mean()
    assert [s.number for s in sample_frames(path, 25.0)] == list(range(12))


def test_the_interlaced_recording_is_smooth():
    path = faults_folder() / "interlaced.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    images = [image for image, _ in read_video(path)]
    assert len(images) == 100
    assert combing(images[30]) < 0.8


# --- sizes ----------------------------------------------------------------------------------------


def joined(tmp_path, sizes, suffix="ts", n_each=10):
    """A stream whose picture has one size after another, n_each frames of each."""
    parts = []
    for i, (height, width) in enumerate(sizes):
        part = tmp_path / f"part{i}.ts"
        bars = f"smptebars=size=640x480:rate=25,scale={width}:{height},setsar=1"
        run_ffmpeg("-f", "lavfi", "-i", bars, "-frames:v", n_each, "-output_ts_offset",
                   i * n_each / 25, "-c:v", "libx264", "-bf", 0, "-pix_fmt", "yuv420p",
                   part)  # fmt: skip
        parts.append(part.read_bytes())
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(parts))
    return path


def test_a_size_that_changes_in_mid_stream_is_scaled_or_named(tmp_path):
    path = joined(tmp_path, [(128, 160), (256, 320), (192, 240)])
    sizes = [s.image.shape[:2] for s in sample_frames(path, 25.0, may_change_size=True)]
    assert sizes == [(128, 160)] * 10 + [(256, 320)] * 10 + [(192, 240)] * 10
    scaled = list(sample_frames(path, 25.0, shape=(256, 320)))
    assert {s.image.shape[:2] for s in scaled} == {(256, 320)}
    # The bars are alike at any size.
    assert np.abs(scaled[5].image.astype(float) - scaled[15].image).mean() < 4
    assert np.abs(scaled[25].image.astype(float) - scaled[15].image).mean() < 4
    with pytest.raises(InputError, match=r"from 160x128 to 320x256 pixels at 0\.40 s"):
        list(read_video(path))


def test_a_picture_that_changes_its_shape_is_named(tmp_path):
    path = joined(tmp_path, [(240, 320), (320, 240)])
    with pytest.raises(InputError, match=r"from 320x240 to 240x320 pixels at 0\.40 s") as caught:
        list(sample_frames(path, 25.0, may_change_size=True))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [((256, 256), (512, 512), True), ((1080, 1920), (720, 1280), True),
     ((1088, 1920), (1080, 1920), True), ((480, 640), (720, 1280), False),
     ((180, 320), (90, 160), True), ((270, 480), (136, 240), True)],
)  # fmt: skip
def test_same_shape(one, other, is_same):
    assert has_same_shape(one, other) == has_same_shape(other, one) == is_same


def test_each_frame_has_its_own_pixel_aspect(tmp_path):
    """Square pixels first, then pixels twice as wide as high: the circle stays round."""
    parts = []
    for i, (width, aspect) in enumerate([(320, "1"), (160, "2")]):
        part = tmp_path / f"{i}.ts"
        run_ffmpeg("-f", "lavfi", "-i", f"smptebars=size=320x240:rate=25,scale={width}:240,"
                   f"setsar={aspect}", "-frames:v", 10, "-output_ts_offset", i * 0.4,
                   "-c:v", "libx264", "-bf", 0, "-pix_fmt", "yuv420p", part)  # fmt: skip
        parts.append(part.read_bytes())
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(parts))
    images = [image for image, _ in read_video(path)]
    assert [image.shape for image in images] == [(240, 320, 3)] * 20
    assert np.abs(images[5].astype(float) - images[15]).mean() < 4


def test_the_default_video_stream_is_taken_and_others_can_be(tmp_path):
    path = tmp_path / "two.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64:rate=25:duration=0.4",
               "-f", "lavfi", "-i", "color=blue:size=96x96:rate=25:duration=0.4",
               "-map", 0, "-map", 1, "-disposition:v:0", 0, "-disposition:v:1", "default",
               "-pix_fmt", "yuv420p", path)  # fmt: skip
    facts = probe(path)
    assert facts.width == 96 and "number 2 is taken, the default" in facts.notes[0]
    assert next(sample_frames(path, 25.0)).image[0, 0, 2] > 200
    assert probe(path, 1).width == 64
    assert next(sample_frames(path, 25.0, stream_number=1)).image[0, 0, 0] > 200
    with pytest.raises(InputError, match="has 2 video streams, number 3 is asked for"):
        probe(path, 3)
