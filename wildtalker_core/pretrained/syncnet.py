"""SyncNet v2: embeddings of lips and voice that are close when they belong together.

Written from Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV workshops
2016, and the key layout of the public weights file (``netcnnaud``, ``netfcaud``, ``netcnnlip``,
``netfclip``). Inputs follow the public evaluation: five frames of the face, 224x224, BGR, 0 to 255,
against 20 columns of 13 MFCCs (0.2 s), 25 frames and 100 columns a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.weight_files import read_weights
from wildtalker_core.speech.mfcc import mfcc

FPS = 25
SAMPLE_RATE_HZ = 16000
CROP_PX = 224
WINDOW_FRAMES = 5
N_CEPSTRA = 13
COLUMNS_PER_FRAME = 4
WINDOW_COLUMNS = WINDOW_FRAMES * COLUMNS_PER_FRAME


class SyncNet(nn.Module):
    """The two streams; 1024-d embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, 3, padding=1),
            nn.MaxPool2d(1, stride=1),
            *_conv2d(64, 192, 3, padding=1),
            nn.MaxPool2d(3, stride=(1, 2)),
            *_conv2d(192, 384, 3, padding=1),
            *_conv2d(384, 256, 3, padding=1),
            *_conv2d(256, 256, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            *_conv2d(256, 512, (5, 4)),
        )
        self.netfcaud = _head()
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), stride=(1, 2, 2)),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6)),
        )
        self.netfclip = _head()

    def embed_audio(self, cepstra: torch.Tensor) -> torch.Tensor:
        """[batch, 1, 13, 20] MFCCs -> [batch, 1024]."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def embed_lips(self, frames: torch.Tensor) -> torch.Tensor:
        """[batch, 3 (BGR), 5, 224, 224], 0 to 255 -> [batch, 1024]."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))


def _conv2d(
    n_in: int, n_out: int, size: int | tuple[int, int], padding: int = 0
) -> list[nn.Module]:
    convolution = nn.Conv2d(n_in, n_out, size, padding=padding)
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def _conv3d(
    n_in: int,
    n_out: int,
    size: tuple[int, int, int],
    stride: tuple[int, int, int] = (1, 1, 1),
    padding: tuple[int, int, int] = (0, 0, 0),
) -> list[nn.Module]:
    convolution = nn.Conv3d(n_in, n_out, size, stride=stride, padding=padding)
    return [convolution, nn.BatchNorm3d(convolution.out_channels), nn.ReLU(inplace=True)]


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class SyncNetEmbedder:
    """Embeds face crops and speech of one video, window by window.

    Raises:
        InputError: the weights file is absent or of another network.
    """

    def __init__(self, weights_path: AnyPath, device: str | torch.device = "cpu") -> None:
        if_absent = "fetch it or leave evaluate.syncnet_weights empty"
        weights = read_weights(weights_path, if_absent, "fetch it again")
        self._net, self._device = SyncNet(), device
        try:
            self._net.load_state_dict(weights)
        except Exception as error:  # what was read may be anything
            raise InputError(
                weights_path,
                f"is not SyncNet v2's weights file ({str(error).splitlines()[0]})",
                "fetch it again",
            ) from error
        self._net.eval().to(device)
        self.backend = f"SyncNet v2, own network, weights {Path(weights_path).name}"

    @torch.no_grad()
    def __call__(
        self, crops: Iterable[np.ndarray], waveform: np.ndarray, batch_size: int = 20
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of lips and of audio, [windows, 1024] each; window i begins at frame i.

        Args:
            crops: one by one [224, 224, 3] uint8 RGB at 25 fps; a batch of them is held.
            waveform: [samples] in [-1, 1] at 16 kHz, same time zero.

        Raises ValueError if there are fewer than six frames with sound.
        """
        columns = sound_columns(waveform)
        n_sounding = len(waveform) // (SAMPLE_RATE_HZ // FPS)
        lips, audio, n_frames, held = [], [], 0, []
        for crop in itertools.islice(crops, n_sounding):
            held.append(crop)
            n_frames += 1
            # One window fewer than would fit, as in the public evaluation.
            if len(held) == batch_size + WINDOW_FRAMES:
                lips.append(self._embed_lips(held))
                held = held[batch_size:]
        if n_frames <= WINDOW_FRAMES:
            raise ValueError(f"{n_frames} frames with sound; one window needs {WINDOW_FRAMES + 1}")
        if len(held) > WINDOW_FRAMES:
            lips.append(self._embed_lips(held))
        n_windows = n_frames - WINDOW_FRAMES
        for first in range(0, n_windows, batch_size):
            starts = range(first, min(first + batch_size, n_windows))
            sound = np.stack([columns[COLUMNS_PER_FRAME * i :][:WINDOW_COLUMNS].T for i in starts])
            cepstra = torch.from_numpy(sound[:, None].copy()).float()
            audio.append(self._net.embed_audio(cepstra.to(self._device)).cpu().numpy())
        return np.concatenate(lips), np.concatenate(audio)

    def _embed_lips(self, crops: list[np.ndarray]) -> np.ndarray:
        """Embeddings of all windows of some crops but the last, [crops - 5, 1024]."""
        bgr = np.stack(crops)[..., ::-1]
        n_windows = len(crops) - WINDOW_FRAMES
        stack = np.stack([bgr[i : i + WINDOW_FRAMES] for i in range(n_windows)])
        frames = torch.from_numpy(stack.transpose(0, 4, 1, 2, 3).copy()).float()
        return self._net.embed_lips(frames.to(self._device)).cpu().numpy()


def face_crop_boxes(landmarks: np.ndarray, contour: tuple[int, ...]) -> np.ndarray:
    """Squares that the public evaluation would cut around a face track, [frames, 3] x0, y0, side.

    It takes the detector's box of half side s, smoothed over 13 frames, and cuts 1.4 s to either
    side, s upwards from the middle and 1.8 s downwards: lips, chin and some collar. ASSUME: our box
    is that of the mesh's contour (brows' top to chin), a detector's box to within a few percent.

    Args:
        landmarks: [frames, 478, 2] pixels, none missing.
        contour: indices of the face's contour.
    """
    from scipy.signal import medfilt

    points = landmarks[:, list(contour)]
    low, high = points.min(axis=1), points.max(axis=1)
    half = (high - low).max(axis=1) / 2
    centre = (low + high) / 2
    kernel = min(13, len(half) - (len(half) + 1) % 2)
    half, x, y = (medfilt(values, kernel) for values in (half, centre[:, 0], centre[:, 1]))
    return np.stack([x - 1.4 * half, y - half, 2.8 * half], axis=1)


def cut_face_crop(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Cut a square (x0, y0, side) that may stick out (filled with grey 110) to 224x224."""
    import cv2

    scale = CROP_PX / box[2]
    matrix = np.array([[scale, 0, -box[0] * scale], [0, scale, -box[1] * scale]])
    # Pixel centres at +0.5 on both sides of the warp.
    matrix[:, 2] += 0.5 * scale - 0.5
    return cv2.warpAffine(
        frame, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderValue=(110, 110, 110)
    )


def sound_columns(waveform: np.ndarray) -> np.ndarray:
    """Columns [columns, 13], one every 10 ms, of [samples] in [-1, 1] at 16 kHz, made 16-bit."""
    samples = np.round(np.asarray(waveform, np.float64) * 32768.0)
    return mfcc(samples / 32768.0)[:, :N_CEPSTRA]
