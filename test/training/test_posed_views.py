# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Posed views: transfer between two of them against geometry worked out by hand, and the file."""

import pickle
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.training.datasets.descriptor_storage import store_descriptors
from feature_booster_ros.training.datasets.posed_view import (
    PosedView,
    overlap,
    posed_pair,
    transfer,
)
from feature_booster_ros.training.datasets.posed_views import (
    PosedViews,
    PosedViewsWriter,
)

CAMERA = np.array([[200.0, 0, 159.5], [0, 200.0, 119.5], [0, 0, 1]])
SHAPE = (240, 320)


def features_at(points, binary=False):
    points = np.asarray(points, np.float32).reshape(-1, 2)
    count = len(points)
    rng = np.random.default_rng(count)
    if binary:
        descriptors = rng.integers(0, 256, (count, 32), np.uint8)
    else:
        descriptors = rng.random((count, 128), np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    ones = np.ones(count, np.float32)
    return Features(points, 2 * ones, 0.5 * ones, 0.1 * ones, descriptors)


def pose_at(position=(0, 0, 0), turn=(0, 0, 0)):
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.array(turn, float))[0]
    pose[:3, 3] = position
    return pose


def view_of(points, depths, position=(0, 0, 0), turn=(0, 0, 0), depth=None, camera=CAMERA):
    return PosedView(
        features_at(points),
        SHAPE,
        camera,
        pose_at(position, turn),
        np.asarray(depths, float),
        depth,
    )


def test_a_step_to_the_right_moves_points_left_by_focal_over_depth():
    points = [[100, 50], [200, 120.25], [10, 200]]
    query = view_of(points, [2.0, 4.0, 0.0])
    reference = view_of([], [], position=(0.5, 0, 0))
    seen_at = transfer(query, reference)
    assert seen_at.dtype == np.float32
    np.testing.assert_allclose(seen_at[:2], [[50, 50], [175, 120.25]], atol=1e-4)
    assert np.isnan(seen_at[2]).all()


def test_each_view_has_its_own_camera_and_turning_needs_no_depth_to_be_right():
    zoomed = np.array([[400.0, 0, 159.5], [0, 400.0, 119.5], [0, 0, 1]])
    query = view_of([[169.5, 99.5]], [3.0])
    np.testing.assert_allclose(
        transfer(query, view_of([], [], camera=zoomed)), [[179.5, 79.5]], atol=1e-4
    )
    quarter = view_of([], [], turn=(0, 0, np.pi / 2))  # clockwise: the point turns the other way
    np.testing.assert_allclose(transfer(query, quarter), [[139.5, 109.5]], atol=1e-4)


def test_behind_the_camera_is_nowhere_and_outside_the_image_is_a_pixel():
    query = view_of([[159.5, 119.5], [310, 119.5]], [1.0, 4.0])
    ahead = view_of([], [], position=(0, 0, 2), depth=np.full((60, 80), 100.0, np.float32))
    seen_at = transfer(query, ahead)
    assert np.isposinf(seen_at[0]).all()
    np.testing.assert_allclose(seen_at[1], [159.5 + 2 * 150.5, 119.5], atol=1e-3)


def test_what_the_reference_depth_says_of_a_point():
    """Left half of the reference shows a wall at 2, right half one at 4; a hole in the middle of
    each."""
    depth = np.where(np.arange(80) < 40, 2.0, 4.0) * np.ones((60, 1))
    depth[28:32, [18, 19, 20, 58, 59, 60]] = 0
    reference = view_of([], [], depth=depth.astype(np.float32))
    points = [[40, 50], [40, 50], [40, 50], [280, 50], [280, 50], [76, 119], [159.5, 60]]
    depths = [2.0, 2.09, 2.2, 4.0, 3.0, 2.0, 4.0]
    seen_at = transfer(view_of(points, depths), reference)
    np.testing.assert_allclose(seen_at[[0, 1, 3, 6]], np.array(points)[[0, 1, 3, 6]], atol=1e-3)
    assert np.isposinf(seen_at[2]).all()  # behind the nearer wall
    assert np.isnan(seen_at[[4, 5]]).all()  # before the farther wall, and in the hole
    assert np.isposinf(transfer(view_of(points, depths), reference, 0.01)[1]).all()


def test_depth_maps_of_another_size_lie_over_the_whole_image():
    """An edge at column 160 is found at 160 whatever the depth map's size, to one of its pixels."""
    columns = np.arange(4, 316, dtype=np.float32)
    points = np.column_stack([columns, np.full_like(columns, 100)])
    for width, height in ((320, 240), (80, 60), (64, 48), (100, 75)):
        depth = np.where((np.arange(width) + 0.5) / width < 0.5, 2.0, 4.0) * np.ones((height, 1))
        reference = view_of([], [], depth=depth.astype(np.float32))
        hidden = np.isposinf(transfer(view_of(points, np.full(len(points), 4.0)), reference))
        assert abs(columns[hidden.all(axis=1)].max() - 159.5) <= 320 / width + 0.5


def test_a_slanted_wall_does_not_hide_itself():
    # 1 / z is linear in the pixel: from 1.25 m on the left to 10 m on the right. The depth map has
    # a column for every fourth pixel, at the center of the four.
    inverse = 0.8 - 0.7 * (4 * np.arange(80) + 1.5) / 319
    depth = (np.ones((60, 1)) / inverse).astype(np.float32)
    points = np.random.default_rng(0).uniform((2, 2), (316, 236), (500, 2))
    depths = 1 / (0.8 - 0.7 * points[:, 0] / 319)
    wall = view_of(points, depths, depth=depth)
    np.testing.assert_allclose(transfer(wall, wall, 0.01), points, atol=1e-3)


def test_a_pair_has_both_directions():
    first = view_of([[100, 50]], [2.0])
    second = view_of([[50, 50], [60, 60]], [2.0, 1.0], position=(0.5, 0, 0))
    pair = posed_pair(first, second)
    assert pair.shapes == (SHAPE, SHAPE)
    ahead = posed_pair(first, view_of([[50, 50]], [1.0], position=(0, 0, 1.0)))
    assert [both[0, 2] for both in ahead.seen_at[0]] == pytest.approx([1, -1])  # half as far
    np.testing.assert_allclose(pair.seen_at[0][0][:, :2], [[50, 50]], atol=1e-4)
    np.testing.assert_allclose(pair.seen_at[0][1][:, :2], [[100, 50], [160, 60]], atol=1e-4)


def test_overlap_is_the_share_that_the_other_view_shows():
    """Of a wall 2 m away, 320 pixels wide: moved by a quarter of it, and at half the distance."""
    wall = view_of([], [], depth=np.full((60, 80), 2.0, np.float32))
    beside = view_of([], [], position=(0.8, 0, 0), depth=np.full((60, 80), 2.0, np.float32))
    nearer = view_of([], [], position=(0, 0, 1), depth=np.full((60, 80), 1.0, np.float32))
    assert overlap(wall, beside) == pytest.approx(0.75)
    assert overlap(wall, nearer) == overlap(nearer, wall) == pytest.approx(0.25)
    half_known = np.full((60, 80), 2.0, np.float32)
    half_known[:30] = 0
    half = view_of([], [], depth=half_known)
    assert overlap(wall, half) == pytest.approx(0.5, abs=0.02)
    assert overlap(wall, view_of([], [], depth=np.full((60, 80), 1.0, np.float32))) == 0


def test_arrays_of_the_wrong_shape_are_named():
    with pytest.raises(ValueError, match="feature_depths"):
        view_of([[1, 2]], [1.0, 2.0])
    with pytest.raises(ValueError, match="camera_matrix"):
        view_of([[1, 2]], [1.0], camera=np.eye(4))


# The file


@pytest.fixture(scope="module")
def photo_views():
    """Two halves of a photograph, with SIFT and made-up depths; the second without a depth map."""
    photo = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
    rng = np.random.default_rng(0)
    extractor = create_extractor("sift", 300)
    views = []
    for number, image in enumerate((photo[:, :320], photo[:, 192:])):
        features = extractor(image)
        depth = rng.uniform(1, 9, (128, 80)).astype(np.float32)
        depths = rng.uniform(1, 9, len(features)).astype(np.float32)
        depths[::7] = 0
        pose = pose_at(rng.normal(size=3), rng.normal(size=3))
        views.append(
            PosedView(
                features,
                image.shape,
                CAMERA + rng.random((3, 3)),
                pose,
                depths,
                depth if number == 0 else None,
            )
        )
    return views


def test_the_file_gives_back_what_was_written(photo_views, tmp_path):
    path = tmp_path / "below" / "views.h5"
    with PosedViewsWriter(path, "sift") as writer:
        for name, view in zip(("a/1.jpg", "b"), photo_views, strict=True):
            writer.add("0015/dense0", name, view)
            writer.add("other", name, view)
        assert not path.exists()
        writer.add_pairs("0015/dense0", [("b", "a/1.jpg")], [0.25])
        writer.add_pairs("other", [("b", "a/1.jpg")], None)
    assert [file.name for file in path.parent.iterdir()] == ["views.h5"]
    views = PosedViews(path)
    assert views.detector == "sift" and len(views) == 2
    for name, written in zip(("a/1.jpg", "b"), photo_views, strict=True):
        read = views.view("0015/dense0", name)
        assert read.shape == written.shape
        for attribute in ("keypoints", "scales", "angles", "scores"):
            kept, given = (getattr(view.features, attribute) for view in (read, written))
            assert kept.dtype == np.float32
            np.testing.assert_array_equal(kept, given)
        for attribute in ("camera_matrix", "pose", "feature_depths", "depth"):
            np.testing.assert_array_equal(getattr(read, attribute), getattr(written, attribute))
        np.testing.assert_allclose(
            read.features.descriptors, written.features.descriptors, atol=2e-3
        )
    with h5py.File(path) as file:
        expected = [store_descriptors(view.features.descriptors, "sift") for view in photo_views]
        for scene in file["scenes"].values():
            np.testing.assert_array_equal(scene["descriptors"], np.concatenate(expected))
    with pytest.raises(KeyError, match="no view c of scene other"):
        views.view("other", "c")


def test_draws_depend_on_the_generator_alone_and_survive_pickling(photo_views, tmp_path):
    path = tmp_path / "views.h5"
    with PosedViewsWriter(path, "sift") as writer:
        for scene in ("one", "two"):
            for number in range(5):
                writer.add(scene, str(number), photo_views[number % 2])
            names = [(str(a), str(b)) for a in range(5) for b in range(a)]
            writer.add_pairs(scene, names, None)
    views = PosedViews(path, pairs_per_scene=4)
    assert len(views) == 8
    again = pickle.loads(pickle.dumps(views))
    for seed in range(3):
        first = views.draw(np.random.default_rng(seed))
        views.draw(np.random.default_rng(99))
        second = again.draw(np.random.default_rng(seed))
        for a, b in zip(first.seen_at[0], second.seen_at[0], strict=True):
            np.testing.assert_array_equal(a, b)


def small_set(path: Path, overlaps, counts=(20, 20, 20), **kwargs) -> PosedViews:
    """Three views side by side of a wall 1 m away; the third looks the other way."""
    with PosedViewsWriter(path, "orb") as writer:
        for number, count in enumerate(counts):
            points = np.random.default_rng(number).uniform(0, (319, 239), (count, 2))
            view = PosedView(
                features_at(points, binary=True),
                SHAPE,
                CAMERA,
                pose_at((0.1 * number, 0, 0), (0, np.pi if number == 2 else 0, 0)),
                np.ones(count),
            )
            writer.add("wall", str(number), view)
        writer.add_pairs("wall", [("0", "1"), ("0", "2")], overlaps)
    return PosedViews(path, **kwargs)


def test_pairs_are_chosen_by_overlap(tmp_path):
    views = small_set(tmp_path / "a.h5", [0.8, 0.2], min_overlap=0.5)
    assert len(views) == 1
    for seed in range(5):
        pair = views.draw(np.random.default_rng(seed))
        assert pair.features[0].is_binary
        moved = np.pad(pair.features[0].keypoints - np.float32([20, 0]), [(0, 0), (0, 1)])
        np.testing.assert_allclose(pair.seen_at[0][0], moved, atol=1e-3)
    with pytest.raises(ValueError, match=r"a\.h5 has no pairs with an overlap from 0\.9 to 1"):
        PosedViews(tmp_path / "a.h5", min_overlap=0.9)


def test_a_pair_that_shows_nothing_in_common_or_has_few_features_is_none(tmp_path):
    views = small_set(tmp_path / "a.h5", None)
    drawn = [views.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert 0 < sum(pair is None for pair in drawn) < 20
    sparse = small_set(tmp_path / "b.h5", [1.0, 0.0], counts=(20, 15, 20), min_overlap=0.5)
    assert sparse.draw(np.random.default_rng(0)) is None
    none = small_set(tmp_path / "c.h5", [1.0, 0.0], counts=(20, 0, 20), min_overlap=0.5)
    assert none.draw(np.random.default_rng(0)) is None


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(photo_views, tmp_path):
    path = tmp_path / "views.h5"
    path.write_text("old")
    with pytest.raises(RuntimeError), PosedViewsWriter(path, "sift") as writer:
        writer.add("scene", "a", photo_views[0])
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_of_the_file_is_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="is a folder"), PosedViewsWriter(tmp_path, "sift"):
        pytest.fail("the work began")
    assert not tmp_path.with_name(tmp_path.name + ".partial").exists()


def test_mistakes_are_named(photo_views, tmp_path):
    path = tmp_path / "views.h5"
    with PosedViewsWriter(path, "sift") as writer:
        writer.add("scene", "a", photo_views[0])
        with pytest.raises(ValueError, match="two views called a"):
            writer.add("scene", "a", photo_views[0])
        with pytest.raises(ValueError, match="no view called b"):
            writer.add_pairs("scene", [("a", "b")], None)
        with pytest.raises(ValueError, match="2 overlaps of 1 pairs"):
            writer.add_pairs("scene", [("a", "a")], [0.1, 0.2])
        with pytest.raises(ValueError, match="scene nowhere"):
            writer.add_pairs("nowhere", [("a", "a")], None)
        binary = PosedView(features_at([[1, 2]], binary=True), SHAPE, CAMERA, np.eye(4), np.ones(1))
        with pytest.raises(ValueError, match="binary descriptors cannot be sift's"):
            writer.add("scene", "b", binary)
    with pytest.raises(ValueError, match="no pairs"):
        PosedViews(path)
    with pytest.raises(FileNotFoundError, match=r"no file of posed views at .*none\.h5"):
        PosedViews(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        PosedViews(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["depth"] = np.ones((2, 2))
    with pytest.raises(ValueError, match="is not a file of posed views of version 1"):
        PosedViews(tmp_path / "other.h5")


def test_without_h5py_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[train\]'"):
        PosedViewsWriter(tmp_path / "views.h5", "sift")
