"""Sound as people's files have it: several streams, cancelling channels, hum, wrong headers."""

import io
import struct

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, faults_folder
from tests.media.made_clips import brightness_ramp, run_ffmpeg
from tests.media.test_audio import clicks, onsets
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import (
    decode_sound,
    probe_waveform,
    read_waveform,
    read_waveform_blocks,
)
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.sound_checks import (
    mains_hum,
    require_audible,
    sound_faults,
    speech_level_dbfs,
)
from wildtalker_core.media.sound_track import mix
from wildtalker_core.media.splits import Split, save_split
from wildtalker_core.media.video import first_frame_seconds, read_video
from workflow_scripts.media import extract_speech
from workflow_scripts.speech import prepare_drive

RATE_HZ = 16000


@pytest.fixture(scope="module")
def speech():
    """Real speech, [samples] at 16 kHz, at least three seconds."""
    waveform, rate_hz = read_waveform(ROOT / "examples" / "greeting.wav")
    assert rate_hz == RATE_HZ
    return np.tile(waveform, 2)[: 4 * RATE_HZ]


def hum(base, n, amplitude=0.1, drift=0.0):
    """Mains with harmonics that fall by the square of their number."""
    t = np.arange(n) / RATE_HZ
    return sum(
        amplitude / k**2 * np.sin(2 * np.pi * (base + drift) * k * t + k) for k in range(1, 30)
    ).astype(np.float32)


# --- streams and channels -------------------------------------------------------------------------


def two_tracks(tmp_path, default):
    """A video with a silent track and one with clicks; ``default`` is the number of the marked."""
    soundfile.write(tmp_path / "none.wav", np.zeros(2 * 44100), 44100)
    ramp = brightness_ramp(tmp_path / "r.mp4", "25", 2.0)
    path = tmp_path / "two.mkv"
    run_ffmpeg("-i", ramp, "-i", tmp_path / "none.wav", "-i", clicks(tmp_path / "c.wav"),
               "-map", 0, "-map", 1, "-map", 2, "-c:v", "copy", "-c:a", "flac",
               "-disposition:a:0", "default" if default == 1 else 0,
               "-disposition:a:1", "default" if default == 2 else 0,
               "-metadata:s:a:1", "title=Mic", path)  # fmt: skip
    return path


def test_the_default_audio_stream_is_taken_and_others_can_be(tmp_path):
    path, notes = two_tracks(tmp_path, 2), []
    assert len(onsets(decode_sound(path, RATE_HZ, notes=notes))) == 8
    assert (
        "2 audio streams; number 2 is taken" in notes[0]
        and '2 flac 44100 Hz mono "Mic"' in notes[0]
    )
    assert np.abs(decode_sound(path, RATE_HZ, stream_number=1)).max() == 0
    with pytest.raises(InputError, match="has 2 audio streams, number 3 is asked for"):
        decode_sound(path, RATE_HZ, stream_number=3)


def extracted(folder, path, n_samples, source, **options):
    """What extract_speech makes of a sound beside a clip of ``source``, [samples] at 16 kHz."""
    manifest = {
        "sample_rate_hz": RATE_HZ,
        "n_samples": n_samples,
        "source": {"start_seconds": 0.0, **source},
    }
    save_json(folder / "m.json", manifest)
    save_split(folder / "split.json", Split((8, 9, 10), np.ones(10, bool)))
    files = [str(folder / name) for name in ("m.json", "split.json", "out.wav", "out.json")]
    extract_speech.main(str(path), *files, **options)
    return read_waveform(folder / "out.wav")[0]


def test_a_silent_default_stream_names_the_others(tmp_path):
    path = two_tracks(tmp_path, 1)
    given = (tmp_path, path, 2 * RATE_HZ, {"path": str(path), "first_frame_seconds": 0.0})
    with pytest.raises(InputError, match='media.audio_stream: .*"Mic"'):
        extracted(*given)
    assert len(onsets(extracted(*given, audio_stream=2))) == 8


def test_channels_that_cancel_give_one_of_them(speech):
    mono, note = mix(np.stack([speech, -speech]))
    np.testing.assert_array_equal(mono, speech)
    assert "channel 1 of 2 is taken alone" in note
    rng = np.random.default_rng(0)
    noise = 0.001 * rng.standard_normal((2, len(speech))).astype(np.float32)
    mono, note = mix(np.stack([0.5 * speech, -0.6 * speech]) + noise)
    assert note and abs(np.corrcoef(mono, speech)[0, 1]) > 0.99
    for other in (speech, 0 * speech, 0.3 * speech, 0.02 - 0 * speech):
        mono, note = mix(np.stack([speech, other]))
        assert note is None
        np.testing.assert_allclose(mono, (speech + other) / 2, atol=1e-6)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 6, 8])
def test_one_voice_among_many_channels_is_heard(tmp_path, speech, n_channels):
    channels = np.zeros((len(speech), n_channels), np.float32)
    channels[:, n_channels - 1] = 0.5 * speech
    soundfile.write(tmp_path / "many.wav", channels, RATE_HZ)
    mono = decode_sound(tmp_path / "many.wav", RATE_HZ)
    assert np.corrcoef(mono[: len(speech)], speech)[0, 1] > 0.99
    assert np.abs(mono).max() > 0.1 * np.abs(speech).max()


def test_two_files_have_each_their_own_zero(tmp_path):
    """A sound file goes with the first frame, whatever the video's clock says there."""
    ramp = brightness_ramp(tmp_path / "r.mp4", "25", 2.0)
    sound = clicks(tmp_path / "clicks.wav")
    late, late_sound = tmp_path / "late.ts", tmp_path / "late.mkv"
    run_ffmpeg("-i", ramp, "-i", sound, "-c:v", "libx264", "-output_ts_offset", 5, late)
    run_ffmpeg("-itsoffset", 3, "-i", sound, "-c:a", "flac", late_sound)
    run_ffmpeg("-itsoffset", 2, "-i", ramp, "-itsoffset", 2.3, "-i", sound, "-c:v", "copy", "-c:a",
               "flac", tmp_path / "other.mkv")  # fmt: skip
    for start in (0.0, 0.5):
        for path, offset in ((late, 0), (sound, 0), (late_sound, 0), (tmp_path / "other.mkv", 0.3)):
            source = {"path": str(late), "start_seconds": start,
                      "first_frame_seconds": first_frame_seconds(late)}  # fmt: skip
            heard = onsets(extracted(tmp_path, path, RATE_HZ, source))
            truth = np.arange(0.1, 1.9, 0.25) + offset - start
            truth = truth[(truth > 0.01) & (truth < 0.97)]
            np.testing.assert_allclose(heard, truth, atol=0.005, err_msg=f"{path} {start}")


def test_sound_beside_a_late_video_beeps_on_the_flash(tmp_path):
    video, sound = faults_folder() / "sync_start.ts", faults_folder() / "sync_sound.wav"
    light = np.array([image.mean() for image, _ in read_video(video)])
    flashes = np.flatnonzero(np.diff(light) > 20) + 1
    source = {"path": str(video), "first_frame_seconds": first_frame_seconds(video)}
    for path in (sound, video):
        heard = extracted(tmp_path, path, len(light) * 640, source)
        for flash in flashes:
            at = flash * 640
            before, after = heard[at - 800 : at - 160], heard[at + 160 : at + 640]
            assert np.std(after) > 1.5 * np.std(before), (path, flash)


# --- what is no speech ----------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("covered", [0.4, 1.0])
def test_a_constant_is_no_speech(offset, covered):
    n = 4 * RATE_HZ
    waveform = np.zeros(n, np.float32)
    waveform[: int(covered * n)] = offset
    with pytest.raises(InputError, match="is silent"):
        require_audible(waveform, RATE_HZ, "clip.mov")


@pytest.mark.parametrize(("base", "drift"), [(50, 0.0), (50, 0.07), (60, -0.05), (60, 0.0)])
@pytest.mark.parametrize("amplitude", [0.01, 0.1])
def test_mains_hum_is_no_speech(base, drift, amplitude):
    waveform = hum(base, 5 * RATE_HZ, amplitude, drift)
    assert list(mains_hum(waveform, RATE_HZ)) == [base]
    with pytest.raises(InputError, match=f"is silent.*mains hum of {base} Hz"):
        require_audible(waveform, RATE_HZ, "clip.mov")


@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_speech_is_heard_above_hum_and_offset(speech, gain):
    clean_db = speech_level_dbfs(gain * speech, RATE_HZ)
    spoiled = gain * speech + hum(50, len(speech), 0.05) + 0.05
    require_audible(spoiled, RATE_HZ, "clip.mov")
    assert abs(speech_level_dbfs(spoiled, RATE_HZ) - clean_db) < 3
    faults = sound_faults(spoiled, RATE_HZ)
    assert len(faults) == 2 and "offset of 0.05" in faults[0] and "50 Hz" in faults[1]
    assert sound_faults(0.9 * gain * speech, RATE_HZ) == []


def test_the_offset_is_not_in_the_speech(tmp_path, speech):
    soundfile.write(tmp_path / "s.wav", 0.5 * speech + 0.1, RATE_HZ)
    source = {"path": "clip.mp4", "first_frame_seconds": 7.0}
    heard = extracted(tmp_path, tmp_path / "s.wav", len(speech), source)
    assert abs(heard.mean()) < 1e-3
    assert "offset" in load_json(tmp_path / "out.json")["warnings"][0]


@pytest.mark.parametrize(
    ("name", "is_silent"),
    [("antiphase.mov", False), ("dc_only.mov", True), ("obs_tracks.mkv", False)],
)
def test_faulty_recordings(name, is_silent):
    waveform = decode_sound(faults_folder() / name, RATE_HZ)
    if is_silent:
        with pytest.raises(InputError, match="is silent"):
            require_audible(waveform, RATE_HZ, name)
    else:
        require_audible(waveform, RATE_HZ, name)
        assert speech_level_dbfs(waveform, RATE_HZ) > -30


# --- headers --------------------------------------------------------------------------------------


def wav_with(path, waveform, length, riff_length=None, subtype="PCM_16", extra=b"", cut=None):
    """A wav whose chunk of samples says ``length`` (a number, or a function of the true one)."""
    memory = io.BytesIO()
    soundfile.write(memory, waveform, RATE_HZ, format="WAV", subtype=subtype)
    data = bytearray(memory.getvalue())
    at = data.index(b"data") + 4
    true = struct.unpack("<I", data[at : at + 4])[0]
    wrong = length(true) if callable(length) else length
    data[at : at + 4] = struct.pack("<I", wrong)
    if riff_length is not None:
        data[4:8] = struct.pack("<I", riff_length)
    path.write_bytes(bytes(data[:cut]) + extra)
    return path


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize(
    ("length", "riff", "words"),
    [(0xFFFFFFFF, 0xFFFFFFFF, "does not say how long"), (0x7FFFFFFF, 0x7FFFFFFF, "does not say"),
     (0xFFFFFFFF, 0, "does not say"), (0, 0, "says 0 samples"), (0, 36, "says 0 samples"),
     (lambda true: 2 * true, None, "cut off")],
)  # fmt: skip
def test_a_wrong_length_gives_what_is_there_and_says_so(
    tmp_path, caplog, speech, subtype, length, riff, words
):
    path = wav_with(tmp_path / "s.wav", speech, length, riff, subtype)
    notes = []
    heard = decode_sound(path, RATE_HZ, notes=notes)
    assert (
        abs(len(heard) - len(speech)) <= 1 and np.abs(heard[:60000] - speech[:60000]).max() < 1e-4
    )
    assert words in notes[0] and "4.00 s that are there are taken" in notes[0]
    caplog.clear()
    assert probe_waveform(path).n_samples == len(speech)
    np.testing.assert_allclose(read_waveform(path)[0], speech, atol=1e-4)
    blocks = np.concatenate(list(read_waveform_blocks(path, 5000)))
    np.testing.assert_allclose(blocks, speech, atol=1e-4)
    assert words in caplog.text and "0x" not in caplog.text


@pytest.mark.parametrize("cut", [20000, 20001, 45])
def test_a_cut_off_wav_ends_where_it_ends(tmp_path, speech, cut):
    path = wav_with(tmp_path / "s.wav", speech, lambda true: true, cut=cut)
    waveform = read_waveform(path)[0] if cut > 45 else None
    if waveform is None:
        with pytest.raises(InputError, match="holds no samples"):
            read_waveform(path)
    else:
        assert len(waveform) == (cut - 44) // 2
        assert abs(len(decode_sound(path, RATE_HZ)) - len(waveform)) <= 1


def test_sound_headers_are_left_alone(tmp_path, caplog, speech):
    good = wav_with(tmp_path / "good.wav", speech, lambda true: true)
    assert len(decode_sound(good, RATE_HZ)) == len(speech)
    tagged = wav_with(tmp_path / "tagged.wav", speech, lambda t: t, extra=b"LIST" + bytes(12))
    assert len(read_waveform(tagged)[0]) == len(speech)
    empty = wav_with(tmp_path / "empty.wav", speech[:0], 0, extra=b"LIST" + bytes(12))
    with pytest.raises(InputError, match="holds no samples"):
        read_waveform(empty)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["d_stream_header.wav", "d_zero_len.wav"])
def test_faulty_headers_drive(tmp_path, name):
    prepare_drive.main(
        str(faults_folder() / name), None, str(tmp_path / "s.wav"), str(tmp_path / "c.wav"),
        RATE_HZ, {},
    )  # fmt: skip
    assert abs(len(read_waveform(tmp_path / "s.wav")[0]) / RATE_HZ - 3.7586) < 0.002
    assert abs(len(read_waveform(faults_folder() / name)[0]) / 16000 - 3.7586) < 0.002


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "flac", "ogg", "mkv"])
def test_no_code_or_pointer_reaches_the_user(tmp_path, speech, suffix):
    """Files cut at many places give their sound, or one line in words."""
    soundfile.write(tmp_path / "s.wav", speech, RATE_HZ)
    whole = tmp_path / f"whole.{suffix}"
    run_ffmpeg("-i", tmp_path / "s.wav", whole)
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / f"bad.{suffix}"
    for share in (0.0, 0.01, 0.1, 0.5, 0.9):
        for n_flips in (0, 50):
            bad = data[: int(share * len(data))] if not n_flips else bytearray(data)
            for place in rng.integers(0, len(data), n_flips):
                if n_flips:
                    bad[place] ^= 0xFF
            path.write_bytes(bytes(bad))
            try:
                decode_sound(path, RATE_HZ)
            except InputError as error:
                words = str(error)
                assert "0x" not in words and "1094995529" not in words and "\n" not in words
                assert "Errno" not in words
