# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views with the depth of their tracks, from a COLMAP reconstruction of our features.

A camera of COLMAP has lens distortion, a :class:`PosedView` has none. So keypoints are stored where
a lens without distortion would have put them: then projecting a point into another view is exact to
the reprojection error, for any of COLMAP's camera models. The alternative, to reconstruct with a
pinhole model, bends the scene instead, and loses tracks towards the images' borders. The network
sees positions that are off by the distortion, a few pixels, which only matter to its keypoint
encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....colmap.conventions import COLMAP_CENTRE, world_to_camera
from ....features import Features
from ..posed_view import PosedView

if TYPE_CHECKING:
    import pycolmap

TRACKED_SHARE = 0.75
"""Largest share of a view's kept features that belong to tracks; the others are distractors."""
FEWEST_SHARED_TRACKS = 15
"""Pairs with fewer are not worth a place in a batch."""


@dataclass(frozen=True, eq=False)
class ExtractedImage:
    """An image of which only the features are left.

    Attributes:
        name: path below the folder of the images.
        features: in pixels of the image that they were extracted from.
        shape: (height, width) of that image, which may have been shrunk.
        file_shape: (height, width) of the image in the file, as COLMAP sees it.
    """

    name: str
    features: Features
    shape: tuple[int, int]
    file_shape: tuple[int, int]

    @property
    def ratio(self) -> np.ndarray:
        """(2,) pixels of the image, across and down, for each pixel of the file."""
        return np.array(self.shape[::-1]) / self.file_shape[::-1]

    def file_keypoints(self) -> np.ndarray:
        """(N, 2) keypoints in pixels of the file, its top-left pixel's center at (0, 0)."""
        return (self.features.keypoints + 0.5) / self.ratio - 0.5


@dataclass(frozen=True, eq=False)
class TrackedView:
    """A view, and which of its features belong to which track.

    Attributes:
        view: N features; those of a track have their depth.
        tracks: (N,) int64 id of the track, -1 for none.
    """

    view: PosedView
    tracks: np.ndarray


def tracked_views(
    reconstruction: pycolmap.Reconstruction,
    images: Mapping[int, ExtractedImage],
    max_features: int,
) -> dict[str, TrackedView]:
    """The registered images as views, by name.

    Args:
        reconstruction: keypoint i of its images is feature i here.
        images: by their id in the reconstruction.
        max_features: kept of a view: those of the longest tracks, up to ``TRACKED_SHARE``, which
            are therefore the same in all views, and the strongest of the others.
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
    """(3, 3) intrinsics in our pixels of the image that the features are from."""
    matrix = np.array(camera.calibration_matrix())
    matrix[:2] *= image.ratio[:, None]
    matrix[:2, 2] -= COLMAP_CENTRE
    return matrix


def _undistorted(camera: pycolmap.Camera, matrix: np.ndarray, image: ExtractedImage) -> np.ndarray:
    """(N, 2) keypoints as a camera of these intrinsics without distortion has them; NaN where there
    is no such place.
    """
    distorted = (image.file_keypoints() + COLMAP_CENTRE).astype(np.float64)
    rays = np.array(camera.cam_from_img(distorted), np.float64)
    return rays * matrix[[0, 1], [0, 1]] + matrix[:2, 2]


def _kept(
    tracks: np.ndarray, lengths: Mapping[int, int], scores: np.ndarray, count: int
) -> np.ndarray:
    """Indices of at most ``count`` features."""
    length = np.array([lengths.get(track, 0) for track in tracks.tolist()])
    tracked = np.flatnonzero(tracks >= 0)
    tracked = tracked[np.lexsort((tracks[tracked], -length[tracked]))]
    others = np.flatnonzero(tracks < 0)
    others = others[np.argsort(-scores[others], kind="stable")]
    tracked = tracked[: max(int(TRACKED_SHARE * count), count - len(others))]
    return np.concatenate([tracked, others[: count - len(tracked)]])


def overlapping_pairs(
    views: Mapping[str, TrackedView], min_overlap: float
) -> tuple[list[tuple[str, str]], list[float]]:
    """Pairs of views and their overlaps: tracks that they share, as a share of those of the view
    with fewer.
    """
    tracks = {name: np.unique(view.tracks[view.tracks >= 0]) for name, view in views.items()}
    pairs: list[tuple[str, str]] = []
    overlaps: list[float] = []
    for first, second in itertools.combinations(sorted(views), 2):
        shared = len(np.intersect1d(tracks[first], tracks[second], assume_unique=True))
        if shared < FEWEST_SHARED_TRACKS:
            continue
        overlap = shared / min(len(tracks[first]), len(tracks[second]))
        if overlap >= min_overlap:
            pairs.append((first, second))
            overlaps.append(overlap)
    return pairs, overlaps


def registered_names(
    reconstructions: Sequence[pycolmap.Reconstruction], images: Mapping[int, ExtractedImage]
) -> set[str]:
    """Names of the images that any of the reconstructions has."""
    return {images[image_id].name for each in reconstructions for image_id in each.reg_image_ids()}
