# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a source delivers: frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..pixels import image_encoding


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        stamp_ns: Time of exposure in integer nanoseconds; the epoch is the record's own.
        image: Pixels (H, W) or (H, W, 3) in BGR order, of any number type that
            sensor_msgs/image_encodings.hpp has; ``pixels.to_gray`` makes them 8 bits.
        camera: The calibrated camera, of the image's size; None where it is not known.
        name: File name, topic or device, to tell the user about.
        pose: Ground truth, (4, 4) float64 camera to world in meters; None where it is not known.
            The camera looks along +z with x to the right and y down (REP 103, optical frame).
        frame_id: Coordinate frame as recorded; empty where the record has none.
    """

    stamp_ns: int
    image: np.ndarray
    camera: Camera | None = None
    name: str = ""
    pose: np.ndarray | None = None
    frame_id: str = ""

    @property
    def stamp(self) -> float:
        """Time of exposure in seconds (rounded to the 0.2 microseconds of a float64)."""
        return self.stamp_ns * 1e-9

    @property
    def encoding(self) -> str:
        """ROS name of the pixel format, such as mono8, bgr16 or 32FC1.

        Raises:
            ValueError: The image has another shape or type than `image` allows.
        """
        return image_encoding(self.image)
