# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keypoints and matches as foxglove_msgs/ImageAnnotations, which Foxglove draws on the image.

foxglove_msgs comes with a ROS 2 distribution and is not on PyPI. Without it there are no
annotations; ``ImageAnnotations`` is None then.
"""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time

from feature_booster_ros.matching import FrameMatch
from feature_booster_ros.matching.drawing import INLIER_COLOR, OUTLIER_COLOR

from .messages import to_header

try:
    from foxglove_msgs.msg import Color, ImageAnnotations, Point2, PointsAnnotation
except ImportError:
    ImageAnnotations = None

_KEYPOINT_COLOR = (40, 200, 250)
"""Yellow, as OpenCV's BGR."""
_KEYPOINT_SIZE = 3.0
"""Diameter of a keypoint [px]."""
_LINE_WIDTH = 1.5
"""Of a match [px]."""
_OUTLIER_OPACITY = 0.4
"""Opacity of the lines of outliers, which are longer and cross more than those of inliers."""


def to_image_annotations(result: FrameMatch, max_lines: int) -> ImageAnnotations:
    """Return the keypoints of a frame and the motion of its matches, to draw on its image.

    Args:
        result: Matches of the frame, the query.
        max_lines: Most matches, chosen evenly.
    """
    stamp = to_header(result.query).stamp
    count = len(result.inliers)
    shown = np.linspace(0, count - 1, min(count, max_lines)).astype(int)
    lines = np.stack([result.reference_points, result.query_points], axis=1)[shown]
    inliers = result.inliers[shown]
    kind = PointsAnnotation
    return ImageAnnotations(
        points=[
            _annotation(
                stamp,
                kind.POINTS,
                result.query.features.keypoints,
                _color(_KEYPOINT_COLOR),
                _KEYPOINT_SIZE,
            ),
            _annotation(
                stamp,
                kind.LINE_LIST,
                lines[~inliers],
                _color(OUTLIER_COLOR, _OUTLIER_OPACITY),
                _LINE_WIDTH,
            ),
            _annotation(stamp, kind.LINE_LIST, lines[inliers], _color(INLIER_COLOR), _LINE_WIDTH),
        ]
    )


def _annotation(
    stamp: Time, kind: int, points: np.ndarray, color: Color, thickness: float
) -> PointsAnnotation:
    """Return pixels (..., 2) as an annotation; its origin is the corner of the first pixel."""
    from_corner = (points.reshape(-1, 2) + 0.5).tolist()
    return PointsAnnotation(
        timestamp=stamp,
        type=kind,
        points=[Point2(x=x, y=y) for x, y in from_corner],
        outline_color=color,
        fill_color=color,
        thickness=thickness,
    )


def _color(bgr: tuple[int, int, int], opacity: float = 1.0) -> Color:
    blue, green, red = (value / 255 for value in bgr)
    return Color(r=red, g=green, b=blue, a=opacity)
