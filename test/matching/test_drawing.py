# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of matches."""

import numpy as np
import pytest

from feature_booster_ros.matching.drawing import INLIER_COLOR, OUTLIER_COLOR, draw_matches

QUERY = np.full((100, 160), 90, np.uint8)
REFERENCE = np.full((120, 140, 3), 60, np.uint8)
QUERY_POINTS = np.array([[20.0, 60.0], [100.0, 80.0]])
REFERENCE_POINTS = np.array([[30.0, 60.0], [40.0, 90.0]])
INLIERS = np.array([True, False])


def draw(layout, **options):
    return draw_matches(
        QUERY, REFERENCE, QUERY_POINTS, REFERENCE_POINTS, INLIERS, layout, **options
    )


@pytest.mark.parametrize(
    ("layout", "shape", "query_offset"),
    [
        ("side_by_side", (120, 304, 3), (144, 0)),
        ("stacked", (224, 160, 3), (0, 124)),
        ("overlay", (100, 160, 3), (0, 0)),
    ],
)
def test_layouts(layout, shape, query_offset):
    picture = draw(layout)
    assert picture.shape == shape and picture.dtype == np.uint8
    for (x, y), inlier in zip((QUERY_POINTS + query_offset).astype(int), INLIERS, strict=True):
        assert tuple(picture[y, x]) == (INLIER_COLOR if inlier else OUTLIER_COLOR)
    if layout != "overlay":
        for (x, y), inlier in zip(REFERENCE_POINTS.astype(int), INLIERS, strict=True):
            assert tuple(picture[y, x]) == (INLIER_COLOR if inlier else OUTLIER_COLOR)


def test_counts_are_written_in():
    wide = np.full((100, 900), 90, np.uint8)
    pictures = [
        draw_matches(
            wide,
            wide,
            np.zeros((n, 2)) + 70,
            np.zeros((n, 2)) + 70,
            np.ones(n, bool),
            "overlay",
            caption,
        )
        for n, caption in ((1, ""), (2, ""), (1, "sift"))
    ]
    texts = [(picture[:40] > 200).all(axis=2) for picture in pictures]
    assert all(text.any() for text in texts)
    assert (texts[0] != texts[1]).any() and (texts[0] != texts[2]).any()


def test_no_matches():
    none = np.zeros((0, 2))
    assert draw_matches(QUERY, QUERY, none, none, np.zeros(0, bool)).shape == (100, 324, 3)


def test_no_more_lines_than_asked_for():
    few = draw_matches(
        np.zeros((200, 200), np.uint8),
        np.zeros((200, 200), np.uint8),
        np.tile([[10.0, 0.0]], (180, 1)) + np.arange(180)[:, None] * [0, 1] + [0, 20],
        np.tile([[190.0, 0.0]], (180, 1)) + np.arange(180)[:, None] * [0, 1] + [0, 20],
        np.ones(180, bool),
        "overlay",
        max_lines=3,
    )
    column = few[30:, 100].any(axis=1)
    assert np.count_nonzero(np.diff(column.astype(int)) == 1) in (2, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_images(size):
    image = np.zeros(size, np.uint8)
    draw_matches(image, image, np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1, bool))


def test_points_outside():
    draw_matches(QUERY, QUERY, QUERY_POINTS - 1e4, QUERY_POINTS + 1e4, INLIERS, "overlay")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((QUERY.astype(float), REFERENCE, QUERY_POINTS, REFERENCE_POINTS, INLIERS), "query_image"),
        ((QUERY, REFERENCE[..., :2], QUERY_POINTS, REFERENCE_POINTS, INLIERS), "reference_image"),
        ((QUERY, REFERENCE, QUERY_POINTS[:1], REFERENCE_POINTS, INLIERS), "query_points"),
        ((QUERY, REFERENCE, QUERY_POINTS, REFERENCE_POINTS, INLIERS, "diagonal"), "layout"),
    ],
)
def test_bad_argument_is_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        draw_matches(*arguments)
