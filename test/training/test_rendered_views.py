# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered training views: their ground truth against the scene's own geometry, and what they
show.
"""

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.features import Features
from feature_booster_ros.photos import find_photos
from feature_booster_ros.rendering.renderer import Scene, cast, draw, draw_depth
from feature_booster_ros.training.datasets.posed_view import PosedView, overlap, transfer, within
from feature_booster_ros.training.datasets.posed_views import PosedViews
from feature_booster_ros.training.datasets.random_scenes import Wallpaper, heap, room, street
from feature_booster_ros.training.datasets.rendered_views import (
    keypoint_depths,
    photographed_scene,
    random_cameras,
    render_views,
    scaled_intrinsics,
)

SIZE = {"width": 320, "height": 240, "features": 300}
PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate((data.astronaut(), data.coffee(), data.chelsea())):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    (folder / "broken.png").write_bytes(b"no image")
    return find_photos(folder)


@pytest.fixture(scope="module")
def rendered(photos, tmp_path_factory):
    """Three scenes, and the file that was made of them."""
    path = tmp_path_factory.mktemp("rendered") / "views.h5"
    render_views(path, "sift", scenes=3, views=6, seed=0, photos=photos, **SIZE)
    scenes = [photographed_scene(np.random.default_rng([0, number]), photos) for number in range(3)]
    return [scene.scene for scene in scenes], PosedViews(path)


def views_of(views: PosedViews, number: int) -> list[PosedView]:
    scene = views.scenes[number]
    return [views.view(scene.name, name) for name in scene.names]


def exact_transfer(
    scene: Scene, query: PosedView, reference: PosedView
) -> tuple[np.ndarray, np.ndarray]:
    """Where the reference shows the features: pixels and depths, by cutting each ray with the plane
    of the surface that it hits; no depth of the file is used.
    """
    keypoints = query.features.keypoints.astype(np.float64)
    _, owner = cast(scene, query.camera_matrix, query.pose, keypoints)
    surfaces = [scene.surfaces[index] for index in owner]
    normals = np.array([np.cross(surface.right, surface.down) for surface in surfaces])
    corners = np.array([surface.corner for surface in surfaces])
    center = query.pose[:3, 3]
    rays = np.linalg.solve(
        query.camera_matrix, np.column_stack([keypoints, np.ones(len(keypoints))]).T
    ).T
    rays = rays @ query.pose[:3, :3].T
    along = ((corners - center) * normals).sum(1) / (rays * normals).sum(1)
    points = center + along[:, None] * rays
    there = (points - reference.pose[:3, 3]) @ reference.pose[:3, :3]
    projected = there @ reference.camera_matrix.T
    return projected[:, :2] / projected[:, 2:], there[:, 2]


def test_transfer_is_exact_and_hidden_points_are_nowhere(rendered):
    """Against the surfaces themselves, after the file's round trip."""
    scenes, views = rendered
    errors, hidden_count = [], 0
    for number, scene in enumerate(scenes):
        for query in (posed := views_of(views, number)):
            for reference in posed:
                expected, depths = exact_transfer(scene, query, reference)
                seen_at = transfer(query, reference)
                known = ~np.isnan(seen_at[:, 0])
                placed = known & np.isfinite(seen_at[:, 0])
                errors.append(np.abs(seen_at - expected)[placed & within(expected, (240, 320))])
                assert (depths[placed] > 0).all()
                nearest, farthest = depths_near(scene, reference, expected)
                inside = known & (depths > 0) & within(expected, (240, 320))
                hidden = inside & (depths > 1.1 * farthest)
                assert np.isposinf(seen_at[hidden]).all()
                hidden_count += hidden.sum()
                visible = inside & (depths < 1.01 * nearest)
                assert np.isfinite(seen_at[visible]).all()
    errors = np.concatenate(errors)
    assert len(errors) > 3000 and hidden_count > 300
    assert errors.max() < 0.1


def depths_near(scene: Scene, view: PosedView, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest depth (N,) that a view shows within 6 pixels: all that the depth map in
    the file, four times smaller, can have there.
    """
    depth = draw_depth(scene, view.camera_matrix, view.pose, 320, 240)
    x, y = np.rint(np.nan_to_num(pixels)).astype(int).clip(0, (319, 239)).T
    kernel = np.ones((13, 13), np.uint8)
    return cv2.erode(depth, kernel)[y, x], cv2.dilate(depth, kernel)[y, x]


def test_images_show_what_the_ground_truth_says(rendered):
    """Features of two views that the geometry takes for the same have descriptors alike."""
    _, views = rendered
    same, others = [], []
    for number in range(3):
        for first, second in combinations(views_of(views, number), 2):
            seen_at = transfer(first, second)
            apart = np.abs(seen_at[:, None] - second.features.keypoints).max(axis=2)
            a, b = np.nonzero(apart < 1.5)
            products = first.features.descriptors[a] * second.features.descriptors[b]
            same.append(products.sum(axis=1))
            wrong = first.features.descriptors[a] * second.features.descriptors[b[::-1]]
            others.append(wrong.sum(axis=1))
    same, others = np.concatenate(same), np.concatenate(others)
    assert len(same) > 300
    assert np.median(same) > np.quantile(others, 0.95)


def test_keypoints_at_an_edge_of_depth_are_of_unknown_depth(rendered):
    scenes, views = rendered
    view = views_of(views, 0)[0]
    depth = draw_depth(scenes[0], view.camera_matrix, view.pose, 320, 240)
    jumps = np.argwhere(np.abs(np.diff(np.log(depth), axis=1)) > 0.2)
    assert len(jumps) > 50
    at_jumps = jumps[:, ::-1] + np.array([0.5, 0])
    depths = keypoint_depths(scenes[0], view.camera_matrix, view.pose, at_jumps)
    assert not depths.any()
    known = view.feature_depths > 0
    assert 0.5 < known.mean() < 1
    x, y = np.rint(view.features.keypoints[known]).astype(int).T
    np.testing.assert_allclose(depth[y, x], view.feature_depths[known], rtol=0.06)


def test_pairs_have_parallax_scale_and_roll(rendered):
    """No homography explains them; things get two times larger; cameras roll."""
    _, views = rendered
    unexplained, scales, rolls = [], [], []
    for number in range(3):
        for first, second in combinations(views_of(views, number), 2):
            seen_at = transfer(first, second)
            kept = within(seen_at, second.shape)
            if kept.sum() < 30:
                continue
            points = first.features.keypoints[kept]
            homography, _ = cv2.findHomography(points, seen_at[kept], cv2.RANSAC, 3.0)
            mapped = cv2.perspectiveTransform(points[:, None], homography)[:, 0]
            unexplained.append((np.linalg.norm(mapped - seen_at[kept], axis=1) > 3).mean())
            similarity, _ = cv2.estimateAffinePartial2D(points, seen_at[kept])
            scales.append(abs(np.log2(np.hypot(*similarity[0, :2]))))
            rolls.append(abs(np.rad2deg(np.arctan2(similarity[1, 0], similarity[0, 0]))))
    assert len(scales) > 20
    assert np.median(unexplained) > 0.2
    assert max(scales) > 1 and max(rolls) > 20


def test_overlaps_are_those_of_dense_geometry(rendered):
    scenes, views = rendered
    scene = views.scenes[0]
    posed = views_of(views, 0)
    pixels = np.stack(np.meshgrid(np.arange(2, 320, 5.0), np.arange(2, 240, 5.0)), -1)
    for (a, b), stored in list(zip(scene.pairs, scene.overlaps, strict=True))[:8]:
        shares = []
        for query, reference in ((posed[a], posed[b]), (posed[b], posed[a])):
            grid = with_keypoints(query, pixels.reshape(-1, 2))
            there, depths = exact_transfer(scenes[0], grid, reference)
            nearest, _ = cast(scenes[0], reference.camera_matrix, reference.pose, there)
            seen = (depths > 0) & within(there, (240, 320)) & (depths < 1.02 * nearest)
            shares.append(seen.mean())
        assert stored == pytest.approx(min(shares), abs=0.04)
        assert stored == pytest.approx(overlap(posed[a], posed[b]))


def with_keypoints(view: PosedView, points: np.ndarray) -> PosedView:
    ones = np.ones(len(points), np.float32)
    features = Features(
        points.astype(np.float32), ones, ones, ones, np.zeros((len(points), 128), np.float32)
    )
    return PosedView(features, view.shape, view.camera_matrix, view.pose, ones, view.depth)


@pytest.mark.parametrize("kind", [room, street, heap])
def test_every_kind_of_scene_is_closed_and_full_of_features(kind):
    rng = np.random.default_rng(3)
    scene = kind(rng, Wallpaper(rng, [PHOTO, data.camera(), data.brick()]))
    cameras = list(random_cameras(rng, scene, 4, (240, 320)))
    assert len(cameras) == 4
    for matrix, pose in cameras:
        rotation = pose[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        depth = draw_depth(scene.scene, matrix, pose, 320, 240)
        assert np.isfinite(depth).mean() > 0.98 and np.median(depth) > 1
        image = draw(scene.scene, matrix, pose, 320, 240)
        assert image.std() > 10
        assert len(cv2.SIFT_create().detect(image, None)) > 100


def test_a_smaller_image_shows_the_same_from_edge_to_edge():
    matrix = np.array([[300.0, 0, 150], [0, 310, 110], [0, 0, 1]])
    smaller = scaled_intrinsics(matrix, (240, 320), (60, 80))
    corner = np.linalg.solve(matrix, [-0.5, -0.5, 1])
    np.testing.assert_allclose(smaller @ corner, [-0.5, -0.5, 1])
    corner = np.linalg.solve(matrix, [319.5, 239.5, 1])
    np.testing.assert_allclose(smaller @ corner, [79.5, 59.5, 1])


def test_the_same_arguments_give_the_same_views_with_any_number_of_processes(photos, tmp_path):
    arguments = {"detector": "orb", "views": 2, "photos": photos, **SIZE}
    for name, seed, scenes, workers in (("a", 5, 2, 1), ("b", 5, 2, 2), ("c", 6, 1, 1)):
        path = tmp_path / f"{name}.h5"
        render_views(path, seed=seed, scenes=scenes, workers=workers, **arguments)
    first, again, other = (PosedViews(tmp_path / f"{name}.h5") for name in "abc")
    assert first.detector == "orb"
    for number in range(len(first.scenes)):
        for a, b in zip(views_of(first, number), views_of(again, number), strict=True):
            np.testing.assert_array_equal(a.pose, b.pose)
            np.testing.assert_array_equal(a.features.descriptors, b.features.descriptors)
    assert not np.array_equal(views_of(first, 0)[0].pose, views_of(other, 0)[0].pose)


def test_what_cannot_be_rendered_is_named(photos, tmp_path):
    with pytest.raises(ValueError, match="views must be at least 2, not 1"):
        render_views(tmp_path / "views.h5", "sift", views=1)
    with pytest.raises(ValueError, match="none of 1 photographs can be read"):
        render_views(tmp_path / "views.h5", "sift", photos=[p for p in photos if "b" in p.stem])
    with pytest.raises(ValueError, match="no extractor is called 'surf'"):
        render_views(tmp_path / "views.h5", "surf")
    assert not list(tmp_path.iterdir())


def test_scikit_images_pictures_serve_where_there_are_no_photographs(tmp_path):
    render_views(tmp_path / "views.h5", "orb", scenes=1, views=3, seed=1, **SIZE)
    (scene,) = PosedViews(tmp_path / "views.h5").scenes
    assert len(scene.names) == 3
