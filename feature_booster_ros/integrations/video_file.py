# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write pictures to a video that browsers, presentations and messengers play.

That is H.264 with 4:2:0 chroma in MP4. OpenCV's wheels have no encoder for it, only MPEG-4 part 2,
which most of them refuse; PyAV's wheels have one.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..errors import install_extra

_QUALITY = "22"
"""Constant rate factor of x264: 0 is lossless, 51 the worst. Thin lines blur above 25."""


class VideoFile:
    """A video of pictures, which have the size of the first.

    A picture of another size is shrunk to fit, and centered. The file is complete when it is
    closed, however many pictures it has got.

    Args:
        path: File to write, such as matches.mp4.
        rate: Pictures a second.

    Raises:
        ImportError: PyAV is not installed.
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        try:
            import av
        except ImportError as error:
            raise ImportError(f"{error}: a video needs PyAV: {install_extra('view')}") from error
        self._frame_of = av.VideoFrame.from_ndarray
        # The index is put in front, so that a browser plays the file while it loads.
        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(rate).limit_denominator(1000), options={"crf": _QUALITY}
        )
        self._stream.pix_fmt = "yuv420p"
        self._size: tuple[int, int] | None = None

    def write(self, picture: np.ndarray) -> None:
        """Append a picture (H, W, 3) uint8 BGR."""
        if self._size is None:
            height, width = picture.shape[:2]
            # 4:2:0 takes pixels by two.
            self._size = self._stream.width, self._stream.height = (
                width + width % 2,
                height + height % 2,
            )
        frame = self._frame_of(_fit(picture, self._size), format="bgr24")
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the file."""
        if self._size is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def _fit(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture of a width and height [px], with black margins."""
    width, height = size
    ratio = min(1.0, width / picture.shape[1], height / picture.shape[0])
    if ratio < 1:
        new = int(picture.shape[1] * ratio), int(picture.shape[0] * ratio)
        picture = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return fitted
