# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Log keypoints, matches, trajectories and landmarks for Rerun (https://rerun.io)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..camera import Camera
from ..colors import color_by_height
from ..errors import install_extra
from ..features import FeatureFrame
from ..matching import FrameMatch
from ..matching.drawing import INLIER_COLOR, OUTLIER_COLOR
from ..pixels import to_drawable
from ..sources import Frame

if TYPE_CHECKING:
    from ..odometry import VisualOdometry

logger = logging.getLogger(__name__)

_KEYPOINT_COLOR = (250, 200, 40)
"""Yellow, as RGB."""
_KEYPOINT_RADIUS = 1.5
"""Radius of a keypoint on the screen [px]."""
_OUTLIER_OPACITY = 70
"""Opacity of outliers, which are longer and cross more than inliers, of 255."""
_LINE_RADIUS = 0.5
"""Half of a match's width on the screen [px]."""
_TRAJECTORY_COLORS = ((240, 120, 60), (60, 230, 60), (80, 160, 250), (230, 90, 230))
"""One for each method, as RGB."""
_FRUSTUM_DEPTH = 0.2
"""Distance of the image from the camera in space, in map units (the first median depth is 1)."""
_JPEG_QUALITY = 85


class RerunLog:
    """What methods find in a sequence, frame by frame.

    Each method has a view of the image with its keypoints and the motion of its matches; all share
    one view of space, with the camera, its trajectory and the landmarks colored by height. Space
    is empty without intrinsics or without the packages of the odometry, which a warning says.

    Args:
        names: Of the methods.
        output: File to write (.rrd); an empty path opens the viewer.

    Raises:
        ImportError: rerun-sdk is not installed.
    """

    def __init__(self, names: Sequence[str], output: Path) -> None:
        try:
            import rerun
            import rerun.blueprint as blueprint
        except ImportError as error:
            raise ImportError(
                f"{error}: --rerun needs rerun-sdk: {install_extra('rerun')}"
            ) from error
        self._rerun = rerun
        self._names = names
        self._recording = rerun.RecordingStream("feature_booster")
        if output == Path():
            self._recording.spawn()
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            self._recording.save(output)
        self._odometries: list[VisualOdometry] = []
        self._camera: Camera | None = None
        images = [
            blueprint.Spatial2DView(origin=self._path(name, "camera"), name=name) for name in names
        ]
        space = blueprint.Spatial3DView(origin="/", name="trajectories and landmarks")
        self._recording.send_blueprint(
            blueprint.Blueprint(
                blueprint.Horizontal(blueprint.Vertical(*images), space), collapse_panels=True
            )
        )
        # The world is the first camera's optical frame.
        self._recording.log("/", rerun.ViewCoordinates.RDF, static=True)

    def add(
        self,
        frame: Frame,
        described: Sequence[FeatureFrame],
        results: Sequence[FrameMatch],
    ) -> None:
        """Log a frame.

        Args:
            frame: The frame; stamps rise.
            described: Every method's features of it.
            results: Every method's matches with the frame before; empty for the first frame.
        """
        rerun, recording = self._rerun, self._recording
        recording.set_time("stamp", duration=frame.stamp)
        pixels = to_drawable(frame.image)
        image = rerun.Image(pixels, color_model="L" if pixels.ndim == 2 else "BGR")
        picture = image.compress(jpeg_quality=_JPEG_QUALITY)
        paths = [self._path(name, "camera") for name in self._names]
        radius = rerun.Radius.ui_points
        for path, each in zip(paths, described, strict=True):
            points = _from_corner(each.features.keypoints)
            recording.log(path, picture)
            recording.log(
                f"{path}/keypoints",
                rerun.Points2D(points, colors=_KEYPOINT_COLOR, radii=radius(_KEYPOINT_RADIUS)),
            )
        for path, result in zip(paths, results, strict=False):
            lines = np.stack([result.reference_points, result.query_points], axis=1)
            for name, chosen, color in (
                ("outliers", ~result.inliers, (*OUTLIER_COLOR[::-1], _OUTLIER_OPACITY)),
                ("inliers", result.inliers, INLIER_COLOR[::-1]),
            ):
                drawn = _from_corner(lines[chosen])
                recording.log(
                    f"{path}/{name}",
                    rerun.LineStrips2D(drawn, colors=color, radii=radius(_LINE_RADIUS)),
                )
        if frame.camera is not None:
            self._track(frame.camera, described)

    def close(self) -> None:
        """Write what is not written yet."""
        self._recording.flush()
        self._recording.disconnect()

    def _path(self, *parts: str) -> str:
        return self._rerun.new_entity_path(list(parts))

    def _track(self, camera: Camera, described: Sequence[FeatureFrame]) -> None:
        """Log where every method's odometry is, and its map."""
        if self._camera is None:
            self._odometries = _create_odometries(camera, len(described))
        elif camera is not self._camera:
            for odometry in self._odometries:
                odometry.set_camera(camera.matrix, camera.distortion, camera.model)
        self._camera = camera
        for name, color, odometry, each in zip(
            self._names, cycle(_TRAJECTORY_COLORS), self._odometries, described, strict=False
        ):
            estimate = odometry.track(each.features, each.stamp_ns * 1e-9)
            if estimate.pose is not None:
                self._log_pose(self._path(name, "camera"), estimate.pose, camera)
            if estimate.is_keyframe:
                self._log_map(name, odometry, color)

    def _log_pose(self, path: str, pose: np.ndarray, camera: Camera) -> None:
        rerun = self._rerun
        matrix = camera.matrix.copy()
        matrix[:2, 2] = _from_corner(matrix[:2, 2])
        self._recording.log(
            path,
            rerun.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]),
            rerun.Pinhole(
                image_from_camera=matrix,
                width=camera.width,
                height=camera.height,
                image_plane_distance=_FRUSTUM_DEPTH,
            ),
        )

    def _log_map(self, name: str, odometry: VisualOdometry, color: tuple[int, int, int]) -> None:
        rerun, landmarks = self._rerun, odometry.landmarks().positions
        positions = [pose[:3, 3] for _, pose in odometry.trajectory()]
        self._recording.log(
            self._path(name, "trajectory"),
            rerun.LineStrips3D([positions], colors=color),
        )
        self._recording.log(
            self._path(name, "landmarks"),
            rerun.Points3D(landmarks, colors=color_by_height(-landmarks[:, 1])),
        )


def _create_odometries(camera: Camera, count: int) -> list[VisualOdometry]:
    """Return an odometry for each method; none, with a warning, if its packages are missing."""
    try:
        from ..odometry import VisualOdometry
    except ImportError as error:
        logger.warning("no trajectories and landmarks: %s", error)
        return []
    return [VisualOdometry(camera.matrix, camera.distortion, camera.model) for _ in range(count)]


def _from_corner(pixels: np.ndarray) -> np.ndarray:
    """Return pixels with the origin at the corner of the first pixel, not at its center."""
    return pixels + 0.5
