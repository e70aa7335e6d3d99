"""A clip's speech before and after each denoiser, as spectrograms."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from wildtalker_core.media.audio import decode_sound
from workflow_scripts.figures import save_figure
from workflow_scripts.job import job

SHOWN_SECONDS = 4.0
FLOOR_DB = -70.0


def main(
    speech: Mapping[str, Mapping[str, np.ndarray]], sample_rate_hz: int, figure_path: str
) -> None:
    """Draw a row for each speech, a column for each treatment.

    Args:
        speech: waveforms [samples] by speech, then by treatment; all rows have the same columns.
    """
    columns = list(dict.fromkeys(name for row in speech.values() for name in row))
    figure, axes = plt.subplots(
        len(speech), len(columns), figsize=(2.5 * len(columns), 2.1 * len(speech) + 0.3),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for i, (name, treated) in enumerate(speech.items()):
        loudest = loudest_part(next(iter(treated.values())), sample_rate_hz)
        for j, column in enumerate(columns):
            if column not in treated:
                axes[i, j].set_axis_off()
                continue
            levels_db, seconds, hz = spectrogram(treated[column][loudest], sample_rate_hz)
            picture = axes[i, j].imshow(
                levels_db, origin="lower", aspect="auto", cmap="magma",
                vmin=FLOOR_DB, vmax=0, extent=(0, seconds, 0, hz / 1000),
            )  # fmt: skip
            if i == 0:
                axes[i, j].set_title(column, fontsize=9)
            axes[i, j].tick_params(labelsize=8)
        axes[i, 0].set_ylabel(f"{name}\nkHz", fontsize=9)
    for j in range(len(columns)):
        axes[-1, j].set_xlabel("seconds", fontsize=9)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.01)
    bar.set_label("dB below the loudest", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save_figure(figure, figure_path)


def loudest_part(waveform: np.ndarray, sample_rate_hz: int) -> slice:
    """The seconds with the most energy, so that something is to be seen."""
    n_shown = min(len(waveform), round(SHOWN_SECONDS * sample_rate_hz))
    total = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    first = int(np.argmax(total[n_shown:] - total[: len(total) - n_shown]))
    return slice(first, first + n_shown)


def spectrogram(waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, float, float]:
    """Levels [bins, hops] in dB below the loudest, duration in seconds, highest frequency in Hz."""
    transform = ShortTimeFFT(hann(512), hop=128, fs=sample_rate_hz, mfft=512)
    power = np.abs(transform.stft(waveform.astype(np.float64))) ** 2
    levels_db = 10 * np.log10(np.maximum(power, 1e-14))
    return levels_db - levels_db.max(), len(waveform) / sample_rate_hz, sample_rate_hz / 2


def read_speech(
    paths: Sequence[str], sample_rate_hz: int, clean_path: str | None
) -> dict[str, dict[str, np.ndarray]]:
    """Waveforms by speech and treatment, from paths ``.../{speech}.{denoiser}/speech.wav``."""
    speech: dict[str, dict[str, np.ndarray]] = {}
    for path in paths:
        name, denoiser = Path(path).parent.name.split(".")
        label = "noisy" if denoiser == "none" else denoiser
        speech.setdefault(name, {})[label] = decode_sound(path, sample_rate_hz)
    if clean_path:
        clean = decode_sound(clean_path, sample_rate_hz)
        for treated in speech.values():
            n_samples = len(next(iter(treated.values())))
            treated["clean"] = np.pad(clean, (0, max(0, n_samples - len(clean))))[:n_samples]
    return speech


if __name__ == "__main__":
    with job(snakemake):
        rate = snakemake.params.sample_rate_hz
        main(
            read_speech(list(snakemake.input.speech), rate, snakemake.input.truth or None),
            rate,
            snakemake.output.figure,
        )
