# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The limit of what an odometry could do: COLMAP, which sees the whole sequence and has all the
time that it wants.

COLMAP's incremental mapper (Schoenberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016)
gets the features that the odometry has, matched with the neighboring frames, and intrinsics that
are known and stay. It is no limit where the camera turns on the spot or things repeat themselves,
as in the rendered flight: there its models break, or are joined wrongly.
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

NEIGHBOURS = 10
"""Frames after a frame with which it is matched. Not frames far apart: what repeats itself, like
the pictures of the rendered gallery, would be taken for the same place again.
"""
RATIO = 0.8
FEWEST_MATCHES = 15
"""Fewer matches of two frames are not verified: chance gives as many."""


def run_colmap(
    name: str, frames: Sequence[tuple[float, Features]], camera: Camera, threads: int = -1
) -> OdometryRun:
    """COLMAP's way along the sequence; frames of its largest model count as tracked.

    Args:
        name: of the run.
        frames: stamps in seconds and features of the images.
        camera: that took them all.
        threads: of the mapper; -1 for all processors.

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
    """A pinhole camera, and the features where it sees them; those that it cannot see are left
    out.
    """
    focal, center = camera.focal_length, camera.matrix[:2, 2]
    pinhole = Camera.pinhole(focal, focal, *center, camera.width, camera.height)
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
    """Indices (M, 2) of the features that match, by pair of frames."""
    count = len(features)
    pairs = [
        (first, second)
        for first in range(count)
        for second in range(first + 1, min(first + 1 + NEIGHBOURS, count))
    ]
    matches = {}
    for first, second in Progress(pairs, "COLMAP: matches"):
        found = match(features[first], features[second], ratio=RATIO).indices
        if len(found) >= FEWEST_MATCHES:
            matches[first, second] = found
    return matches


def _registered(
    model: pycolmap.Reconstruction, ids: Sequence[int]
) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Poses (4, 4), camera to world, and numbers of points seen, by frame. The world is the first
    registered frame's camera, as the odometry has it.
    """
    registered = {
        index: model.images[image_id]
        for index, image_id in enumerate(ids)
        if image_id in model.images and model.images[image_id].has_pose
    }
    first = world_to_camera(registered[min(registered)])
    poses = {index: first @ inverse(world_to_camera(image)) for index, image in registered.items()}
    return poses, {index: image.num_points3D for index, image in registered.items()}
