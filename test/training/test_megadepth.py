# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MegaDepth end to end on a scene of our own: rendered with exact depth, written as an undistorted
COLMAP model in MegaDepth's folders, prepared, drawn from, trained on, extracted from.
"""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pycolmap
import pytest

from feature_booster_ros.cli import main
from feature_booster_ros.rendering.camera_paths import CameraPath, Waypoint
from feature_booster_ros.rendering.renderer import Scene, Surface, Texture, cast
from feature_booster_ros.rendering.scenes import load_images
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.training.datasets.megadepth.colmap_views import read_views, track_overlap
from feature_booster_ros.training.datasets.megadepth.depth_maps import (
    depth_at,
    nearest_depth,
    read_depth,
    shrink_depth,
)
from feature_booster_ros.training.datasets.megadepth.extraction import extract
from feature_booster_ros.training.datasets.megadepth.pairs import MegaDepth
from feature_booster_ros.training.datasets.megadepth.preprocessing import prepare
from feature_booster_ros.training.datasets.megadepth.scene import read_scene
from feature_booster_ros.training.datasets.posed_view import transfer
from feature_booster_ros.training.datasets.posed_views import PosedViews

WIDTH, HEIGHT, FRAMES = 320, 240, 6
POINTS = 100  # new ones of a frame
SCENE = "0015"
DEPTHS = Path("phoenix/S6/zl548/MegaDepth_v1", SCENE, "dense0", "depths")
SFM = Path("Undistorted_SfM", SCENE)


@pytest.fixture(scope="module")
def sequence():
    """A camera that passes a picture which hides some of the wall behind it, above a floor."""
    pictures = load_images(("astronaut.png", "coffee.png", "gravel.png"))
    near, wall, floor = (Texture.from_image(picture) for picture in pictures.values())
    corners_right_down = (
        ((-0.8, -0.9, 3.0), (1.3, 0, 0.4), (0, 1.3, 0), near),
        ((-5, -3, 6.0), (10.0, 0, 1), (0, 4.6, 0), wall),
        ((-5, 1.6, 7.0), (10.0, 0, 0), (0, 0, -7.0), floor),
    )
    scene = Scene(
        [
            Surface(*(np.array(vector, float) for vector in vectors), texture)
            for *vectors, texture in corners_right_down
        ]
    )
    path = CameraPath(
        [Waypoint(0, (-0.8, 0, 0), yaw=8, roll=-6), Waypoint(1, (0.8, 0.2, 1.2), yaw=-8, roll=10)]
    )
    return RenderedSequence(
        frames=FRAMES, width=WIDTH, height=HEIGHT, rate=FRAMES - 1, scene=scene, path=path
    )


def write_depth(path: Path, depth: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("depth", data=depth, compression="gzip")


def write_megadepth(base: Path, sequence: RenderedSequence) -> None:
    """The scene in MegaDepth's folders: images, exact depth maps, and tracks of exact points."""
    for folder in (base / SFM / "images", base / SFM / "sparse", base / DEPTHS):
        folder.mkdir(parents=True)
    for frame in range(FRAMES):
        image, depth = sequence.render(frame)
        cv2.imwrite(str(base / SFM / "images" / f"{frame}.png"), image)
        write_depth(base / DEPTHS / f"{frame}.h5", depth)
    pixels, tracks, positions = exact_tracks(sequence)
    matrix = sequence.camera.matrix
    model = pycolmap.Reconstruction()
    focal, center = matrix[[0, 1], [0, 1]], matrix[:2, 2] + 0.5  # COLMAP's pixels
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(
            camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[*focal, *center]
        )
    )
    for frame in range(FRAMES):
        image = pycolmap.Image(f"{frame}.png", pixels[frame] + 0.5, 1, frame + 1)
        pose = pycolmap.Rigid3d(np.linalg.inv(sequence.poses[frame])[:3])
        model.add_image_with_trivial_frame(image, pose)
    for position, elements in zip(positions, tracks, strict=True):
        track = pycolmap.Track()
        for frame, row in elements:
            track.add_element(frame + 1, row)
        model.add_point3D(position, track)
    model.write_binary(str(base / SFM / "sparse"))


def exact_tracks(sequence):
    """Pixels (N, 2) of every frame, and for each point its [(frame, row)] and its position."""
    rng = np.random.default_rng(0)
    pixels = [[] for _ in range(FRAMES)]
    tracks, positions = [], []
    for frame in range(FRAMES):
        drawn = rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (POINTS, 2))
        there = [sequence.transfer(frame, other, drawn) for other in range(FRAMES)]
        depth = depth_of(sequence, frame, drawn)
        depth[np.isinf(depth)] = 0  # seen nowhere
        rays = np.column_stack([drawn, np.ones(POINTS)]) @ np.linalg.inv(sequence.camera.matrix).T
        world = (rays * depth[:, None]) @ sequence.poses[frame][:3, :3].T
        world += sequence.poses[frame][:3, 3]
        for point in range(POINTS):
            seen = [other for other in range(FRAMES) if there[other][1][point]]
            if len(seen) < 2:
                continue
            tracks.append([(other, len(pixels[other])) for other in seen])
            positions.append(world[point])
            for other in seen:
                pixels[other].append(there[other][0][point])
    return [np.array(each).reshape(-1, 2) for each in pixels], tracks, positions


def depth_of(sequence, frame, pixels):
    return cast(sequence.scene, sequence.camera.matrix, sequence.poses[frame], pixels)[0]


@pytest.fixture(scope="module")
def megadepth(sequence, tmp_path_factory):
    """MegaDepth's folder with one scene, and the scene's file prepared."""
    base = tmp_path_factory.mktemp("megadepth")
    write_megadepth(base, sequence)
    (base / "scenes.txt").write_text(f"# train\n{SCENE}\n\n")
    prepare(base, base / "scene_info")
    return base


def dataset(base, **options):
    return MegaDepth(base / "scenes.txt", base / "scene_info", base, "sift", **options)


def transfer_errors(sequence, query, reference):
    """Distance of where the dataset has the features of one view in the other from where exact
    geometry has them, of those that both say are visible; and how many the two disagree on.
    """
    frames, origins = zip(*(place(sequence, view) for view in (query, reference)), strict=True)
    exact, visible = sequence.transfer(*frames, query.features.keypoints + origins[0])
    exact = exact - origins[1]
    height, width = reference.shape
    visible &= ((exact >= 0) & (exact <= (width - 1, height - 1))).all(axis=1)
    seen_at = transfer(query, reference)
    inside = ((seen_at >= 0) & (seen_at <= (width - 1, height - 1))).all(axis=1)
    both = visible & inside
    wrong = (inside & ~visible).sum() + (visible & np.isinf(seen_at).any(axis=1)).sum()
    return np.linalg.norm(seen_at[both] - exact[both], axis=1), wrong


def place(sequence, view):
    """The frame that a view is of, and the pixel of it at the view's top left."""
    frame = int(np.abs(sequence.poses - view.pose).max(axis=(1, 2)).argmin())
    np.testing.assert_allclose(view.pose, sequence.poses[frame], atol=1e-6)
    origin = sequence.camera.matrix[:2, 2] - view.camera_matrix[:2, 2]
    np.testing.assert_allclose(origin, origin.round(), atol=1e-6)
    return frame, origin


def copy_of(megadepth, tmp_path):
    """MegaDepth's folder to break things in."""
    return Path(shutil.copytree(megadepth, tmp_path / "copy"))


def scene_arrays(base):
    with np.load(base / "scene_info" / f"{SCENE}.npz", allow_pickle=True) as file:
        return dict(file)


# Preprocessing


def test_prepared_file_has_the_geometry_of_the_model(megadepth, sequence):
    arrays = scene_arrays(megadepth)
    assert list(arrays["image_paths"]) == [
        (SFM / "images" / f"{frame}.png").as_posix() for frame in range(FRAMES)
    ]
    for path in [*arrays["image_paths"], *arrays["depth_paths"]]:
        assert (megadepth / path).is_file()
    for frame in range(FRAMES):
        world_to_camera = np.linalg.inv(sequence.poses[frame])
        np.testing.assert_allclose(arrays["poses"][frame], world_to_camera, atol=1e-9)
        intrinsics = arrays["intrinsics"][frame]
        np.testing.assert_allclose(intrinsics[:2, 2], (WIDTH / 2, HEIGHT / 2))  # COLMAP's pixels
        ndepths = arrays["points3D_id_to_ndepth"][frame]
        pixels = arrays["points3D_id_to_2D"][frame]
        assert pixels.keys() == ndepths.keys() and len(pixels) > POINTS
        exact = depth_of(sequence, frame, np.array(list(pixels.values())) - 0.5)
        found = np.array([ndepths[point] for point in pixels]) * intrinsics[0, 0]
        # Beside an edge rounding decides which side is seen.
        assert (np.abs(found / exact - 1) < 1e-6).mean() > 0.98
    axes = sequence.poses[:, :3, 2]
    expected = np.rad2deg(np.arccos(np.clip(axes @ axes.T, -1, 1)))
    np.testing.assert_allclose(arrays["angles"], expected, atol=1e-4)


def test_overlap_is_the_share_of_common_points_as_d2_net_defines_it(megadepth):
    arrays = scene_arrays(megadepth)
    pixels, ndepths = arrays["points3D_id_to_2D"], arrays["points3D_id_to_ndepth"]
    assert list(arrays["n_points3D"]) == [len(each) for each in pixels]
    for i in range(FRAMES):
        assert arrays["overlap_matrix"][i, i] == arrays["scale_ratio_matrix"][i, i] == -1
        for j in set(range(FRAMES)) - {i}:
            common = pixels[i].keys() & pixels[j].keys()
            assert arrays["overlap_matrix"][i, j] == pytest.approx(len(common) / len(pixels[i]))
            ratios = [ndepths[i][point] / ndepths[j][point] for point in common]
            least = min(max(ratio, 1 / ratio) for ratio in ratios)
            assert arrays["scale_ratio_matrix"][i, j] == pytest.approx(least)


def test_overlap_of_images_without_points_or_without_common_points():
    none = np.zeros(0, np.int64)
    overlap = track_overlap(
        [np.array([7, 9]), none, np.array([3]), np.array([3, 7, 8, 9])],
        [np.array([1.0, 2.0]), np.zeros(0), np.array([5.0]), np.array([10.0, 0.25, 9.0, 2.5])],
    )
    expected = [[-1, -1, 0, 1], [-1, -1, -1, -1], [0, -1, -1, 1], [0.5, -1, 0.25, -1]]
    np.testing.assert_array_equal(overlap.overlaps, expected)
    np.testing.assert_array_equal(overlap.scale_ratios[3], [1.25, -1, 2, -1])
    assert track_overlap([none, none], [np.zeros(0)] * 2).overlaps.max() == -1


def test_models_as_text_of_older_versions_of_colmap(megadepth, tmp_path):
    base = copy_of(megadepth, tmp_path)
    text = base / "SfM_v1-undistorted" / SCENE / "sparse-txt"
    (base / "Undistorted_SfM").rename(base / "SfM_v1-undistorted")
    text.mkdir()
    pycolmap.Reconstruction(str(text.with_name("sparse"))).write_text(str(text))
    shutil.rmtree(text.with_name("sparse"))
    for name in ("rigs.txt", "frames.txt"):  # of COLMAP 3.12 and up
        (text / name).unlink(missing_ok=True)
    prepare(base, base / "scene_info_txt")
    with np.load(base / "scene_info_txt" / f"{SCENE}.npz", allow_pickle=True) as file:
        np.testing.assert_array_equal(file["overlap_matrix"], scene_arrays(base)["overlap_matrix"])
        assert file["image_paths"][0] == f"SfM_v1-undistorted/{SCENE}/images/0.png"


def test_a_point_behind_a_camera_is_not_observed(megadepth):
    model = pycolmap.Reconstruction(str(megadepth / SFM / "sparse"))
    point = min(model.points3D)
    observers = {element.image_id for element in model.points3D[point].track.elements}
    model.points3D[point].xyz = np.array([0.0, 0.0, -50.0])
    (megadepth / "behind" / "sparse").mkdir(parents=True)
    model.write_binary(str(megadepth / "behind" / "sparse"))
    before, after = read_views(megadepth / SFM), read_views(megadepth / "behind")
    assert sum(point in view.points for view in before) == len(observers) > 1
    assert sum(point in view.points for view in after) == 0
    assert all((view.depths > 0).all() and len(view.pixels) == len(view.points) for view in after)


def test_images_without_depth_are_left_out_and_counted(megadepth, tmp_path):
    base = copy_of(megadepth, tmp_path)
    (base / DEPTHS / "0.h5").unlink()
    write_depth(base / DEPTHS / "1.h5", np.full((HEIGHT, WIDTH), -1.0))  # an order of depths
    write_depth(base / DEPTHS / "2.h5", np.zeros((HEIGHT, WIDTH)))
    (base / DEPTHS / "3.h5").write_bytes(b"no HDF5")
    result = prepare(base, base / "again")
    scene = result.scenes[0]
    assert scene.images == FRAMES - 4 and scene.pairs == (FRAMES - 4) * (FRAMES - 5)
    assert dict(scene.left_out) == {
        "no depth map": 1,
        "its depth map is broken, of another size, or an order of depths": 2,
        "its depth map is empty": 1,
    }
    assert "2 images left out: its depth map is broken" in str(result)
    with np.load(base / "again" / f"{SCENE}.npz", allow_pickle=True) as file:
        assert [path is None for path in file["image_paths"]] == [True] * 4 + [False] * 2
        assert (file["overlap_matrix"][:4] == -1).all() and file["overlap_matrix"][4, 5] > 0
    assert read_scene(base / "again" / f"{SCENE}.npz", 0.1, 1.0).pairs.tolist() == [[4, 5], [5, 4]]


def test_scenes_that_cannot_be_used_are_left_out(megadepth, tmp_path):
    base = copy_of(megadepth, tmp_path)
    for name, broken in (("0016", b""), ("0017", None)):
        (base / "Undistorted_SfM" / name / "sparse").mkdir(parents=True)
        if broken is not None:
            (base / "Undistorted_SfM" / name / "sparse" / "cameras.bin").write_bytes(broken)
    result = prepare(base, base / "again")
    assert [bool(scene.error) for scene in result.scenes] == [False, True, True]
    assert not (base / "again" / "0016.npz").exists()
    before = (base / "again" / f"{SCENE}.npz").stat().st_mtime_ns
    assert prepare(base, base / "again").kept == 1
    assert (base / "again" / f"{SCENE}.npz").stat().st_mtime_ns == before
    (base / "scenes.txt").write_text("0017")
    with pytest.raises(ValueError, match="no COLMAP model"):
        prepare(base, base / "other", base / "scenes.txt")
    with pytest.raises(FileNotFoundError, match="Undistorted_SfM"):
        prepare(tmp_path, tmp_path / "out")


def test_a_model_with_lens_distortion_is_refused(megadepth, tmp_path):
    base = copy_of(megadepth, tmp_path)
    sparse = base / SFM / "sparse"
    model = pycolmap.Reconstruction(str(sparse))
    text = tmp_path / "text"
    text.mkdir()
    model.write_text(str(text))
    cameras = (text / "cameras.txt").read_text().replace("PINHOLE", "OPENCV").splitlines()
    cameras[-1] += " 0.1 0 0 0"
    (text / "cameras.txt").write_text("\n".join(cameras))
    shutil.rmtree(sparse)
    text.rename(sparse)
    with pytest.raises(ValueError, match="lens distortion.*image_undistorter"):
        prepare(base, base / "again")


# Depth maps


def test_depth_of_a_plane_is_exact_between_pixels_and_unknown_at_edges_and_holes():
    def plane(x, y):
        return 1 / (0.2 + 0.001 * x - 0.0005 * y)

    y, x = np.mgrid[:40, :60].astype(float)
    depth = plane(x, y).astype(np.float32)
    pixels = np.random.default_rng(0).uniform((-0.5, -0.5), (59.5, 39.5), (500, 2))
    np.testing.assert_allclose(depth_at(depth, pixels), plane(*pixels.T), rtol=1e-5)
    depth[:, 30:] *= 1.05
    depth[10, 10] = 0
    found = depth_at(depth, np.array([[29.4, 20], [10.6, 10], [27.5, 20], [-0.6, 3], [np.nan, 3]]))
    assert (found == 0).tolist() == [True, True, False, True, True]
    assert depth_at(depth[:3], pixels).max() == 0
    assert depth_at(depth, np.zeros((0, 2))).shape == (0,)


def test_depth_files_that_are_none_say_so(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(FileNotFoundError):
        read_depth(path, (4, 4))
    write_depth(path, np.array([[1, np.nan], [np.inf, 2.0]]))
    np.testing.assert_array_equal(read_depth(path, (2, 2)), [[1, 0], [0, 2]])
    with pytest.raises(ValueError, match="shape"):
        read_depth(path, (2, 3))
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(ValueError, match="no depth map"):
        read_depth(path, (2, 2))


def test_a_smaller_depth_map_has_the_depths_at_its_pixels_centers():
    x = np.tile(np.arange(12.0), (8, 1))
    np.testing.assert_array_equal(shrink_depth(x, (4, 4)), np.tile([1, 4, 7, 10], (4, 1)))


def test_nearest_depth_is_that_of_the_nearest_pixel_within_the_radius():
    known, depths = np.array([[10.0, 10], [12, 10]]), np.array([1.0, 2.0])
    pixels = np.array([[10.4, 10.3], [11.1, 10], [12, 12], [1500, 1000]])
    np.testing.assert_array_equal(nearest_depth(known, depths, pixels, 1.0), [1, 2, 0, 0])
    assert nearest_depth(known[:0], depths[:0], pixels, 1.0).tolist() == [0] * 4


# Features extracted while training


@pytest.mark.parametrize("crop_image_size", [512, 150])
def test_warp_agrees_with_exact_geometry(megadepth, sequence, crop_image_size):
    source = dataset(megadepth, crop_image_size=crop_image_size)
    errors, wrong, features = [], 0, 0
    for seed in range(8):
        first, second = source.draw_views(np.random.default_rng(seed))
        assert first.shape == (min(crop_image_size, HEIGHT), min(crop_image_size, WIDTH))
        known = first.feature_depths > 0
        features += known.sum()
        assert known.mean() > 0.6
        error, disagreed = transfer_errors(sequence, first, second)
        errors.append(error)
        wrong += disagreed
    errors = np.concatenate(errors)
    assert len(errors) > features / 3
    assert errors.max() < 0.5
    assert wrong < 0.02 * features


def test_hidden_points_are_nowhere(megadepth, sequence):
    source = dataset(megadepth)
    hidden = found = 0
    for seed in range(10):
        views = source.draw_views(np.random.default_rng(seed))
        frames = [place(sequence, view)[0] for view in views]
        exact, visible = sequence.transfer(*frames, views[0].features.keypoints)
        inside = ((exact >= 5) & (exact <= (WIDTH - 6, HEIGHT - 6))).all(axis=1)
        occluded = inside & ~visible & (views[0].feature_depths > 0)
        hidden += occluded.sum()
        found += np.isinf(transfer(*views)[occluded]).all(axis=1).sum()
    assert hidden > 20
    assert found > 0.8 * hidden


def test_a_draw_depends_on_the_generator_alone(megadepth):
    source = dataset(megadepth, crop_image_size=150, pairs_per_scene=7)
    assert len(source) == 7
    first = source.draw(np.random.default_rng(3))
    source.draw(np.random.default_rng(4))
    again = pickle.loads(pickle.dumps(source)).draw(np.random.default_rng(3))
    for a, b in zip(first.features, again.features, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.descriptors, b.descriptors)
    np.testing.assert_array_equal(first.seen_at[0][0], again.seen_at[0][0])


def test_scenes_are_read_with_our_pixels_and_depths(megadepth, sequence):
    view = read_scene(megadepth / "scene_info" / f"{SCENE}.npz", 0.1, 1.0).views[0]
    exact = depth_of(sequence, 0, view.pixels)
    assert (np.abs(view.depths / exact - 1) < 1e-5).mean() > 0.98


def test_files_as_d2_net_writes_them_are_read(megadepth, tmp_path):
    base = copy_of(megadepth, tmp_path)
    arrays = scene_arrays(base)
    n = FRAMES
    lists = {
        # None for one image, and the rest as lists, of which numpy makes what it likes.
        "image_paths": [None, *arrays["image_paths"][1:]],
        "depth_paths": [None, *arrays["depth_paths"][1:]],
        "intrinsics": list(arrays["intrinsics"]),
        "poses": list(arrays["poses"]),
        "points3D_id_to_2D": list(arrays["points3D_id_to_2D"]),
        "points3D_id_to_ndepth": list(arrays["points3D_id_to_ndepth"]),
    }
    arrays["overlap_matrix"][0] = arrays["overlap_matrix"][:, 0] = -1
    arrays["overlap_matrix"][1, 2] = 0  # which is no pair, whatever the bounds
    np.savez(base / "scene_info" / f"{SCENE}.npz", **{**arrays, **lists})
    source = dataset(base, min_overlap=0.0)
    assert len(source) == (n - 1) * (n - 2) - 1
    assert source.draw(np.random.default_rng(0)) is not None


def test_broken_images_and_missing_depths_come_to_nothing(megadepth, tmp_path):
    base = copy_of(megadepth, tmp_path)
    source = dataset(base, crop_image_size=150)
    assert all(source.draw(np.random.default_rng(seed)) is not None for seed in range(5))
    (base / SFM / "images" / "1.png").write_bytes(b"no image")
    (base / DEPTHS / "2.h5").unlink()
    (base / DEPTHS / "3.h5").write_bytes(b"")
    drawn = [source.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert 0 < sum(pair is None for pair in drawn) < len(drawn)


def test_lists_and_ranges_that_leave_nothing_say_so(megadepth, tmp_path):
    with pytest.raises(ValueError, match="overlap by 0.0 to 1e-06: widen"):
        dataset(megadepth, min_overlap=0.0, max_overlap=1e-6)
    with pytest.raises(ValueError, match="crop_image_size"):
        dataset(megadepth, crop_image_size=3)
    base = copy_of(megadepth, tmp_path)
    (base / "scenes.txt").write_text(f"0099\n{SCENE}\n0100")
    (base / "scene_info" / "0100.npz").write_bytes(b"cut off")
    assert [scene.name for scene in dataset(base).scenes] == [SCENE]
    (base / "scenes.txt").write_text("0099")
    with pytest.raises(FileNotFoundError, match="prepare-megadepth"):
        dataset(base)
    (base / "scenes.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="names no scene"):
        dataset(base)
    with pytest.raises(FileNotFoundError, match="no list of scenes"):
        MegaDepth(base / "none.txt", base / "scene_info", base, "sift")


def test_training_on_it_by_the_command_makes_the_loss_fall(megadepth, tmp_path):
    data = (
        f"megadepth:{megadepth},scene_list_path={megadepth / 'scenes.txt'},"
        f"scene_info_path={megadepth / 'scene_info'},crop_image_size=150"
    )
    options = {
        "steps": 12, "batch": 2, "features": 128, "warmup": 1, "decay": "none", "boost-weight": 0,
        "start": "random", "log-every": 1, "threads": 1, "output": tmp_path / "run",
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in options.items()]
    assert main(["train", "--model", "SIFT+Boost-F", "--data", data, *words]) == 0
    log = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    losses = [line["loss"] for line in log if "loss" in line]
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3]), losses


# Features extracted once


def test_extracted_features_agree_with_exact_geometry(megadepth, sequence, tmp_path):
    base = copy_of(megadepth, tmp_path)
    (base / SFM / "images" / "5.png").write_bytes(b"no image")
    # A depth map with a hole: there, the tracks have the depth.
    depth = sequence.depth(0)
    depth[:, : WIDTH // 2] = 0
    write_depth(base / DEPTHS / "0.h5", depth)
    (base / DEPTHS / "3.h5").unlink()
    result = extract(
        base / "scenes.txt", base / "scene_info", base, tmp_path / "features.h5",
        max_features=400, longest_side=240, workers=2,
    )  # fmt: skip
    assert (result.scenes, result.views, result.pairs) == (
        1,
        FRAMES - 1,
        (FRAMES - 1) * (FRAMES - 2),
    )
    assert result.left_out == {"it cannot be read": 1}
    assert result.without_depth == 1 and "1 without depth map" in str(result)
    source = PosedViews(tmp_path / "features.h5", pairs_per_scene=50)
    assert len(source) == result.pairs
    assert source.draw(np.random.default_rng(0)) is not None
    views = [
        source.view(SCENE, (SFM / "images" / f"{frame}.png").as_posix())
        for frame in range(FRAMES - 1)
    ]
    assert views[0].shape == (180, 240) and views[0].depth.shape == (45, 60)
    in_hole = views[0].features.keypoints[:, 0] < 110
    assert 0 < (views[0].feature_depths[in_hole] > 0).sum() < 100
    assert views[3].depth is None
    assert 10 < (views[3].feature_depths > 0).sum() < 200
    scale = np.array([WIDTH / 240, HEIGHT / 180])
    for query, reference in ((1, 3), (4, 2)):
        keypoints = (views[query].features.keypoints + 0.5) * scale - 0.5
        exact, visible = sequence.transfer(query, reference, keypoints)
        exact = (exact + 0.5) / scale - 0.5
        rays = [
            np.linalg.inv(matrix) @ (*pixel, 1)
            for matrix, pixel in (
                (views[query].camera_matrix, views[query].features.keypoints[0]),
                (sequence.camera.matrix, keypoints[0]),
            )
        ]
        np.testing.assert_allclose(*rays, atol=1e-6)
        seen_at = transfer(views[query], views[reference])
        both = visible & np.isfinite(seen_at).all(axis=1)
        assert both.sum() > 100
        assert np.linalg.norm(seen_at[both] - exact[both], axis=1).max() < 0.5


def test_extraction_draws_pairs_and_ends_with_nothing_or_a_whole_file(megadepth, tmp_path):
    arguments = (megadepth / "scenes.txt", megadepth / "scene_info", megadepth)
    output = tmp_path / "features.h5"
    result = extract(*arguments, output, "orb", max_features=200, images_per_scene=3)
    assert result.views in (2, 3) and result.pairs in (2, 6)
    output.unlink()
    with pytest.raises(ValueError, match="no pair of images with an overlap"):
        extract(*arguments, output, max_overlap=0.01, min_overlap=0.001)
    with pytest.raises(ValueError, match="no extractor"):
        extract(*arguments, output, "none")
    assert list(tmp_path.iterdir()) == []
