# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras: the fields of sensor_msgs/CameraInfo, and the pixels and rays of an image.

All readers of intrinsics (nodes, bags, calibration files, evaluation, training) make a `Camera`,
and all computations on rays use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .lens import Lens, determinants, lens_of

# The models of sensor_msgs/distortion_models.hpp, with the number of coefficients in ROS.
DISTORTION_MODELS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}
# Other names of the same models in drivers and Kalibr, in any case.
_ALIASES = {
    "": "plumb_bob",
    "none": "plumb_bob",
    "pinhole": "plumb_bob",
    "radtan": "plumb_bob",
    "radial-tangential": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "equi": "equidistant",
    "fisheye": "equidistant",
    "kannala_brandt4": "equidistant",
}

# Largest error of a pixel that is undistorted and distorted again [px]; with a larger one it is
# outside of the model.
_TOLERANCE = 0.01
_IDENTITY = tuple(np.eye(3).ravel().tolist())
_RECTIFIED_TOPIC = re.compile(r"(?:^|[/_])rect(?:ified)?(?:_[a-z0-9]+)*(?:/image)?/?$")


@dataclass(frozen=True)
class RegionOfInterest:
    """sensor_msgs/RegionOfInterest, in pixels of the full resolution; zeros: the whole image."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0
    do_rectify: bool = False


@dataclass(frozen=True)
class Calibration:
    """The fields of sensor_msgs/CameraInfo, unchanged.

    They describe the sensor at full resolution (REP 104); `Camera` describes an image.
    """

    width: int
    height: int
    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]
    binning_x: int = 0
    binning_y: int = 0
    roi: RegionOfInterest = field(default_factory=RegionOfInterest)

    @classmethod
    def of_message(cls, message: Any) -> Calibration:
        """Return the calibration in a CameraInfo of ROS 2 or ROS 1, whatever library read it."""

        def numbers(name: str) -> tuple[float, ...]:
            if not hasattr(message, name):
                name = name.upper()  # in ROS 1
            values = getattr(message, name)
            return tuple(np.asarray(values, np.float64).tolist())

        roi = message.roi
        return cls(
            int(message.width), int(message.height), str(message.distortion_model),
            numbers("d"), numbers("k"), numbers("r"), numbers("p"),
            int(message.binning_x), int(message.binning_y),
            RegionOfInterest(
                int(roi.x_offset), int(roi.y_offset), int(roi.height), int(roi.width),
                bool(roi.do_rectify),
            ),
        )  # fmt: skip

    def of_image(self, rectified: bool = False) -> Calibration:
        """Return the calibration of this image, after region of interest and binning.

        Both are applied to the size, K and P, as image_geometry does, and then cleared. For a
        rectified image, and where only P is filled, K becomes P's camera matrix, D empty and R the
        identity.

        Raises:
            ValueError: The image is rectified and there is no P to describe it.
        """
        rectified = rectified or (self.k[0] == 0 and self.p[0] != 0)
        binning = max(1, self.binning_x), max(1, self.binning_y)
        offset = self.roi.x_offset, self.roi.y_offset
        calibration = replace(
            self,
            width=(self.roi.width or self.width) // binning[0],
            height=(self.roi.height or self.height) // binning[1],
            k=_of_region(self.k, offset, binning),
            p=_of_region(self.p, offset, binning),
            binning_x=0,
            binning_y=0,
            roi=RegionOfInterest(),
        )
        if not rectified:
            return calibration
        matrix = calibration.k
        if calibration.p[0] != 0:
            matrix = tuple(np.reshape(calibration.p, (3, 4))[:, :3].ravel().tolist())
        elif self.k[0] != 0 and any(self.d):
            raise ValueError(
                "the image is rectified, but P, which describes it, is zero: publish P, or set "
                "rectified to false if the image is not rectified"
            )
        return replace(calibration, distortion_model="plumb_bob", d=(), k=matrix, r=_IDENTITY)


@dataclass(frozen=True, eq=False)
class Camera:
    """The intrinsics of an image, checked once; all arrays are read-only.

    Attributes:
        width, height: Size of the image in pixels. Both 0: not known yet; a source fills them in
            from its first image (``calib.txt`` of KITTI, for one, does not name the size).
        matrix: Intrinsics (3, 3) float64, in pixels, the center of the top-left pixel at (0, 0).
        distortion: Coefficients (K,) float64 in OpenCV's order; empty for none. Missing
            coefficients are zeros.
        model: ROS's name of the distortion model, a key of `DISTORTION_MODELS`.
        rectified: Whether the image has been rectified, so that `matrix` comes from P.
        recorded: The camera_info or file that the camera was made from, or None.

    Raises:
        ValueError: The intrinsics are not finite with positive focal lengths, or the number of
            coefficients does not fit the model.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    model: str = "plumb_bob"
    rectified: bool = False
    recorded: Calibration | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, np.float64)
        check_camera_matrix(matrix)
        if self.width < 0 or self.height < 0:
            raise ValueError(f"camera size {self.width}x{self.height} is negative")
        distortion = np.array(self.distortion, np.float64).reshape(-1)
        model = self.model.strip().lower()
        model = _ALIASES.get(model, model)
        _check_distortion(distortion, model)
        for array in (matrix, distortion):
            array.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "distortion", distortion)
        object.__setattr__(self, "model", model)

    @classmethod
    def pinhole(
        cls, fx: float, fy: float, cx: float, cy: float, width: int = 0, height: int = 0
    ) -> Camera:
        """Return a camera without distortion, of focal lengths and principal point in pixels."""
        return cls(width, height, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]))

    @classmethod
    def of_intrinsics(
        cls, matrix: np.ndarray, distortion: np.ndarray | None = None, model: str = "plumb_bob"
    ) -> Camera:
        """Return the camera of intrinsics (3, 3) in pixels, for images of any size.

        Args:
            matrix: Intrinsics (3, 3) [px].
            distortion: Coefficients in OpenCV's order, None for none.
            model: Name of the distortion model.

        Raises:
            ValueError: The intrinsics or the coefficients are not valid.
        """
        return cls(0, 0, matrix, np.zeros(0) if distortion is None else distortion, model)

    @classmethod
    def of_calibration(cls, calibration: Calibration, rectified: bool = False) -> Camera | None:
        """Return the camera of the image; None for an uncalibrated camera, whose K and P are zero.

        Args:
            calibration: As recorded, for the full resolution.
            rectified: Whether the image has been rectified.

        Raises:
            ValueError: The calibration makes no sense.
        """
        image = calibration.of_image(rectified)
        if image.k[0] == 0 and not any(image.k):
            return None
        rectified = rectified or calibration.k[0] == 0
        return cls(
            image.width, image.height, np.reshape(image.k, (3, 3)), np.array(image.d),
            image.distortion_model, rectified, calibration,
        )  # fmt: skip

    @property
    def calibration(self) -> Calibration:
        """The fields of a CameraInfo: as recorded, else of whole images."""
        if self.recorded is not None:
            return self.recorded
        missing = max(0, DISTORTION_MODELS[self.model] - len(self.distortion))
        return Calibration(
            self.width,
            self.height,
            self.model,
            (*self.distortion.tolist(), *[0.0] * missing),
            tuple(self.matrix.ravel().tolist()),
            _IDENTITY,
            tuple(np.column_stack([self.matrix, np.zeros(3)]).ravel().tolist()),
        )

    @property
    def focal_length(self) -> float:
        """The mean of the two focal lengths in pixels."""
        return (self.matrix[0, 0] + self.matrix[1, 1]) / 2

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines are straight in the image."""
        return self.model != "equidistant" and not self.distortion.any()

    @property
    def _lens(self) -> Lens:
        return lens_of(self.model, tuple(self.distortion.tolist()))

    def with_size(self, width: int, height: int) -> Camera:
        """Return the same intrinsics for an image size of `width` x `height` pixels."""
        return replace(self, width=width, height=height)

    def with_rectification(self, rotation: np.ndarray, projection: np.ndarray) -> Camera:
        """Return the same intrinsics with R (3, 3) and P (3, 4), which stereo calibration fills."""
        r, p = (tuple(np.ravel(matrix).tolist()) for matrix in (rotation, projection))
        return replace(self, recorded=replace(self.calibration, r=r, p=p))

    def as_rectified(self) -> Camera:
        """Return the camera of the same calibration for images that have been rectified.

        Raises:
            ValueError: There is no P to describe them.
        """
        if self.recorded is None:
            return Camera(self.width, self.height, self.matrix, rectified=True)
        camera = Camera.of_calibration(self.recorded, rectified=True)
        assert camera is not None  # this one was made from the same K and P
        return camera.with_size(self.width, self.height)

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return the rays of pixels (N, 2): (N, 2) float64 at depth 1, x right and y down.

        Distortion is inverted by Newton's method until a ray projects back to within 0.01 pixels.
        A pixel for which there is no such ray within the range where the distortion model is
        monotonic, or only one at 90 degrees or more from the axis, is outside of the model: NaN.
        """
        (fx, skew, cx), (_, fy, cy), _ = self.matrix
        pixels = _points(pixels)
        normalized = np.empty_like(pixels)
        normalized[:, 1] = (pixels[:, 1] - cy) / fy
        normalized[:, 0] = (pixels[:, 0] - cx - skew * normalized[:, 1]) / fx
        if self.is_pinhole or not len(pixels):
            return normalized
        return self._lens.undistort(normalized, _TOLERANCE / max(fx, fy))

    def project(self, rays: np.ndarray) -> np.ndarray:
        """Return the pixels (N, 2) float64 of rays (N, 2) at depth 1.

        NaN for rays beyond the range where the distortion model is monotonic.
        """
        rays = _points(rays)
        if not self.is_pinhole:
            rays = self._lens.distort(rays)[0]
        return rays @ self.matrix[:2, :2].T + self.matrix[:2, 2]

    def undistort(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) as a pinhole camera of the same `matrix` would see them.

        The result is (N, 2) float64, NaN outside of the model, as in `rays`.
        """
        if self.is_pinhole:
            return _points(pixels)
        return self.rays(pixels) @ self.matrix[:2, :2].T + self.matrix[:2, 2]

    def pixel_lengths(self, rays: np.ndarray) -> np.ndarray:
        """Return the length (N,) of one pixel at depth 1 at each of the rays (N, 2)."""
        if self.is_pinhole:
            return np.full(len(rays), 1 / self.focal_length)
        stretch = determinants(self._lens.distort(rays)[1])
        return 1 / np.sqrt(self.matrix[0, 0] * self.matrix[1, 1] * stretch)


def check_camera_matrix(matrix: np.ndarray) -> None:
    """Check that intrinsics are (3, 3) and finite, with focal lengths above 0 and 0 0 1 below.

    Raises:
        ValueError: They are not.
    """
    if np.shape(matrix) != (3, 3):
        raise ValueError(
            f"camera matrix must have shape (3, 3), not {np.shape(matrix)}: give "
            "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"
        )
    rows = np.asarray(matrix).tolist()
    if not np.isfinite(matrix).all():
        raise ValueError(f"camera matrix must be finite, not {rows}: calibrate the camera")
    if rows[0][0] <= 0 or rows[1][1] <= 0:
        raise ValueError(
            f"camera matrix must have focal lengths above 0 pixels, not fx={rows[0][0]}, "
            f"fy={rows[1][1]}: calibrate the camera"
        )
    if rows[2] != [0, 0, 1] or rows[1][0] != 0:
        raise ValueError(
            f"camera matrix must be fx 0 cx, 0 fy cy, 0 0 1 row by row, not {rows}: is it "
            "transposed?"
        )


def is_rectified_topic(topic: str) -> bool:
    """Return whether an image topic has a name that image_pipeline gives to rectified images.

    These are image_rect, image_rect_color and the like, with or without a transport.
    """
    base = re.sub(r"/(compressed|compressedDepth|theora|ffmpeg|zstd)$", "", topic)
    return _RECTIFIED_TOPIC.search(base) is not None


def _points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must have shape (N, 2), not {points.shape}")
    return points


def _check_distortion(coefficients: np.ndarray, model: str) -> None:
    if model not in DISTORTION_MODELS:
        raise ValueError(
            f"distortion model {model!r} is not supported: use {', '.join(DISTORTION_MODELS)}, or "
            "rectify the images first"
        )
    if not np.isfinite(coefficients).all():
        raise ValueError(
            f"distortion coefficients {coefficients.tolist()} are not finite: calibrate the camera"
        )
    if model == "equidistant":
        order, most = "k1, k2, k3, k4", 4
    else:
        order, most = "k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tau_x, tau_y", 14
    # Three coefficients would be k1, k2, p1, but are usually meant in another order.
    is_misread = most > 4 and len(coefficients) == 3 and coefficients[2] != 0
    if np.any(coefficients[most:]) or is_misread:
        raise ValueError(
            f"distortion model {model} takes {order}, of which those at the end may be left out, "
            f"not {len(coefficients)} coefficients {coefficients.tolist()}"
        )


def _of_region(
    matrix: tuple[float, ...], offset: tuple[int, int], binning: tuple[int, int]
) -> tuple[float, ...]:
    """K or P, row by row, of an image that is cut at `offset` and then binned; zeros stay zeros."""
    if matrix[0] == 0 or (offset == (0, 0) and binning == (1, 1)):
        return matrix
    rows = np.reshape(matrix, (3, -1)).copy()
    rows[:2, 2] -= offset
    rows[:2] /= np.reshape(binning, (2, 1))
    return tuple(rows.ravel().tolist())
