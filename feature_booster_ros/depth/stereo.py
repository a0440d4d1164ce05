# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depths of the keypoints of a left image from the image of a right camera.

Each keypoint is looked for in the right image: block matching of both images at a fraction of
their size gives its disparity to a few pixels, uniquely within the bounds, and Lucas and Kanade's
method refines its place in the images themselves, forth and back. This finds more keypoints than
are detected in both images, at a third of what it takes to extract the right image's features
(docs/inputs.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import Camera
from .rig import StereoRig

# Width of the images that blocks are matched in [px]: small enough to take a few milliseconds.
_COARSE_WIDTH = 320
# Largest disparity, as a share of the image's width: the nearest depth is then about 2.5 baselines.
_MAX_DISPARITY = 0.25
# Least focal length of rectified images, as a share of the left image's: of a wider lens, the
# margin is left out.
_MIN_FOCAL_SHARE = 0.5
# Disparities are searched in steps of that many.
_DISPARITY_STEP = 16
# Side of the blocks in the coarse images [px].
_BLOCK = 7
# Least sum of the differences in a block, without which it has no texture.
_MIN_TEXTURE = 5
# Distance in percent by which the best disparity must be better than any other.
_UNIQUENESS = 5
# Side of the patches that are refined [px].
_PATCH = 11
# Steps of the refinement, and the length of a step that ends it [px].
_REFINEMENT = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 10, 0.03)
# Largest distance from the keypoint after the way forth and back [px].
_MAX_RETURN_ERROR = 0.5
# Largest difference of the rows in the rectified images [px].
_MAX_ROW_ERROR = 1.0
# Least disparity [px]: a depth of a smaller one is mostly error.
_MIN_DISPARITY = 0.5


@dataclass(frozen=True, eq=False)
class RightImage:
    """What the right camera of a stereo pair took at the time of another image.

    Attributes:
        image: Pixels (H, W) or (H, W, 3), as `Frame.image`.
        camera: Its camera, whose calibration has R and P of the pair; None if it is not known.
        name: File name or topic, to tell the user about.
    """

    image: np.ndarray
    camera: Camera | None = None
    name: str = ""


class StereoMatcher:
    """Measure the depths of keypoints of a left image.

    Args:
        rig: The two cameras.
        disparity_noise: Standard deviation of a disparity [px].
    """

    def __init__(self, rig: StereoRig, disparity_noise: float = 0.25) -> None:
        self.rig = rig
        self._disparity_noise = disparity_noise
        self._focal = rig.left.focal_length
        self._shape = (0, 0)
        self._maps: list[tuple[np.ndarray, np.ndarray]] = []

    def measure(
        self, left: np.ndarray, right: np.ndarray, keypoints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the depths of keypoints.

        Args:
            left: (H, W) uint8, the image of the keypoints.
            right: (H, W) uint8, taken at the same time.
            keypoints: (N, 2) float32 in pixels of the left image.

        Returns:
            (N,) float32 depths along the optical axis of the left camera and (N,) float32 standard
            deviations in meters, NaN where unknown.

        Raises:
            ValueError: The images are of different sizes.
        """
        if left.shape != right.shape:
            raise ValueError(
                f"the right image has {right.shape[1]} x {right.shape[0]} pixels, but the left "
                f"{left.shape[1]} x {left.shape[0]}: set both cameras to one size"
            )
        keypoints = np.ascontiguousarray(keypoints, np.float32)
        rays = self.rig.rectify_left(keypoints)
        disparities = self._coarse_disparities(left, right, rays)
        guesses = self.rig.project_right(rays - np.column_stack([disparities, 0 * disparities]))
        known = np.flatnonzero(np.isfinite(guesses).all(axis=1))
        depths = np.full(len(keypoints), np.nan, np.float32)
        sigmas = depths.copy()
        if len(known):
            there, is_found = _refine(
                left, right, keypoints[known], guesses[known].astype(np.float32)
            )
            known = known[is_found]
            offsets = rays[known] - self.rig.rectify_right(there[is_found])
            with np.errstate(invalid="ignore"):
                fits = np.abs(offsets[:, 1]) * self._focal < _MAX_ROW_ERROR
                fits &= offsets[:, 0] * self._focal > _MIN_DISPARITY
            known, disparity = known[fits], offsets[fits, 0]
            depth = self.rig.baseline / disparity
            # Of a point (x, y, 1) depth in the rectified frame, the part along the left axis.
            along = np.column_stack([rays[known], np.ones(len(known))])
            along = along @ self.rig.left_rotation[:, 2]
            depths[known] = depth * along
            sigmas[known] = depth * along * self._disparity_noise / (self._focal * disparity)
        return depths, sigmas

    def _coarse_disparities(
        self, left: np.ndarray, right: np.ndarray, rays: np.ndarray
    ) -> np.ndarray:
        """Return disparities (N,) at depth 1, to a few pixels; NaN where none is unique."""
        if left.shape != self._shape:
            self._prepare(left.shape)
        height, width = self._size
        images = [
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            for image in (left, right)
        ]
        if self._maps:
            images = [
                cv2.remap(image, x, y, cv2.INTER_LINEAR)
                for image, (x, y) in zip(images, self._maps, strict=True)
            ]
        # Beside the left edge, so that disparities are searched there, too.
        margin = self._matcher.getNumDisparities()
        images = [
            cv2.copyMakeBorder(each, 0, 0, margin, 0, cv2.BORDER_REPLICATE) for each in images
        ]
        disparity = self._matcher.compute(*images)[:, margin:]
        places = rays @ self._coarse[:2, :2].T + self._coarse[:2, 2]
        is_inside = np.isfinite(places).all(axis=1)
        columns, rows = np.rint(np.where(is_inside[:, None], places, -1)).astype(np.intp).T
        is_inside &= (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        found = np.full(len(rays), -1.0)
        found[is_inside] = disparity[rows[is_inside], columns[is_inside]]
        found[found < 0] = np.nan
        return found / (cv2.StereoMatcher_DISP_SCALE * self._coarse[0, 0])

    def _prepare(self, shape: tuple[int, ...]) -> None:
        """Make what depends on the size of the images: of the coarse ones, and how they rectify."""
        shrinking = max(1, round(shape[1] / _COARSE_WIDTH))
        self._size = height, width = shape[0] // shrinking, shape[1] // shrinking
        if min(self._size) < _BLOCK:
            raise ValueError(
                f"images of {shape[1]} x {shape[0]} pixels are too low or narrow for stereo: at "
                f"{width} x {height} they must have {_BLOCK} pixels at least"
            )
        self._shape = (shape[0], shape[1])
        ratio = np.array([width / shape[1], height / shape[0]])
        # Pixel centers are at whole numbers in the images of both sizes.
        coarse = _rectified_matrix(self.rig, shape)
        coarse[:2, 2] += 0.5
        coarse[:2] *= ratio[:, None]
        coarse[:2, 2] -= 0.5
        self._coarse = coarse
        count = -(-int(_MAX_DISPARITY * width) // _DISPARITY_STEP) * _DISPARITY_STEP
        self._matcher = cv2.StereoBM.create(count, _BLOCK)
        self._matcher.setTextureThreshold(_MIN_TEXTURE)
        self._matcher.setUniquenessRatio(_UNIQUENESS)
        self._maps = []
        if self.rig.is_rectified:
            return
        places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
        rays = (places - coarse[:2, 2]) / np.diag(coarse)[:2]
        for project in (self.rig.project_left, self.rig.project_right):
            points = (project(rays) + 0.5) * ratio - 0.5
            points = np.where(np.isfinite(points), points, -1.0)
            x, y = points.T.reshape(2, height, width).astype(np.float32)
            self._maps.append((x, y))


def _rectified_matrix(rig: StereoRig, shape: tuple[int, ...]) -> np.ndarray:
    """Return intrinsics (3, 3) with which rectified images show what the left image does."""
    if rig.is_rectified:
        return rig.left.matrix * [[1, 0, 1], [1, 1, 1], [1, 1, 1]]
    size = np.array([shape[1] - 1, shape[0] - 1])
    share = np.linspace(0, 1, 20)
    sides = [np.column_stack([share, 0 * share + end]) for end in (0, 1)]
    border = np.vstack([*sides, *(side[:, ::-1] for side in sides)]) * size
    usual = rig.left.focal_length
    limit = size / (2 * _MIN_FOCAL_SHARE * usual)
    rays = rig.rectify_left(border)
    rays = np.clip(rays[np.isfinite(rays).all(axis=1)], -limit, limit)
    low, high = (rays.min(axis=0), rays.max(axis=0)) if len(rays) else (-limit, limit)
    focal = min(usual, float(np.min(size / (high - low))))
    matrix = np.diag([focal, focal, 1.0])
    matrix[:2, 2] = (size - focal * (low + high)) / 2
    return matrix


def _refine(
    left: np.ndarray, right: np.ndarray, keypoints: np.ndarray, guesses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places (N, 2) float32 of keypoints in the right image, and (N,) bool if found."""
    there, is_there = _track(left, right, keypoints, guesses.copy())
    back, is_back = _track(right, left, there, there + (keypoints - guesses))
    errors = np.linalg.norm(back - keypoints, axis=1)
    return there, is_there & is_back & (errors < _MAX_RETURN_ERROR)


def _track(
    source: np.ndarray, target: np.ndarray, points: np.ndarray, guesses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        source,
        target,
        points,
        guesses,
        winSize=(_PATCH, _PATCH),
        maxLevel=1,
        criteria=_REFINEMENT,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return found, status[:, 0] != 0
