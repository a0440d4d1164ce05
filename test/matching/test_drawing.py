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


@pytest.mark.parametrize(
    ("size", "same_as"), [((376, 1241), "stacked"), ((480, 640), "side_by_side")]
)
def test_auto_layout_fills_a_screen(size, same_as):
    image, none = np.full(size, 90, np.uint8), np.zeros((0, 2))
    pictures = [
        draw_matches(image, image, none, none, np.zeros(0, bool), layout)
        for layout in ("auto", same_as)
    ]
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("layout", ["side_by_side", "stacked", "overlay"])
def test_large_images_are_shrunk_before_they_are_drawn_on(layout):
    image, points = np.full((3000, 4000), 90, np.uint8), np.array([[1000.0, 2000.0]])
    picture = draw_matches(
        image, image[:, :3999], points, points, np.ones(1, bool), layout, max_width=1600
    )
    assert picture.shape[1] in (1599, 1600)  # two images of whole pixels
    scale = 1596 / 7999 if layout == "side_by_side" else 0.4
    x, y = np.round((points[0] + 0.5) * scale - 0.5).astype(int)
    assert tuple(picture[y, x]) == INLIER_COLOR
    # A dot is seen at that size: its green is more than two pixels wide.
    green = (picture[y, x - 10 : x + 10] == INLIER_COLOR).all(axis=1)
    assert 3 <= green.sum() <= 12


def test_images_show_through_lines():
    """However many matches cross a place, it does not become one green or red area."""
    striped = np.tile(np.array([20, 220], np.uint8).repeat(10), (200, 10))
    rows = np.arange(20.0, 200.0)
    points = np.column_stack([np.full_like(rows, 5.0), rows])
    for inliers in (np.ones(len(rows), bool), np.zeros(len(rows), bool)):
        picture = draw_matches(striped, striped, points, points, inliers)
        part = picture[100, 60:140].astype(int)
        assert np.ptp(part[:, 0]) > 50  # blue, which neither color has


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
