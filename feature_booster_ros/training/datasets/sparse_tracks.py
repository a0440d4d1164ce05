# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make views with the depth of their tracks from a COLMAP reconstruction of our features.

A camera of COLMAP has lens distortion, a :class:`PosedView` has none. So keypoints are stored where
a lens without distortion puts them, and projecting a point into another view is exact to the
reprojection error for any of COLMAP's camera models. A reconstruction with a pinhole model would
bend the scene and lose tracks near the images' borders. The network sees positions that are off by
the distortion, a few pixels, which matters to its keypoint encoder only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...colmap.conventions import COLMAP_CENTER, world_to_camera
from ...features import Features
from .posed_view import PosedView

if TYPE_CHECKING:
    import pycolmap

MAX_TRACKED_SHARE = 0.75
"""Largest share of a view's kept features that belong to tracks; the others are distractors."""
MIN_SHARED_TRACKS = 15
"""Pairs of views with fewer tracks in common are left out."""


@dataclass(frozen=True, eq=False)
class ExtractedImage:
    """The features of an image.

    Attributes:
        name: Path below the folder of the images.
        features: Features in pixels of the image that they were extracted from.
        shape: (height, width) of that image, which may have been shrunk.
        file_shape: (height, width) of the image in the file, which COLMAP uses.
    """

    name: str
    features: Features
    shape: tuple[int, int]
    file_shape: tuple[int, int]

    @property
    def ratio(self) -> np.ndarray:
        """(2,) size of the image over that of the file, across and down."""
        return np.array(self.shape[::-1]) / self.file_shape[::-1]

    def file_keypoints(self) -> np.ndarray:
        """Return keypoints (N, 2) in pixels of the file, its top-left pixel's center at (0, 0)."""
        return (self.features.keypoints + 0.5) / self.ratio - 0.5


@dataclass(frozen=True, eq=False)
class TrackedView:
    """A view, and the tracks of its features.

    Attributes:
        view: View of N features; those of a track have a depth.
        tracks: (N,) int64 id of the track, -1 for none.
    """

    view: PosedView
    tracks: np.ndarray


def tracked_views(
    reconstruction: pycolmap.Reconstruction,
    images: Mapping[int, ExtractedImage],
    max_features: int,
) -> dict[str, TrackedView]:
    """Return the registered images as views, by name.

    Args:
        reconstruction: Model whose keypoint i of an image is feature i of that image.
        images: Images by their id in the reconstruction.
        max_features: Most features of a view: those of the longest tracks, up to
            ``MAX_TRACKED_SHARE``, which are thus the same in all views, and the strongest others.
    """
    points = {
        point_id: (np.asarray(point.xyz), point.track.elements)
        for point_id, point in reconstruction.points3D.items()
    }
    tracks = {
        image_id: np.full(len(images[image_id].features), -1, np.int64)
        for image_id in reconstruction.reg_image_ids()
    }
    for point_id, (_, elements) in points.items():
        for element in elements:
            tracks[element.image_id][element.point2D_idx] = point_id
    positions = {point_id: xyz for point_id, (xyz, _) in points.items()}
    lengths = {point_id: len(elements) for point_id, (_, elements) in points.items()}
    return {
        images[image_id].name: _tracked_view(
            reconstruction,
            image_id,
            images[image_id],
            tracks[image_id],
            positions,
            lengths,
            max_features,
        )  # fmt: skip
        for image_id in tracks
    }


def _tracked_view(
    reconstruction: pycolmap.Reconstruction,
    image_id: int,
    image: ExtractedImage,
    tracks: np.ndarray,
    positions: Mapping[int, np.ndarray],
    lengths: Mapping[int, int],
    max_features: int,
) -> TrackedView:
    registered = reconstruction.images[image_id]
    pose = np.linalg.inv(world_to_camera(registered))
    camera = reconstruction.cameras[registered.camera_id]
    matrix = _camera_matrix(camera, image)
    keypoints = _undistorted(camera, matrix, image)
    tracked = (tracks >= 0) & np.isfinite(keypoints).all(axis=1)
    depths = np.zeros(len(tracks), np.float32)
    if tracked.any():
        world = np.stack([positions[track] for track in tracks[tracked].tolist()])
        depths[tracked] = ((world - pose[:3, 3]) @ pose[:3, 2]).clip(0)
    tracks = np.where(depths > 0, tracks, -1)
    features = image.features
    features = Features(
        np.where(np.isfinite(keypoints), keypoints, features.keypoints).astype(np.float32),
        features.scales, features.angles, features.scores, features.descriptors,
    )  # fmt: skip
    kept = _kept(tracks, lengths, features.scores, max_features)
    view = PosedView(features.select(kept), image.shape, matrix, pose, depths[kept])
    return TrackedView(view, tracks[kept])


def _camera_matrix(camera: pycolmap.Camera, image: ExtractedImage) -> np.ndarray:
    """Return (3, 3) intrinsics in our pixels of the image that the features are from."""
    matrix = np.array(camera.calibration_matrix())
    matrix[:2] *= image.ratio[:, None]
    matrix[:2, 2] -= COLMAP_CENTER
    return matrix


def _undistorted(camera: pycolmap.Camera, matrix: np.ndarray, image: ExtractedImage) -> np.ndarray:
    """Return keypoints (N, 2) without lens distortion, NaN where the model is not invertible."""
    distorted = (image.file_keypoints() + COLMAP_CENTER).astype(np.float64)
    rays = np.array(camera.cam_from_img(distorted), np.float64)
    return rays * matrix[[0, 1], [0, 1]] + matrix[:2, 2]


def _kept(
    tracks: np.ndarray, lengths: Mapping[int, int], scores: np.ndarray, count: int
) -> np.ndarray:
    """Return the indices of at most ``count`` features."""
    length = np.array([lengths.get(track, 0) for track in tracks.tolist()])
    tracked = np.flatnonzero(tracks >= 0)
    tracked = tracked[np.lexsort((tracks[tracked], -length[tracked]))]
    others = np.flatnonzero(tracks < 0)
    others = others[np.argsort(-scores[others], kind="stable")]
    tracked = tracked[: max(int(MAX_TRACKED_SHARE * count), count - len(others))]
    return np.concatenate([tracked, others[: count - len(tracked)]])


def overlapping_pairs(
    views: Mapping[str, TrackedView], min_overlap: float
) -> tuple[list[tuple[str, str]], list[float]]:
    """Return pairs of views and their overlaps.

    The overlap is the number of tracks in common over that of the view with fewer tracks.
    """
    tracks = {name: np.unique(view.tracks[view.tracks >= 0]) for name, view in views.items()}
    pairs: list[tuple[str, str]] = []
    overlaps: list[float] = []
    for first, second in itertools.combinations(sorted(views), 2):
        shared = len(np.intersect1d(tracks[first], tracks[second], assume_unique=True))
        if shared < MIN_SHARED_TRACKS:
            continue
        overlap = shared / min(len(tracks[first]), len(tracks[second]))
        if overlap >= min_overlap:
            pairs.append((first, second))
            overlaps.append(overlap)
    return pairs, overlaps


def registered_names(
    reconstructions: Sequence[pycolmap.Reconstruction], images: Mapping[int, ExtractedImage]
) -> set[str]:
    """Return the names of the images that are registered in any of the reconstructions."""
    return {images[image_id].name for each in reconstructions for image_id in each.reg_image_ids()}
