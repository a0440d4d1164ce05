# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drawings of matches."""

from __future__ import annotations

import cv2
import numpy as np

LAYOUTS = ("side_by_side", "stacked", "overlay")

INLIER_COLOR = (60, 210, 60)
"""Green, as OpenCV's BGR."""
OUTLIER_COLOR = (60, 60, 230)
"""Red, as OpenCV's BGR."""

_SHIFT = 4
"""Fractional bits of the coordinates passed to OpenCV."""
_GAP = 4
"""Gap between two images [px]."""


def draw_matches(
    query_image: np.ndarray,
    reference_image: np.ndarray,
    query_points: np.ndarray,
    reference_points: np.ndarray,
    inliers: np.ndarray,
    layout: str = "side_by_side",
    caption: str = "",
    max_lines: int | None = None,
    noun: str = "inliers",
) -> np.ndarray:
    """Draw matches as lines, inliers green over outliers red, with their counts as text.

    Args:
        query_image: (H, W) or (H, W, 3) BGR, uint8.
        reference_image: likewise, of any size.
        query_points: (M, 2) matched pixels of the query image.
        reference_points: (M, 2) of the reference image.
        inliers: (M,) bool.
        layout: "side_by_side" (reference left), "stacked" (reference on top), or "overlay": on the
            query image alone, with a line from where the point was in the reference image to a dot
            where it is now.
        caption: text after the counts.
        max_lines: largest number of matches drawn, chosen evenly; None for all. The counts are of
            all.
        noun: name of the green matches in the text.

    Returns:
        (H', W', 3) uint8 BGR.

    Raises:
        ValueError: the arrays do not fit each other, or the layout is unknown.
    """
    query_points = np.asarray(query_points, np.float64)
    reference_points = np.asarray(reference_points, np.float64)
    inliers = np.asarray(inliers, bool)
    count = len(inliers)
    if query_points.shape != (count, 2) or reference_points.shape != (count, 2):
        raise ValueError(
            f"query_points and reference_points must have shape ({count}, 2) as there are {count} "
            f"inlier marks, not {query_points.shape} and {reference_points.shape}"
        )
    canvas, query_offset, reference_offset = _canvas(query_image, reference_image, layout)
    ends = query_points + query_offset
    starts = reference_points + reference_offset
    if max_lines is not None and count > max_lines:
        shown = np.linspace(0, count - 1, max_lines).astype(int)
    else:
        shown = np.arange(count)
    for color, drawn in (
        (OUTLIER_COLOR, shown[~inliers[shown]]),
        (INLIER_COLOR, shown[inliers[shown]]),
    ):
        _draw_lines(canvas, starts[drawn], ends[drawn], color, dots_at_start=layout != "overlay")
    matched = int(inliers.sum())
    share = f" ({100 * matched / count:.0f} %)" if count else ""
    _write(
        canvas, f"{count} matches, {matched} {noun}{share}" + (f", {caption}" if caption else "")
    )
    return canvas


def _canvas(
    query: np.ndarray, reference: np.ndarray, layout: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the background, and the offsets (2,) of the query and of the reference in it."""
    query, reference = _bgr("query_image", query), _bgr("reference_image", reference)
    (height_q, width_q), (height_r, width_r) = query.shape[:2], reference.shape[:2]
    if layout == "overlay":
        # Darker, so that the lines stand out.
        return (query * 0.7).astype(np.uint8), np.zeros(2), np.zeros(2)
    if layout == "side_by_side":
        size = max(height_q, height_r), width_r + _GAP + width_q
        offset = np.array([width_r + _GAP, 0])
    elif layout == "stacked":
        size = height_r + _GAP + height_q, max(width_q, width_r)
        offset = np.array([0, height_r + _GAP])
    else:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[:height_r, :width_r] = reference
    canvas[offset[1] : offset[1] + height_q, offset[0] : offset[0] + width_q] = query
    return canvas, offset, np.zeros(2)


def _bgr(name: str, image: np.ndarray) -> np.ndarray:
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] != 3)
    ):
        raise ValueError(
            f"{name} must be uint8 of shape (H, W) or (H, W, 3), not {image.dtype} of {image.shape}"
        )
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def _draw_lines(
    canvas: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    color: tuple[int, int, int],
    dots_at_start: bool,
) -> None:
    if len(starts) == 0:
        return
    # One call for all, as a call for each match takes longer than matching.
    fixed = np.round(np.stack([starts, ends], axis=1) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, list(fixed), False, color, 1, cv2.LINE_AA, _SHIFT)
    # A thick line of length zero is a dot.
    at = np.concatenate([fixed[:, 1], fixed[:, 0]]) if dots_at_start else fixed[:, 1]
    cv2.polylines(
        canvas, list(np.repeat(at[:, None], 2, axis=1)), False, color, 4, cv2.LINE_AA, _SHIFT
    )


def _write(canvas: np.ndarray, text: str) -> None:
    """Write a line of text in the top-left corner, in a size that fits the canvas's width."""
    font, width = cv2.FONT_HERSHEY_SIMPLEX, canvas.shape[1]
    (text_width, _), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(max(0.45, width / 1800), 0.98 * width / max(text_width, 1))
    thickness = 1 if scale < 0.8 else 2
    (text_width, text_height), baseline = cv2.getTextSize(text, font, scale, thickness)
    box = canvas[: text_height + baseline + 6, : text_width + 10]
    box[:] = box // 4
    cv2.putText(
        canvas, text, (5, text_height + 3), font, scale, (255, 255, 255), thickness, cv2.LINE_AA
    )
