"""A text on a picture that says what it is, in letters of most alphabets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wildtalker_core.errors import InputError

#: Height of the letters in heights of the picture; ASSUME smaller ones than the least are not read.
_SIZE, _LEAST_PX = 1 / 24, 8
_MARGIN_PX = 4


def label_plate(text: str, height: int, width: int) -> np.ndarray:
    """White on black for the corner of a picture: [h, w] uint8, no larger than the picture.

    Args:
        height, width: of the picture, pixels; the letters are made smaller until they fit.

    Raises InputError: nothing to see, letters that the font has not, more than fit.
    """
    # Only who writes a label waits for matplotlib. Pillow's own font knows no letter beyond ASCII,
    # the system may have none: DejaVu Sans comes with matplotlib.
    import matplotlib
    from matplotlib.ft2font import FT2Font

    text = " ".join(text.split())
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    known = FT2Font(str(path)).get_charmap()
    lacking = "".join(dict.fromkeys(letter for letter in text if ord(letter) not in known))
    if not text or lacking:
        problem = f"has letters that no font here has: {lacking!r}" if text else "is empty"
        raise InputError("label", problem, "write it otherwise")
    size = max(_LEAST_PX, round(_SIZE * height))
    while True:
        font = ImageFont.truetype(path, size)
        left, top, right, bottom = font.getbbox(text)
        if right - left + 2 * _MARGIN_PX <= width:
            break
        if size == _LEAST_PX:
            raise InputError("label", f"is too long for {width} pixels", "write less")
        size -= 1
    ascent, descent = font.getmetrics()
    plate = Image.new("L", (round(right - left) + 2 * _MARGIN_PX, ascent + descent + _MARGIN_PX))
    ImageDraw.Draw(plate).text((_MARGIN_PX - left, _MARGIN_PX // 2), text, 255, font)
    return np.asarray(plate)


def labelled(image: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """A copy of [h, w, 3 or 4] uint8 with a plate of :func:`label_plate` in the lower left."""
    marked = image.copy()
    place = marked[-plate.shape[0] :, : plate.shape[1]]
    place[..., :3], place[..., 3:] = plate[..., None], 255
    return marked
