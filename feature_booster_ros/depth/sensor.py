# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features with the depths that a sensor measures beside the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..features import Features
from ..pixels import to_gray
from .aligned import read_depths
from .images import check_depth_size
from .rig import StereoRig
from .stereo import RightImage, StereoMatcher


@dataclass(frozen=True)
class DepthSettings:
    """What is known of a depth sensor.

    Attributes:
        max_depth: Depths beyond are unknown [m]; 0 for no limit.
        depth_noise: Standard deviation of a depth image near the camera [m].
        depth_noise_growth: What that grows by with the squared depth [1/m].
        disparity_noise: Standard deviation of a stereo pair's disparity [px].
    """

    max_depth: float = 0.0
    depth_noise: float = 0.001
    depth_noise_growth: float = 0.0025
    disparity_noise: float = 0.25


class DepthSensor:
    """Give features the depths that an aligned depth image or a right image tells.

    Not safe for threads.

    Args:
        settings: Of the sensor.
    """

    def __init__(self, settings: DepthSettings | None = None) -> None:
        self.settings = settings or DepthSettings()
        self._pair: tuple[object, ...] = ()
        self._matcher: StereoMatcher | None = None

    def read_aligned(
        self, features: Features, depth: np.ndarray, shape: tuple[int, ...]
    ) -> Features:
        """Return the features with the depths of a depth image.

        Args:
            features: Of an image.
            depth: (H, W) float32 in meters, NaN where unknown; see :func:`to_meters`.
            shape: (height, width) of the image.

        Raises:
            ValueError: The depth image is of another size.
        """
        check_depth_size(depth, (shape[0], shape[1]))
        settings = self.settings
        depths, sigmas = read_depths(
            depth, features.keypoints, settings.depth_noise, settings.depth_noise_growth
        )
        return self._with_depths(features, depths, sigmas)

    def match_stereo(
        self, features: Features, image: np.ndarray, camera: Camera, right: RightImage
    ) -> Features:
        """Return the features with the depths that a right image tells.

        Args:
            features: Of the left image.
            image: (H, W) uint8, the left image.
            camera: Of the left image; its calibration has R and P of the pair.
            right: The image of the right camera.

        Raises:
            ValueError: The right camera is not known, the calibrations are of no stereo pair, or
                the images are of different sizes.
        """
        if right.camera is None:
            raise ValueError(
                f"the camera of {right.name or 'the right image'} is not calibrated: calibrate "
                "the pair"
            )
        pair = (*_described(camera), *_described(right.camera))
        if self._matcher is None or self._pair != pair:
            rig = StereoRig.of_cameras(camera, right.camera)
            self._matcher = StereoMatcher(rig, self.settings.disparity_noise)
            self._pair = pair
        depths, sigmas = self._matcher.measure(image, to_gray(right.image), features.keypoints)
        return self._with_depths(features, depths, sigmas)

    def _with_depths(self, features: Features, depths: np.ndarray, sigmas: np.ndarray) -> Features:
        if self.settings.max_depth > 0:
            is_beyond = depths > self.settings.max_depth
            depths[is_beyond] = sigmas[is_beyond] = np.nan
        return features.with_depths(depths, sigmas)


def _described(camera: Camera) -> tuple[object, ...]:
    """Return what two cameras have in common if all their rays are the same."""
    return camera.calibration, camera.rectified
