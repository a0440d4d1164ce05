# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The renderer against geometry worked out by hand, and the rendered sequence's ground truth."""

import cv2
import numpy as np
import pytest

from feature_booster_ros.rendering.camera_paths import CameraPath, Waypoint, random_path
from feature_booster_ros.rendering.renderer import (
    Scene,
    Surface,
    Texture,
    cast,
    draw,
    draw_depth,
)
from feature_booster_ros.rendering.scenes import gallery
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.sources import open_source

WIDTH, HEIGHT = 320, 240
MATRIX = np.array([[250.0, 0, 161.3], [0, 240.0, 118.7], [0, 0, 1]])


@pytest.fixture(scope="module")
def sequence():
    return RenderedSequence(seed=0, rate=10, frames=60)


@pytest.fixture(scope="module")
def clean():
    """Without what lens and sensor add, so that photometry is exact but for resampling."""
    return RenderedSequence(seed=0, rate=10, frames=60, noise=0, blur=0, light=0)


def pose_at(position, yaw=0.0, pitch=0.0, roll=0.0):
    still = [Waypoint(t, position, yaw, pitch, roll) for t in (0.0, 1.0)]
    return CameraPath(still).pose(0.0)


def checkerboard(squares, pixels=40):
    board = np.indices((squares, squares)).sum(axis=0) % 2
    return np.kron(board, np.ones((pixels, pixels))).astype(np.uint8) * 200 + 20


def slanted_board(squares=8):
    """A board of 2 m x 2 m, 3 m ahead, turned by 35 degrees."""
    turn = np.deg2rad(35)
    right, down = 2 * np.array([np.cos(turn), 0, np.sin(turn)]), np.array([0, 2.0, 0])
    corner = np.array([0, 0, 3.0]) - right / 2 - down / 2
    return Surface(corner, right, down, Texture.from_image(checkerboard(squares)))


@pytest.mark.parametrize(
    "pose",
    [
        pose_at((0, 0, 0)),
        pose_at((0.3, -0.2, 0.7), yaw=8, pitch=-5, roll=20),
        # small in the image: read from a smaller level
        pose_at((-0.2, 0.1, -3.0), yaw=-3, roll=-40),
    ],
)
def test_corners_are_drawn_where_geometry_puts_them(pose):
    board, squares = slanted_board(), 8
    image = draw(Scene([board]), MATRIX, pose, WIDTH, HEIGHT)
    grid = np.stack(np.meshgrid(*[np.arange(1, squares) / squares] * 2), axis=-1).reshape(-1, 2)
    corners = board.corner + grid[:, :1] * board.right + grid[:, 1:] * board.down
    projected = (corners - pose[:3, 3]) @ pose[:3, :3] @ MATRIX.T
    expected = projected[:, :2] / projected[:, 2:]
    inside = ((expected > 8) & (expected < (WIDTH - 8, HEIGHT - 8))).all(axis=1)
    assert inside.sum() > 20
    expected = expected[inside].astype(np.float32)
    found = cv2.cornerSubPix(
        image, expected.reshape(-1, 1, 2).copy(), (4, 4), (-1, -1), (cv2.TERM_CRITERIA_COUNT, 50, 0)
    )[:, 0]
    error = np.linalg.norm(found - expected, axis=1)
    assert np.median(error) < 0.1
    assert error.max() < 0.25


def test_depth_of_a_plane_is_exact():
    board, pose = slanted_board(), pose_at((0.3, -0.2, 0.7), yaw=8, pitch=-5, roll=20)
    depth = draw_depth(Scene([board]), MATRIX, pose, WIDTH, HEIGHT)
    pixels = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).reshape(-1, 2)
    rays = (
        np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(MATRIX).T @ pose[:3, :3].T
    )
    normal = np.cross(board.right, board.down)
    expected = (((board.corner - pose[:3, 3]) @ normal) / (rays @ normal)).reshape(HEIGHT, WIDTH)
    hit = np.isfinite(depth)
    assert 0.2 < hit.mean() < 1
    np.testing.assert_allclose(depth[hit], expected[hit], rtol=1e-4)
    single, index = cast(Scene([board]), MATRIX, pose, pixels)
    assert (np.isfinite(single) == (index == 0)).all()
    assert (hit.ravel() == (index == 0)).mean() > 0.999  # all but the outline's own pixels
    np.testing.assert_allclose(single[index == 0], expected.ravel()[index == 0], rtol=1e-9)


def test_the_nearer_surface_hides_the_other_whatever_their_order():
    def wall(z, half, gray):
        return Surface(
            np.array([-half, -half, z]),
            np.array([2 * half, 0, 0]),
            np.array([0, 2 * half, 0]),
            Texture.from_image(np.full((8, 8), gray, np.uint8)),
        )

    near, far = wall(2.0, 0.3, 200), wall(4.0, 10.0, 50)
    for surfaces in ([near, far], [far, near]):
        scene = Scene(surfaces)
        image = draw(scene, MATRIX, np.eye(4), WIDTH, HEIGHT)
        depth = draw_depth(scene, MATRIX, np.eye(4), WIDTH, HEIGHT)
        assert image[119, 161] == 200 and depth[119, 161] == pytest.approx(2.0)
        assert image[10, 10] == 50 and depth[10, 10] == pytest.approx(4.0)
        assert (image == 200).sum() == pytest.approx(0.6 * 125 * 0.6 * 120, rel=0.05)


def test_what_lies_behind_or_edge_on_is_not_drawn():
    texture = Texture.from_image(np.full((8, 8), 255, np.uint8))
    behind = Surface(
        np.array([-1, -1, -2.0]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), texture
    )
    edge_on = Surface(np.array([0, -1, 1.0]), np.array([0, 0, 2.0]), np.array([0, 2.0, 0]), texture)
    scene = Scene([behind, edge_on])
    assert not draw(scene, MATRIX, np.eye(4), WIDTH, HEIGHT).any()
    assert np.isinf(draw_depth(scene, MATRIX, np.eye(4), WIDTH, HEIGHT)).all()


def test_a_floor_that_passes_under_the_camera_is_cut_at_the_near_plane():
    floor = Surface(
        np.array([-50, 1.0, 50]),
        np.array([100.0, 0, 0]),
        np.array([0, 0, -100.0]),
        Texture.from_image(np.full((64, 64), 90, np.uint8)),
    )
    image = draw(Scene([floor]), MATRIX, np.eye(4), WIDTH, HEIGHT)
    horizon = int(np.ceil(MATRIX[1, 2]))
    assert (image[horizon + 8 :] == 90).all() and not image[: horizon - 1].any()


def test_fine_texture_far_away_averages_out_instead_of_flickering():
    board = checkerboard(256, pixels=2)
    wall = Surface(
        np.array([-1, -1, 6.0]),
        np.array([2.0, 0, 0]),
        np.array([0, 2.0, 0]),
        Texture.from_image(board),
    )
    image = draw(Scene([wall]), MATRIX, np.eye(4), WIDTH, HEIGHT)
    middle = image[90:150, 130:190]
    assert middle.mean() == pytest.approx(board.mean(), abs=2)
    assert middle.std() < 4


def test_poses_are_rigid_and_start_at_the_origin(sequence):
    assert sequence.poses.shape == (60, 4, 4)
    rotations = sequence.poses[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (60, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    np.testing.assert_allclose(sequence.poses[0], np.eye(4))


def test_path_turns_the_way_it_says():
    """Yaw right, pitch up, roll clockwise, in the optical frame (x right, y down, z forward)."""
    assert pose_at((0, 0, 0), yaw=10)[0, 2] > 0
    assert pose_at((0, 0, 0), pitch=10)[1, 2] < 0
    assert pose_at((0, 0, 0), roll=10)[1, 0] > 0


def test_path_passes_its_waypoints_and_flies_back():
    path = random_path(5)
    np.testing.assert_allclose(path.pose(1.3), path.pose(2 * path.duration - 1.3))
    halfway = CameraPath(
        [Waypoint(0, (0, 0, 0)), Waypoint(2, (1, 2, 3), yaw=90), Waypoint(3, (0, 0, 0))]
    )
    np.testing.assert_allclose(halfway.pose(2)[:3, 3], (1, 2, 3))
    np.testing.assert_allclose(halfway.pose(2)[:3, 2], (1, 0, 0), atol=1e-12)
    with pytest.raises(ValueError, match="increasing times"):
        CameraPath([Waypoint(1, (0, 0, 0)), Waypoint(1, (0, 0, 1))])


@pytest.mark.parametrize(("first", "second"), [(5, 8), (30, 31), (40, 42)])
def test_frames_agree_once_warped_by_depth_and_pose(clean, first, second):
    image, depth = clean.render(first)
    other = clean.image(second)
    pixels = np.stack(np.meshgrid(np.arange(0, 640, 5), np.arange(0, 480, 5)), axis=-1)
    shape, pixels = pixels.shape[:2], pixels.reshape(-1, 2)
    there, visible = clean.transfer(first, second, pixels)
    assert visible.mean() > 0.4
    # Two views of a fine texture are never the same to the pixel: compare them a little blurred.
    image, other = (cv2.GaussianBlur(view, (0, 0), 2).astype(np.float32) for view in (image, other))
    maps = np.nan_to_num(there, nan=-1).astype(np.float32).reshape(*shape, 2)
    warped = cv2.remap(other, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
    kept = visible.reshape(shape)
    here = image[::5, ::5]
    difference = np.median(np.abs(here - warped)[kept])
    assert difference < 2.5
    assert difference < 0.35 * np.median(np.abs(here - other[::5, ::5])[kept])
    ours, _ = cast(clean.scene, clean.camera.matrix, clean.poses[first], pixels)
    same = np.abs(depth[::5, ::5].ravel() / ours - 1) < 1e-3
    assert same.mean() > 0.999


@pytest.mark.parametrize(("seed", "path"), [(0, "walk"), (1, "walk"), (2, "random"), (7, "random")])
def test_no_part_of_the_image_is_empty_nor_hits_the_camera(seed, path):
    sequence = RenderedSequence(seed=seed, frames=30, rate=5, width=160, height=120, path=path)
    for index in range(0, 30, 2):
        depth = sequence.depth(index)
        assert np.isfinite(depth).all()
        assert depth.min() > 0.2


def test_same_arguments_same_pixels(sequence):
    again, other = (RenderedSequence(seed=seed, rate=10, frames=60) for seed in (0, 1))
    np.testing.assert_array_equal(sequence.image(17), again.image(17))
    np.testing.assert_array_equal(sequence.poses, again.poses)
    assert np.abs(sequence.image(17).astype(float) - other.image(17)).mean() > 10


def test_images_are_textured_noisy_and_well_exposed(sequence, clean):
    features = cv2.SIFT_create().detect(sequence.image(25), None)
    assert len(features) > 1500
    image = sequence.image(25)
    assert 40 < image.mean() < 200
    noise = sequence.image(0).astype(float) - cv2.GaussianBlur(sequence.image(0), (0, 0), 1.5)
    quiet = clean.image(0).astype(float) - cv2.GaussianBlur(clean.image(0), (0, 0), 1.5)
    assert noise.std() > 0.5 and quiet.std() > 0


def test_transfer_there_and_back_is_the_identity(sequence):
    points = np.random.default_rng(0).uniform((0, 0), (639, 479), (500, 2))
    there, visible = sequence.transfer(20, 24, points)
    back, seen = sequence.transfer(24, 20, there[visible])
    assert visible.sum() > 200 and seen.mean() > 0.99
    error = np.linalg.norm(back - points[visible], axis=1)
    assert np.quantile(error, 0.99) < 1e-6


def test_confirm_takes_true_matches_and_refuses_wrong_ones(sequence):
    points = np.random.default_rng(1).uniform((0, 0), (639, 479), (500, 2))
    there, visible = sequence.transfer(20, 24, points)
    points, there = points[visible], there[visible]
    assert sequence.confirm(20, 24, points, there).mean() > 0.97
    moved = there + 2.0 * np.array([np.cos(1.0), np.sin(1.0)])
    assert sequence.confirm(20, 24, points, moved, threshold_px=3).mean() > 0.8
    assert not sequence.confirm(20, 24, points, moved, threshold_px=1).any()
    assert not sequence.confirm(20, 24, points, there + 6).any()
    assert not sequence.confirm(20, 24, points, np.roll(there, 1, axis=0)).any()
    assert sequence.confirm(20, 24, np.zeros((0, 2)), np.zeros((0, 2))).shape == (0,)
    with pytest.raises(ValueError, match="pairs"):
        sequence.confirm(20, 24, points, there[1:])


def test_confirm_refuses_a_point_that_something_hides(sequence):
    """Points of the far wall seen in one frame and covered by a panel in the other."""
    grid = np.stack(np.meshgrid(np.arange(4, 640, 8.0), np.arange(4, 480, 8.0)), -1).reshape(-1, 2)
    there, visible = sequence.transfer(10, 25, grid)
    inside = ((there > 0) & (there < (639, 479))).all(axis=1)
    hidden = inside & ~visible
    assert hidden.sum() > 20
    assert not sequence.confirm(10, 25, grid[hidden], there[hidden]).any()


def test_open_source_gives_frames_with_everything_known():
    source = open_source("rendered:seed=3,frames=4,rate=5,width=160,height=120,color=true")
    frames = list(source)
    assert len(source) == 4 and source.rate == 5
    assert [f.stamp_ns for f in frames] == [0, 200_000_000, 400_000_000, 600_000_000]
    assert [source.index_at(f.stamp_ns) for f in frames] == [0, 1, 2, 3]
    for stamp_ns in (800_000_000, -200_000_000, 200_000_001):
        with pytest.raises(KeyError, match="stamp"):
            source.index_at(stamp_ns)
    assert frames[0].image.shape == (120, 160, 3) and frames[0].encoding == "bgr8"
    assert frames[0].camera.width == 160
    # 70 degrees across: the image's outer edges, half a pixel beyond the outer pixels' centers.
    angle = 2 * np.rad2deg(np.arctan(80 / frames[0].camera.matrix[0, 0]))
    assert angle == pytest.approx(70)
    np.testing.assert_array_equal(frames[2].pose, source.poses[2])
    assert frames[1].image.std() > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames 0"),
        ({"width": 5}, "width 5"),
        ({"horizontal_fov": 180}, "horizontal_fov 180"),
        ({"noise": -1}, "noise -1"),
        ({"seed": "abc"}, "seed abc"),
        ({"path": "fly"}, "path 'fly'"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        RenderedSequence(**options)


def test_missing_photographs_are_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install scikit-image"):
        gallery(0)

    class Elsewhere:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Elsewhere)
    with pytest.raises(FileNotFoundError, match=r"astronaut\.png"):
        gallery(0)
