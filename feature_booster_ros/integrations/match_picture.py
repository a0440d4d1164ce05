# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw the matches of two images, one row a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from ..matching import match, verify
from ..matching.drawing import draw_matches, tile
from ..methods import create_methods, describe_all
from ..pixels import read_image, shrink, to_drawable, to_gray

MAX_LINES = 150
"""Most matches that are drawn in a row."""


@dataclass(frozen=True)
class MatchCount:
    """How many matches of two images a method has.

    Attributes:
        method: Name of the method.
        matches: Number of mutual nearest neighbors.
        inliers: Number of them that agree with one fundamental matrix.
    """

    method: str
    matches: int
    inliers: int


def draw_match_picture(
    first: Path,
    second: Path,
    output: Path,
    methods: Sequence[str],
    max_features: int = 2048,
    longest_side: int | None = 1600,
    device: str = "auto",
) -> list[MatchCount]:
    """Match two images by every method, and write a picture with one row each.

    Args:
        first: Image file.
        second: Image file.
        output: Picture to write; its suffix is the format.
        methods: As :func:`..methods.create_methods` takes them.
        max_features: Most features of an image.
        longest_side: Longest side to which larger images are shrunk [px]; None for any.
        device: Device of boosters and matching: auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: An image cannot be read, there is no such method, or the picture has no known
            format.
    """
    if not cv2.haveImageWriter(str(output)):
        raise ValueError(f"{output}: give the name of a picture, such as matches.png")
    makers = create_methods(methods, max_features, device)
    images = [shrink(read_image(path), longest_side)[0] for path in (first, second)]
    images = [to_drawable(image) for image in images]
    described = [describe_all(makers, to_gray(image)) for image in images]
    rows, counts = [], []
    for maker, a, b in zip(makers, *described, strict=True):
        matches = match(a, b, device=device)
        points_a = a.keypoints[matches.indices[:, 0]]
        points_b = b.keypoints[matches.indices[:, 1]]
        inliers = verify(points_a, points_b).inliers
        rows.append(
            draw_matches(
                images[1], images[0], points_b, points_a, inliers, "side_by_side", maker.name,
                MAX_LINES,
            )
        )  # fmt: skip
        counts.append(MatchCount(maker.name, len(matches), int(inliers.sum())))
    output.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(output), tile(rows, 1)):
        raise OSError(f"{output} cannot be written: check the folder's permissions")
    return counts
