# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The motion between two views from matches, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..camera import Camera
from ..features import Features
from ..matching import TwoViewGeometry, match, verify
from ..pixels import read_gray, shrink
from ..progress import Progress
from .image_pairs import PosePair
from .methods import Method, describe_all
from .metrics import EstimationScore, MethodScore, score_estimates

POSE_THRESHOLDS = (5, 10, 20)
"""Degrees at which the area under the curve of recall over pose error is taken."""

# As SuperGlue's evaluation. Where few matches are right, the sooner stop that is quick enough for a
# node measures the luck of the sampling more than the matches: on KITTI 8 frames apart it takes 8
# points of AUC@5 from raw SIFT.
VERIFICATION = {"threshold": 1.0, "confidence": 0.99999, "max_iterations": 10_000}
"""Options of :func:`matching.verify` in evaluations: pixels, probability, samples."""

_NO_BASELINE = 1e-9
_FARTHEST = 1e9  # baselines: points at infinity tell on which side of the camera they are, too


def estimate_relative_pose(
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray,
    camera_matrix_b: np.ndarray,
) -> tuple[TwoViewGeometry, np.ndarray | None]:
    """The essential matrix of matched pixels (M, 2), by :func:`matching.verify`, and the motion in
    it.

    Args:
        points_a: pixels of the first view, undistorted.
        points_b: of the second.
        camera_matrix_a: (3, 3) intrinsics of the first view.
        camera_matrix_b: of the second.

    Returns:
        The geometry, and (4, 4) that takes points of the first camera to the second with a
        translation of length 1; None where no matrix was found, or no point lies before both
        cameras.
    """
    geometry = verify(points_a, points_b, camera_matrix_a, camera_matrix_b, **VERIFICATION)
    return geometry, recover_pose(geometry, points_a, points_b, camera_matrix_a, camera_matrix_b)


def recover_pose(
    geometry: TwoViewGeometry,
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray,
    camera_matrix_b: np.ndarray,
) -> np.ndarray | None:
    """The motion (4, 4) in an essential matrix; arguments and result as of
    :func:`estimate_relative_pose`.
    """
    if geometry.model != "essential":
        return None
    rays_a = Camera(0, 0, camera_matrix_a).rays(points_a[geometry.inliers])
    rays_b = Camera(0, 0, camera_matrix_b).rays(points_b[geometry.inliers])
    if not len(rays_a):
        return None
    before_both, rotation, translation, *_ = cv2.recoverPose(
        geometry.matrix, rays_a, rays_b, np.eye(3), distanceThresh=_FARTHEST
    )
    if not before_both:
        return None
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation.ravel()
    return motion


def pose_error(estimate: np.ndarray | None, truth: np.ndarray) -> float:
    """The larger of the angles in degrees by which rotation and direction of translation are off.

    The translation's sign is left open, as usual (Sarlin et al., SuperGlue, CVPR 2020): it is that
    of the points' depth.

    Args:
        estimate: (4, 4) motion, or None.
        truth: (4, 4).

    Returns:
        Degrees in [0, 180]; infinite without an estimate; NaN where the true translation is 0 and
        so has no direction.
    """
    if np.linalg.norm(truth[:3, 3]) < _NO_BASELINE:
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
    # By sine and cosine both, as the arc cosine alone is inexact for small angles.
    skew = rotation - rotation.T
    twice_sine = np.linalg.norm([skew[2, 1], skew[0, 2], skew[1, 0]])
    return float(np.rad2deg(np.arctan2(twice_sine, np.trace(rotation) - 1)))


def _angle_between_lines(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle between two directions (3,) up to their signs, in degrees in [0, 90]."""
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b)), abs(a @ b))))


@dataclass
class PoseTally:
    """Counts and errors, pair by pair.

    Attributes:
        matches, inliers: of each pair.
        errors: of each pair in degrees; infinite without an estimate, NaN where there is no truth
            to compare with.
    """

    matches: list[int] = field(default_factory=list)
    inliers: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, geometry: TwoViewGeometry, matches: int, error: float) -> None:
        """One more pair: its geometry, how many matches that is from, and its error in degrees."""
        self.matches.append(matches)
        self.inliers.append(int(geometry.inliers.sum()))
        self.errors.append(error)

    def pose_score(self) -> EstimationScore | None:
        """The score of the pairs with a truth, or None where there are none."""
        errors = [error for error in self.errors if not np.isnan(error)]
        return score_estimates(errors, POSE_THRESHOLDS) if errors else None


_IMAGES_KEPT = 16
"""Images whose features are kept for the next pairs: lists go scene by scene."""


def evaluate_pose_pairs(
    pairs: Sequence[PosePair], methods: Sequence[Method], longest_side: int | None = None
) -> list[MethodScore]:
    """The relative pose of every pair, from the essential matrix of its mutual nearest neighbors.

    Args:
        pairs: at least one.
        methods: to compare.
        longest_side: shrink larger images to it, in pixels; None for their own size.

    Raises:
        ValueError: an image cannot be read.
    """

    @lru_cache(_IMAGES_KEPT)
    def view(path: Path, turns: int) -> tuple[list[Features], tuple[int, ...], float]:
        """All methods' features of an image set upright, its stored shape, and its resizing."""
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
    """Intrinsics (3, 3) of an image resized by a ratio, pixel centers at whole numbers."""
    resize = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2], [0, 0, 1]])
    return resize @ matrix


def turned_matrix(matrix: np.ndarray, image_shape: tuple[int, ...], turns: int) -> np.ndarray:
    """Intrinsics (3, 3) of an image after quarter turns against the clock, as by ``np.rot90``.

    Args:
        matrix: of the image before, without skew.
        image_shape: (height, width, ...) of it.
        turns: 0 or more.
    """
    height, width = image_shape[:2]
    for _ in range(turns % 4):
        # Pixel (x, y) comes to (y, width - 1 - x).
        (fx, _, cx), (_, fy, cy) = matrix[:2]
        matrix = np.array([[fy, 0, cy], [0, fx, width - 1 - cx], [0, 0, 1.0]])
        height, width = width, height
    return matrix


def turn_about_axis(turns: int) -> np.ndarray:
    """(4, 4) that takes points of a camera to the one whose image is the same after quarter turns
    against the clock.
    """
    quarter = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    return np.linalg.matrix_power(quarter, turns % 4)
