"""Encoded images (PNG, JPEG ...) to bytes of pixels."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodepath.errors import DataError

__all__ = ["decode_image"]

# Pillow also reads formats that call other programs (EPS); a user's file may not choose those.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_GREY = {"L", "1", "LA"}
_COLOUR = {"RGB", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"}


def decode_image(content: bytes | None, where: str) -> NDArray[np.uint8]:
    """Decode one image; transparency is dropped, a palette becomes colour.

    Args:
        content: The encoded file.
        where: What the message begins with: the file and row.

    Returns:
        uint8, shape (H, W) for grey, (3, H, W) for colour.

    Raises:
        DataError: No content, damaged, not one of the formats, or not of 8 bits a channel.
    """
    from PIL import Image

    if content is None:
        raise DataError(
            f"{where} holds no image bytes; write the images into the file (datasets: embed_external_files)"
        )
    try:
        image: Any = Image.open(io.BytesIO(content), formats=_FORMATS)
        image.load()
    except Exception as error:  # a damaged image can end in any error of any decoder
        reason = str(error).split(" <_io")[0]  # Pillow names the address of the buffer, which helps nobody
        raise DataError(f"{where}: the image cannot be decoded ({reason}); mend or leave out the row") from error
    if image.mode in _GREY:
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    if image.mode in _COLOUR:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB")).transpose(2, 0, 1)
    raise DataError(f"{where}: the image's mode is {image.mode}; convert it to 8-bit grey or RGB")
