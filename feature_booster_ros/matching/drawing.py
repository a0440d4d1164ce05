# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drawings of matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

LAYOUTS = ("auto", "side_by_side", "stacked", "overlay")

INLIER_COLOR = (60, 230, 60)
"""Green, as OpenCV's BGR."""
OUTLIER_COLOR = (60, 60, 240)
"""Red, as OpenCV's BGR."""
_TEXT_COLOR = (255, 255, 255)
"""White, as OpenCV's BGR."""

_SHIFT = 4
"""Fractional bits of the coordinates passed to OpenCV."""
_GAP = 4
"""Gap between two images [px]."""
_SCREEN_ASPECT = 16 / 9
"""Width over height of the screens that pictures are arranged for."""
_THIN_LINE_SIDE = 1250
"""Longest side of a picture whose lines are one pixel wide [px]; others are in proportion."""
_INLIER_OPACITY = 0.7
"""Opacity of the lines of inliers, so that the image shows through where many of them cross."""
_OUTLIER_OPACITY = 0.55
"""Opacity of the lines of outliers, which are longer and cross more."""


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
    max_width: int | None = None,
) -> np.ndarray:
    """Draw matches as lines, inliers green over outliers red, with their counts as text.

    Args:
        query_image: (H, W) or (H, W, 3) BGR, uint8.
        reference_image: likewise, of any size.
        query_points: (M, 2) matched pixels of the query image.
        reference_points: (M, 2) of the reference image.
        inliers: (M,) bool.
        layout: "side_by_side" (reference left), "stacked" (reference on top), "auto" for the one of
            these two that fills a screen better, or "overlay": on the query image alone, with a
            line from where the point was in the reference image to a dot where it is now.
        caption: text before the counts.
        max_lines: largest number of matches drawn, chosen evenly; None for all. The counts are of
            all.
        noun: name of the green matches in the text.
        max_width: largest width of the picture [px], to which images are shrunk before lines and
            text are drawn, so that these stay legible; None for any.

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
    _check_image("query_image", query_image)
    _check_image("reference_image", reference_image)
    layout = _choose_layout(layout, query_image, reference_image)
    query, reference = _shrink(query_image, reference_image, layout, max_width)
    canvas, offset = _canvas(query.image, reference.image, layout)
    ends = query.scale_points(query_points) + offset
    # The overlay is on the query image, whatever the size of the reference.
    starts = (query if layout == "overlay" else reference).scale_points(reference_points)
    if max_lines is not None and count > max_lines:
        shown = np.linspace(0, count - 1, max_lines).astype(int)
    else:
        shown = np.arange(count)
    thickness = max(1, round(max(canvas.shape) / _THIN_LINE_SIDE))
    groups = (
        (shown[~inliers[shown]], OUTLIER_COLOR, _OUTLIER_OPACITY),
        (shown[inliers[shown]], INLIER_COLOR, _INLIER_OPACITY),
    )
    for drawn, color, opacity in groups:
        _draw_lines(canvas, starts[drawn], ends[drawn], color, thickness, opacity)
    for drawn, color, _ in groups:
        at = ends[drawn]
        if layout != "overlay":
            at = np.concatenate([at, starts[drawn]])
        _draw_dots(canvas, at, color, thickness)
    matched = int(inliers.sum())
    share = f" ({100 * matched / count:.0f} %)" if count else ""
    before = f"{caption}: {count} matches, " if caption else f"{count} matches, "
    _write(canvas, [(before, _TEXT_COLOR), (f"{matched} {noun}{share}", INLIER_COLOR)])
    return canvas


def choose_columns(count: int, width: int, height: int) -> int:
    """Return in how many columns so many images of a size [px] fill a screen best."""

    def misfit(columns: int) -> float:
        rows = -(-count // columns)
        return round(abs(np.log(columns * width / (rows * height) / _SCREEN_ASPECT)), 6)

    return min(range(count, 0, -1), key=misfit)


def tile(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arrange pictures of one size (H, W, 3) in rows of so many columns, with white gaps."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    shape = rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3
    tiled = np.full(shape, 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * (height + _GAP), number % columns * (width + _GAP)
        tiled[y : y + height, x : x + width] = picture
    return tiled


@dataclass(frozen=True, eq=False)
class _Shrunk:
    """An image of another size than the one in whose pixels points are.

    Attributes:
        image: (H', W', 3).
        scale: (2,) new over old width and height.
    """

    image: np.ndarray
    scale: np.ndarray

    def scale_points(self, points: np.ndarray) -> np.ndarray:
        """Return points (N, 2) in pixels of the new image; centers of pixels are integers."""
        return (points + 0.5) * self.scale - 0.5


def _choose_layout(layout: str, query: np.ndarray, reference: np.ndarray) -> str:
    """Return the layout, for "auto" the one whose picture has the shape of a screen."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if layout != "auto":
        return layout
    height, width = np.maximum(query.shape[:2], reference.shape[:2])
    return "side_by_side" if choose_columns(2, width, height) == 2 else "stacked"


def _shrink(
    query: np.ndarray, reference: np.ndarray, layout: str, max_width: int | None
) -> tuple[_Shrunk, _Shrunk]:
    """Return both images shrunk alike, so that the picture is at most `max_width` wide [px]."""
    widths = query.shape[1], reference.shape[1]
    gap = _GAP if layout == "side_by_side" else 0
    full = {"side_by_side": sum(widths), "stacked": max(widths), "overlay": widths[0]}[layout]
    room = full if max_width is None else min(full, max(max_width - gap, 1))
    shrunk = []
    for image in (query, reference):
        old = np.array([image.shape[1], image.shape[0]])
        new = np.maximum(old * room // full, 1)
        if room < full:
            image = cv2.resize(image, tuple(new.tolist()), interpolation=cv2.INTER_AREA)
        bgr = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        shrunk.append(_Shrunk(bgr, new / old))
    return shrunk[0], shrunk[1]


def _canvas(query: np.ndarray, reference: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the background, and the offset (2,) of the query in it; the reference's is zero."""
    (height_q, width_q), (height_r, width_r) = query.shape[:2], reference.shape[:2]
    if layout == "overlay":
        # Darker, so that the lines stand out.
        return (query * 0.7).astype(np.uint8), np.zeros(2, int)
    if layout == "side_by_side":
        size = max(height_q, height_r), width_r + _GAP + width_q
        offset = np.array([width_r + _GAP, 0])
    else:
        size = height_r + _GAP + height_q, max(width_q, width_r)
        offset = np.array([0, height_r + _GAP])
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[:height_r, :width_r] = reference
    canvas[offset[1] : offset[1] + height_q, offset[0] : offset[0] + width_q] = query
    return canvas, offset


def _check_image(name: str, image: np.ndarray) -> None:
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] != 3)
    ):
        raise ValueError(
            f"{name} must be uint8 of shape (H, W) or (H, W, 3), not {image.dtype} of {image.shape}"
        )


def _draw_lines(
    canvas: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    color: tuple[int, int, int],
    thickness: int,
    opacity: float,
) -> None:
    if len(starts) == 0:
        return
    opaque = canvas.copy()
    # One call for all, as a call for each match takes longer than matching.
    lines = list(_fixed(np.stack([starts, ends], axis=1)))
    cv2.polylines(opaque, lines, False, color, thickness, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(opaque, opacity, canvas, 1 - opacity, 0, dst=canvas)


def _draw_dots(
    canvas: np.ndarray, points: np.ndarray, color: tuple[int, int, int], thickness: int
) -> None:
    """Draw dots with a dark rim, which stand out from an image of any brightness."""
    # A thick line of length zero is a dot.
    dots = list(np.repeat(_fixed(points)[:, None], 2, axis=1))
    for dot_color, size in (((0, 0, 0), 2 + 4 * thickness), (color, 4 * thickness)):
        cv2.polylines(canvas, dots, False, dot_color, size, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Return coordinates as OpenCV takes them, with `_SHIFT` fractional bits."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _write(canvas: np.ndarray, texts: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
    """Write a line of colored texts in the top-left corner, in a size that fits the width."""
    font, width = cv2.FONT_HERSHEY_SIMPLEX, canvas.shape[1]
    (full_width, _), _ = cv2.getTextSize("".join(text for text, _ in texts), font, 1.0, 1)
    scale = min(max(0.5, width / 1600), 0.96 * width / max(full_width, 1))
    # Thick enough for RViz, which shrinks pictures by leaving out pixels.
    thickness = max(1, round(2.2 * scale))
    sizes = [cv2.getTextSize(text, font, scale, thickness) for text, _ in texts]
    height, baseline = max(size[1] for size, _ in sizes), max(below for _, below in sizes)
    margin = max(3, round(8 * scale))
    x = margin
    box = canvas[: height + baseline + 2 * margin, : sum(s[0] for s, _ in sizes) + 2 * margin]
    box[:] = box // 5
    for (text, color), ((text_width, _), _) in zip(texts, sizes, strict=True):
        cv2.putText(canvas, text, (x, margin + height), font, scale, color, thickness, cv2.LINE_AA)
        x += text_width
