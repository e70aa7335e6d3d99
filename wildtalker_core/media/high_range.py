"""High dynamic range and wide gamut to BT.709.

By formulas of ITU-R BT.2100 (transfer functions), BT.2087 (primaries) and BT.2408 (203 nits is
reference white), and a tone curve that leaves everything up to ``KNEE`` of white as it is.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np

#: Nits of reference white (BT.2408) and of the display that HLG is meant for (BT.2100).
WHITE_NITS, HLG_PEAK_NITS = 203.0, 1000.0

# ASSUME: PQ is mastered for at most so much (most common displays of studios); what is brighter
# becomes white.
PQ_PEAK_NITS = 1000.0

# ASSUME: in shares of reference white; faces lie below, lamps and skies above.
KNEE = 0.8

#: Linear BT.2020 to linear BT.709 (BT.2087).
BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ]
)


def standard_range(signal: np.ndarray, kind: str, is_bt2020: bool) -> np.ndarray:
    """R'G'B' [height, width, 3] uint16 of any range and gamut → uint8 of BT.709, shown at 203 nits.

    Display light in shares of reference white: PQ by its EOTF; HLG by its inverse OETF and a power
    of 1.2 for a display of 1,000 nits; standard range by V^2.4 (BT.1886). Then BT.2087, then, for
    high range, ``tone_curve`` on the largest of the three (hues stay), then the inverse of BT.1886.
    """
    matrix = BT2020_TO_BT709 if is_bt2020 else np.eye(3)
    peak = {"sdr": 0.0, "hlg": HLG_PEAK_NITS, "pq": PQ_PEAK_NITS}[kind] / WHITE_NITS
    return _convert(
        np.ascontiguousarray(signal),
        _decoding_table(kind),
        matrix.astype(np.float32),
        np.float32(peak),
        _encoding_table(),
    )


@numba.njit
def tone_curve(light: float, peak: float) -> float:
    """Light in shares of white → at most 1: the identity up to ``KNEE``, ``peak`` becomes 1.

    Above, x = (light - KNEE) / (1 - KNEE) becomes x (1 + x / m^2) / (1 + x), with m the same of the
    peak (Reinhard et al., Photographic Tone Reproduction, 2002, Eq. 4); slopes agree at the knee.
    """
    if light <= KNEE:
        return light
    m = (peak - KNEE) / (1 - KNEE)
    x = min((light - KNEE) / (1 - KNEE), m)
    return KNEE + (1 - KNEE) * x * (1 + x / (m * m)) / (1 + x)


@numba.njit
def _convert(
    signal: np.ndarray, table: np.ndarray, matrix: np.ndarray, peak: float, code: np.ndarray
) -> np.ndarray:
    """The steps of ``standard_range``, pixel by pixel; ``peak`` 0 leaves out the tone curve."""
    height, width, _ = signal.shape
    result = np.empty((height, width, 3), np.uint8)
    light = np.empty(3, np.float32)
    for y in range(height):
        for x in range(width):
            red, green = table[signal[y, x, 0]], table[signal[y, x, 1]]
            blue = table[signal[y, x, 2]]
            largest = 0.0
            for k in range(3):
                value = matrix[k, 0] * red + matrix[k, 1] * green + matrix[k, 2] * blue
                light[k] = max(value, 0.0)
                largest = max(largest, light[k])
            scale = tone_curve(largest, peak) / largest if peak > 0 and largest > KNEE else 1.0
            for k in range(3):
                result[y, x, k] = code[int(min(light[k] * scale, 1.0) * 65535 + 0.5)]
    return result


@cache
def _decoding_table(kind: str) -> np.ndarray:
    """Signal of 16 bits → display light as float32, in shares of white.

    ASSUME: HLG's 1.2 on each channel, not on luminance (BT.2100): so a display of standard range
    shows HLG, whose lower half is a square root, by its 2.4; and so do converters (zimg).
    """
    v = np.linspace(0.0, 1.0, 65536)
    if kind == "pq":  # SMPTE ST 2084
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = v ** (1 / m2)
        linear = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 1e4 / WHITE_NITS
    elif kind == "hlg":  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)
        linear = scene**1.2 * HLG_PEAK_NITS / WHITE_NITS
    else:
        linear = v**2.4
    return linear.astype(np.float32)


@cache
def _encoding_table() -> np.ndarray:
    return np.round(255 * np.linspace(0.0, 1.0, 65536) ** (1 / 2.4)).astype(np.uint8)
