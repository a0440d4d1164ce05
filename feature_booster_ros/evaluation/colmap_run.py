# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP on the frames of an odometry run, as the limit of what the odometry could reach.

COLMAP's incremental mapper (Schoenberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016)
sees the whole sequence and takes its time. It gets the odometry's features, matched with the
neighboring frames, and known intrinsics, which it does not refine. It is no limit where the camera
turns on the spot or structures repeat, as in the rendered flight: there its models break, or are
joined wrongly.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..colmap import database as colmap_database
from ..colmap.conventions import import_pycolmap, world_to_camera
from ..colmap.mapping import map_incrementally
from ..features import Features
from ..matching import match
from ..odometry.rigid import inverse
from ..progress import Progress
from ..sources import Camera
from .trajectories import OdometryRun

if TYPE_CHECKING:
    import pycolmap

# Following frames with which a frame is matched. Frames far apart are left out: COLMAP would take
# structures that repeat, like the pictures of the rendered gallery, for the same place.
_NEIGHBORS = 10
# Largest ratio of the distances of the nearest and the second nearest descriptor.
_MAX_RATIO = 0.8
# Fewest matches of a pair of frames to be verified: chance gives nearly as many.
_MIN_MATCHES = 15


def run_colmap(
    name: str, frames: Sequence[tuple[float, Features]], camera: Camera, threads: int = -1
) -> OdometryRun:
    """Reconstruct a sequence by COLMAP; frames of its largest model count as tracked.

    Args:
        name: Name of the run.
        frames: Stamps in seconds and features of the frames.
        camera: The camera of all frames.
        threads: Threads of the mapper; -1 for all processors.

    Raises:
        ValueError: pycolmap is not installed.
    """
    import_pycolmap("odometry")
    begin = time.perf_counter()
    pinhole, undistorted = _undistorted([features for _, features in frames], camera)
    names = [f"frame {index}" for index in range(len(frames))]
    with tempfile.TemporaryDirectory(prefix="feature_booster_colmap_") as folder:
        database = Path(folder) / "database.db"
        ids = list(colmap_database.add_frames(database, names, pinhole).values())
        colmap_database.write_keypoints(
            database,
            {image_id: each.keypoints for image_id, each in zip(ids, undistorted, strict=True)},
        )
        matches = {
            (ids[first], ids[second]): indices
            for (first, second), indices in _match(undistorted).items()
        }
        colmap_database.write_matches(database, matches)
        models = []
        if matches and colmap_database.verify_matches(database, list(matches)):
            models = map_incrementally(database, None, Path(folder) / "sparse", True, threads)
    seconds = time.perf_counter() - begin
    poses, inliers = _registered(models[0], ids) if models else ({}, {})
    count = len(frames)
    return OdometryRun(
        method=name,
        trajectory=[(frames[index][0], pose) for index, pose in sorted(poses.items())],
        stamps=np.array([stamp for stamp, _ in frames]),
        is_tracked=np.array([index in poses for index in range(count)]),
        inliers=np.array([inliers.get(index, 0) for index in range(count)]),
        map_numbers=np.full(count, max(len(models), 1) - 1),
        tracking_seconds=None,
        mapping_seconds=None,
        seconds=seconds,
    )


def _undistorted(features: Sequence[Features], camera: Camera) -> tuple[Camera, list[Features]]:
    """Return a pinhole camera and the features at its pixels, without those that it cannot see."""
    focal, center = camera.focal_length, camera.matrix[:2, 2]
    cx, cy = map(float, center)
    pinhole = Camera.pinhole(focal, focal, cx, cy, camera.width, camera.height)
    moved = []
    for each in features:
        rays = camera.rays(each.keypoints)
        seen = np.isfinite(rays).all(axis=1)
        keypoints = np.where(seen[:, None], rays, 0) * focal + center
        moved.append(
            Features(
                keypoints.astype(np.float32), each.scales, each.angles, each.scores,
                each.descriptors, each.model,
            ).select(np.flatnonzero(seen))
        )  # fmt: skip
    return pinhole, moved


def _match(features: Sequence[Features]) -> dict[tuple[int, int], np.ndarray]:
    """Return the indices (M, 2) of the features that match, by pair of frames."""
    count = len(features)
    pairs = [
        (first, second)
        for first in range(count)
        for second in range(first + 1, min(first + 1 + _NEIGHBORS, count))
    ]
    matches = {}
    for first, second in Progress(pairs, "COLMAP: matches"):
        found = match(features[first], features[second], ratio=_MAX_RATIO).indices
        if len(found) >= _MIN_MATCHES:
            matches[first, second] = found
    return matches


def _registered(
    model: pycolmap.Reconstruction, ids: Sequence[int]
) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Return the poses (4, 4), camera to world, and the numbers of points seen, by frame.

    The world is the camera of the first registered frame, as in the odometry.
    """
    registered = {
        index: model.images[image_id]
        for index, image_id in enumerate(ids)
        if image_id in model.images and model.images[image_id].has_pose
    }
    first = world_to_camera(registered[min(registered)])
    poses = {index: first @ inverse(world_to_camera(image)) for index, image in registered.items()}
    return poses, {index: image.num_points3D for index, image in registered.items()}
