# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Relative poses of image pairs from matches, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from ..camera import Camera
from ..features import Features
from ..matching import TwoViewGeometry, match, verify
from ..methods import Method, describe_all
from ..pixels import read_gray, shrink
from ..progress import Progress
from .image_pairs import PosePair
from .metrics import EstimationScore, MethodScore, score_estimates

POSE_THRESHOLDS = (5, 10, 20)
"""Thresholds of the area under the curve of recall over pose error [deg]."""

verify_thoroughly = partial(verify, threshold=1.0, confidence=0.99999, max_iterations=10_000)
"""Verify matches with the options of SuperGlue's evaluation.

A node samples less. If few matches are right, stopping that early measures the luck of the sampling
more than the matches: on KITTI 8 frames apart it costs raw SIFT 8 points of AUC@5.
"""

# Shorter translations have no direction, in the poses' unit.
_MIN_BASELINE = 1e-9
# Largest depth of a point in the test that it lies before both cameras [baselines]. Distant points
# pass that test as well as near ones.
_MAX_DEPTH = 1e9


def estimate_relative_pose(
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray,
    camera_matrix_b: np.ndarray,
) -> tuple[TwoViewGeometry, np.ndarray | None]:
    """Estimate the relative pose of two views from matches, by the essential matrix.

    Args:
        points_a: (M, 2) matched pixels of the first view, undistorted.
        points_b: (M, 2) of the second view.
        camera_matrix_a: Intrinsics (3, 3) of the first view.
        camera_matrix_b: Intrinsics (3, 3) of the second view.

    Returns:
        The geometry, and the motion (4, 4) from points of the first camera to the second with a
        translation of length 1; None if no matrix was found, or no point lies before both cameras.
    """
    geometry = verify_thoroughly(points_a, points_b, camera_matrix_a, camera_matrix_b)
    return geometry, recover_pose(geometry, points_a, points_b, camera_matrix_a, camera_matrix_b)


def recover_pose(
    geometry: TwoViewGeometry,
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray,
    camera_matrix_b: np.ndarray,
) -> np.ndarray | None:
    """Return the motion (4, 4) in an essential matrix, or None.

    Args:
        geometry: Geometry of the two views, from the matches.
        points_a: (M, 2) matched pixels of the first view, undistorted.
        points_b: (M, 2) of the second view.
        camera_matrix_a: Intrinsics (3, 3) of the first view.
        camera_matrix_b: Intrinsics (3, 3) of the second view.

    Returns:
        The motion, as of :func:`estimate_relative_pose`.
    """
    if geometry.model != "essential" or geometry.matrix is None:
        return None
    rays_a = Camera(0, 0, camera_matrix_a).rays(points_a[geometry.inliers])
    rays_b = Camera(0, 0, camera_matrix_b).rays(points_b[geometry.inliers])
    if not len(rays_a):
        return None
    before_both, rotation, translation, *_ = cv2.recoverPose(
        geometry.matrix, rays_a, rays_b, np.eye(3), distanceThresh=_MAX_DEPTH
    )
    if not before_both:
        return None
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation.ravel()
    return motion


def pose_error(estimate: np.ndarray | None, truth: np.ndarray) -> float:
    """Return the larger of the errors of rotation and direction of translation.

    The sign of the translation is left open, as in SuperGlue's evaluation (Sarlin et al., CVPR
    2020).

    Args:
        estimate: Motion (4, 4), or None.
        truth: The true motion (4, 4).

    Returns:
        Degrees in [0, 180]; infinite without an estimate; NaN if the true translation is 0, which
        has no direction.
    """
    if np.linalg.norm(truth[:3, 3]) < _MIN_BASELINE:
        return float("nan")
    if estimate is None:
        return float("inf")
    return max(
        _angle_between_rotations(estimate[:3, :3], truth[:3, :3]),
        _angle_between_lines(estimate[:3, 3], truth[:3, 3]),
    )


def _angle_between_rotations(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle between two rotations (3, 3), in degrees in [0, 180]."""
    rotation = a.T @ b
    # From sine and cosine, as the arc cosine alone is inexact for small angles.
    skew = rotation - rotation.T
    twice_sine = np.linalg.norm([skew[2, 1], skew[0, 2], skew[1, 0]])
    return float(np.rad2deg(np.arctan2(twice_sine, np.trace(rotation) - 1)))


def _angle_between_lines(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle between two directions (3,) up to their signs, in degrees in [0, 90]."""
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b)), abs(a @ b))))


@dataclass
class PoseTally:
    """Counts and errors of one method, pair by pair.

    Attributes:
        matches, inliers: Number of each pair.
        errors: Error of each pair's pose in degrees; infinite without an estimate, NaN without
            ground truth.
    """

    matches: list[int] = field(default_factory=list)
    inliers: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, geometry: TwoViewGeometry, matches: int, error: float) -> None:
        """Add a pair: its geometry, the number of its matches, and its error in degrees."""
        self.matches.append(matches)
        self.inliers.append(int(geometry.inliers.sum()))
        self.errors.append(error)

    def pose_score(self) -> EstimationScore | None:
        """Return the score of the pairs with ground truth, or None if there are none."""
        errors = [error for error in self.errors if not np.isnan(error)]
        return score_estimates(errors, POSE_THRESHOLDS) if errors else None


# Images whose features are kept for the next pairs, as lists go scene by scene.
_IMAGES_KEPT = 16


def evaluate_pose_pairs(
    pairs: Sequence[PosePair], methods: Sequence[Method], longest_side: int | None = None
) -> list[MethodScore]:
    """Score methods on relative poses, estimated from the mutual nearest neighbors of each pair.

    Args:
        pairs: At least one.
        methods: Methods to compare.
        longest_side: Longest side to which larger images are shrunk, in pixels; None for their own
            size.

    Raises:
        ValueError: An image cannot be read.
    """

    @lru_cache(_IMAGES_KEPT)
    def view(path: Path, turns: int) -> tuple[list[Features], tuple[int, ...], float]:
        """Return all methods' features of the upright image, its stored shape, and its resizing."""
        stored = read_gray(path)
        image, ratio = shrink(stored, longest_side)
        upright = np.ascontiguousarray(np.rot90(image, turns))
        return describe_all(methods, upright), stored.shape, ratio

    tallies = [PoseTally() for _ in methods]
    counts: list[list[float]] = [[] for _ in methods]
    for pair in Progress(pairs, "pairs"):
        described, matrices = [], []
        for path, turns, matrix in zip(pair.images, pair.turns, pair.camera_matrices, strict=True):
            features, shape, ratio = view(path, turns)
            described.append(features)
            matrices.append(resized_matrix(turned_matrix(matrix, shape, turns), ratio))
        before, after = (turn_about_axis(turns) for turns in pair.turns)
        truth = after @ pair.motion @ before.T
        for query, reference, tally, count in zip(*described, tallies, counts, strict=True):
            matches = match(query, reference)
            geometry, motion = estimate_relative_pose(
                query.keypoints[matches.indices[:, 0]],
                reference.keypoints[matches.indices[:, 1]],
                *matrices,
            )
            tally.add(geometry, len(matches), pose_error(motion, truth))
            count.append((len(query) + len(reference)) / 2)
    return [
        MethodScore(
            method=method.name,
            detector=method.extractor.name,
            pairs=len(tally.matches),
            features=float(np.mean(count)),
            matches=float(np.mean(tally.matches)),
            inliers=float(np.mean(tally.inliers)),
            pose=tally.pose_score(),
        )
        for method, tally, count in zip(methods, tallies, counts, strict=True)
    ]


def resized_matrix(matrix: np.ndarray, ratio: float) -> np.ndarray:
    """Return the intrinsics (3, 3) of a resized image, with pixel centers at whole numbers."""
    resize = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2], [0, 0, 1]])
    return resize @ matrix


def turned_matrix(matrix: np.ndarray, image_shape: tuple[int, ...], turns: int) -> np.ndarray:
    """Return the intrinsics (3, 3) of an image after counterclockwise quarter turns (``np.rot90``).

    Args:
        matrix: Intrinsics (3, 3) before, without skew.
        image_shape: (height, width, ...) before.
        turns: Number of quarter turns, at least 0.
    """
    height, width = image_shape[:2]
    for _ in range(turns % 4):
        # Pixel (x, y) moves to (y, width - 1 - x).
        (fx, _, cx), (_, fy, cy) = matrix[:2]
        matrix = np.array([[fy, 0, cy], [0, fx, width - 1 - cx], [0, 0, 1.0]])
        height, width = width, height
    return matrix


def turn_about_axis(turns: int) -> np.ndarray:
    """Return the motion (4, 4) from a camera to one whose image is turned counterclockwise.

    Args:
        turns: Number of quarter turns.
    """
    quarter = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    return np.linalg.matrix_power(quarter, turns % 4)
