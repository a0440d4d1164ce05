# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reconstructions of folders of images, against a rendered scene's exact geometry."""

import sys

import cv2
import numpy as np
import pycolmap
import pytest
from records import shared

from feature_booster_ros.camera import Camera
from feature_booster_ros.colmap.database import colmap_camera
from feature_booster_ros.features import create_extractor
from feature_booster_ros.rendering.camera_paths import CameraPath, Waypoint
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.training.datasets import reconstruction
from feature_booster_ros.training.datasets.posed_view import transfer
from feature_booster_ros.training.datasets.posed_views import PosedViews
from feature_booster_ros.training.datasets.reconstruction import reconstruct
from feature_booster_ros.training.datasets.sparse_tracks import (
    ExtractedImage,
    tracked_views,
)

SIZE = 360, 270
DISTORTION = np.array([-0.25, 0.05, 0.002, -0.001])
FRAMES = 5


ASIDE = CameraPath(
    [
        Waypoint(0.0, (-1.0, 0.0, 0.5), yaw=4),
        Waypoint(1.0, (0.0, -0.1, 0.8), roll=3),
        Waypoint(2.0, (1.0, 0.1, 0.5), yaw=-4),
    ]
)
"""From left to right through the hall, looking ahead: much parallax."""


def flight(seed: int, frames: int = FRAMES) -> RenderedSequence:
    return RenderedSequence(
        seed, frames, *SIZE, horizontal_fov=60.0, rate=2.0, noise=1.0, blur=0.3, path=ASIDE
    )


def distorted(image: np.ndarray, matrix: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """What a lens makes of the image of a pinhole camera."""
    height, width = image.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    pinhole = cv2.undistortPoints(grid.reshape(-1, 1, 2), matrix, distortion, P=matrix)
    sampled = pinhole.reshape(height, width, 2).astype(np.float32)
    return cv2.remap(image, sampled, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A flight seen through a lens whose distortion is known, reconstructed."""
    folder = tmp_path_factory.mktemp("calibrated")
    sequence = flight(3)
    (folder / "images").mkdir()
    for index in range(FRAMES):
        image = distorted(sequence.image(index), sequence.camera.matrix, DISTORTION)
        cv2.imwrite(str(folder / "images" / f"frame {index}.png"), image)
    camera = Camera(*SIZE, sequence.camera.matrix, DISTORTION)
    summary = reconstruct(folder / "images", folder / "out", camera=camera, threads=1, device="cpu")
    return sequence, summary, folder


def views_of(summary, scene: str, count: int = FRAMES):
    source = PosedViews(summary.tracks_path)
    return [source.view(scene, f"frame {index}.png") for index in range(count)]


def test_every_image_of_a_flight_is_registered_and_described(calibrated):
    _, summary, folder = calibrated
    assert (summary.images, summary.registered) == (FRAMES, FRAMES)
    assert len(summary.models) == 1
    model = pycolmap.Reconstruction(str(folder / "out" / "sparse" / "0"))
    described = summary.models[0]
    assert described.images == len(model.images)
    assert described.points == len(model.points3D)
    assert 0.0 < described.reprojection_error < 1.0
    assert f"{described.points} points" in str(summary)
    assert f"error {described.reprojection_error:.2f} px" in str(summary)


def test_the_known_camera_is_kept_and_its_distortion_taken_out_of_the_keypoints(calibrated):
    sequence, summary, folder = calibrated
    view = views_of(summary, "images_0")[0]
    np.testing.assert_allclose(view.camera_matrix, sequence.camera.matrix, atol=1e-6)
    image = cv2.imread(str(folder / "images" / "frame 0.png"), cv2.IMREAD_GRAYSCALE)
    found = create_extractor("sift", 4096)(image).keypoints
    matrix, kept = sequence.camera.matrix, view.features.keypoints
    rays = np.column_stack([kept, np.ones(len(kept))]) @ np.linalg.inv(matrix).T
    seen = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, DISTORTION)[0].reshape(-1, 2)
    assert np.linalg.norm(seen - kept, axis=1).max() > 5  # else this tells nothing
    distances = np.linalg.norm(seen[:, None] - found, axis=2)
    assert distances.min(axis=1).max() < 0.01


def test_tracks_are_seen_where_exact_geometry_says(calibrated):
    sequence, summary, _ = calibrated
    views = views_of(summary, "images_0")
    errors = []
    for query, reference in ((0, 1), (1, 0), (1, 3), (4, 2)):
        seen_at = transfer(views[query], views[reference])
        known = views[query].feature_depths > 0
        assert known.sum() > 50
        assert np.isnan(seen_at[~known]).all()
        exact, visible = sequence.transfer(query, reference, views[query].features.keypoints)
        errors.append(np.linalg.norm(seen_at - exact, axis=1)[known & visible])
    errors = np.concatenate(errors)
    assert np.median(errors) < 0.5
    assert np.mean(errors < 3.0) > 0.95


def test_pairs_have_the_overlap_of_their_tracks(calibrated):
    _, summary, folder = calibrated
    model = pycolmap.Reconstruction(str(folder / "out" / "sparse" / "0"))
    tracks = {
        model.images[i].name: {p.point3D_id for p in model.images[i].points2D if p.has_point3D()}
        for i in model.reg_image_ids()
    }
    scene = PosedViews(summary.tracks_path).scenes[0]
    assert len(scene.pairs) == summary.models[0].pairs > 3
    for (first, second), overlap in zip(scene.pairs, scene.overlaps, strict=True):
        a, b = (tracks[scene.names[view]] for view in (first, second))
        # No view had more features than are kept, so that no track was left out.
        assert overlap == pytest.approx(len(a & b) / min(len(a), len(b)), abs=1e-6)
        assert overlap >= 0.1


def test_kept_features_are_those_of_the_longest_tracks(calibrated):
    _, _, folder = calibrated
    model = pycolmap.Reconstruction(str(folder / "out" / "sparse" / "0"))
    extractor = create_extractor("sift", 4096)
    images = {}
    for image_id in model.reg_image_ids():
        name = model.images[image_id].name
        image = cv2.imread(str(folder / "images" / name), cv2.IMREAD_GRAYSCALE)
        images[image_id] = ExtractedImage(name, extractor(image), image.shape, image.shape)
    views = tracked_views(model, images, max_features=100)
    lengths = {number: len(point.track.elements) for number, point in model.points3D.items()}
    for tracked in views.values():
        assert len(tracked.view.features) == 100
        has_track = tracked.tracks >= 0
        assert has_track.sum() == 75
        np.testing.assert_array_equal(has_track, tracked.view.feature_depths > 0)
        kept = np.array([lengths[track] for track in tracked.tracks[has_track]])
        assert kept.mean() > np.mean(list(lengths.values())) + 0.5
    common = np.intersect1d(*(views[f"frame {n}.png"].tracks for n in (1, 2)))
    assert len(common) > 0.5 * 75


def test_two_scenes_in_one_folder_become_two_models_and_what_cannot_be_read_is_left_out(
    tmp_path, caplog
):
    images = tmp_path / "mixed"
    (images / "sub folder").mkdir(parents=True)
    sequence = flight(3, 4)
    for index in range(4):
        image = cv2.resize(sequence.image(index), None, fx=2, fy=2)
        cv2.imwrite(str(images / "sub folder" / f"hall {index}.png"), image)
        # Nothing of a negative matches the hall: it is another scene.
        cv2.imwrite(str(images / "sub folder" / f"negative {index}.png"), 255 - image)
    (images / "broken.jpg").write_bytes(b"no image")
    summary = reconstruct(
        images, tmp_path / "out", shared_camera=True, longest_side=360, threads=1, device="cpu"
    )
    assert "broken.jpg" in caplog.text
    assert (summary.images, summary.registered) == (8, 8)
    assert [model.images for model in summary.models] == [4, 4]
    source = PosedViews(summary.tracks_path)
    assert sorted(scene.name for scene in source.scenes) == ["mixed_0", "mixed_1"]
    for scene in source.scenes:
        assert len({name.split()[1] for name in scene.names}) == 1
        # Of the image that the features are from, half as large as the file.
        assert (scene.shapes == SIZE[::-1]).all()
        focal = scene.camera_matrices[:, 0, 0]
        assert np.all(np.abs(focal / sequence.camera.matrix[0, 0] - 1) < 0.1)
        assert source.view(scene.name, scene.names[0]).features.keypoints.max() < SIZE[0]


def test_a_camera_that_only_goes_ahead_is_reconstructed(tmp_path):
    ahead = CameraPath([Waypoint(0.0, (0.0, 0.0, 0.0)), Waypoint(2.0, (0.1, 0.0, 2.5))])
    sequence = RenderedSequence(3, 4, *SIZE, rate=2.0, noise=1.0, blur=0.3, path=ahead)
    (tmp_path / "ahead").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "ahead" / f"{index}.png"), sequence.image(index))
    summary = reconstruct(
        tmp_path / "ahead", tmp_path / "out", camera=sequence.camera, threads=1, device="cpu"
    )
    assert summary.registered >= 3


def test_a_folder_without_images_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of photographs"):
        reconstruct(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no image in"):
        reconstruct(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "broken.png").write_bytes(b"")
    with pytest.raises(ValueError, match="0 images that can be read"):
        reconstruct(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_of_nothing_in_common_say_what_to_try(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    for index in range(3):
        image = cv2.GaussianBlur(rng.integers(0, 256, (240, 320), np.uint8), (0, 0), 2)
        cv2.imwrite(str(tmp_path / "noise" / f"{index}.png"), image)
    with pytest.raises(ValueError, match="nothing could be reconstructed.*Try images that overlap"):
        reconstruct(tmp_path / "noise", tmp_path / "out", threads=1, device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_camera_of_another_size_and_a_full_output_are_refused(calibrated, tmp_path):
    _, _, folder = calibrated
    with pytest.raises(ValueError, match="frame 0.png has 360 x 270 pixels, but the camera 640"):
        reconstruct(
            folder / "images", tmp_path, camera=Camera.pinhole(500, 500, 320, 240, 640, 480)
        )
    with pytest.raises(ValueError, match="out is not empty"):
        reconstruct(folder / "images", folder / "out")


def test_without_pycolmap_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[train\]'"):
        reconstruct(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", []),
        ("plumb_bob", [0.1, -0.05, 0.01, -0.02]),
        ("plumb_bob", [0.1, -0.05, 0.01, -0.02, 0.03]),
        ("rational_polynomial", [0.1, -0.05, 0.01, -0.02, 0.03, 0.02, 0.01, 0.005]),
        ("rational_polynomial", [0.1, -0.05, 0.01, -0.02, 0.03, 0, 0, 0, 0, 0, 0, 0]),
        ("plumb_bob", [0.1, -0.05, 0.01, -0.02, 0.03, 0.02, 0.01, 0.005]),
        ("equidistant", [0.05, -0.01, 0.003, -0.001]),
        ("equidistant", [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_calibration_projects_as_opencv_says(model, coefficients):
    camera = Camera(640, 480, np.array([[500.0, 0, 310], [0, 510, 250], [0, 0, 1]]),
                    np.array(coefficients), model)  # fmt: skip
    name, parameters = colmap_camera(camera)
    theirs = pycolmap.Camera(model=name, width=640, height=480, params=parameters)
    pixels = np.array([[310.0, 250.0], [100.0, 60.0], [600.0, 400.0]])
    rays = np.array(theirs.cam_from_img(pixels + 0.5))
    points = np.column_stack([rays, np.ones(3)])[:, None]
    if model == "equidistant":
        again = cv2.fisheye.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix,
                                          camera.distortion)[0]  # fmt: skip
    else:
        again = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix,
                                  camera.distortion)[0]  # fmt: skip
    np.testing.assert_allclose(again.reshape(-1, 2), pixels, atol=1e-3)


def test_a_distortion_that_colmap_lacks_is_refused():
    camera = Camera(640, 480, np.diag([500.0, 500, 1]), np.full(14, 0.01), "rational_polynomial")
    with pytest.raises(ValueError, match="rational_polynomial distortion with 14 coefficients"):
        colmap_camera(camera)


def test_in_a_large_collection_images_of_the_same_place_are_found(monkeypatch):
    for name, value in (("EXHAUSTIVE_LIMIT", 10), ("NEIGHBORS", 2), ("CANDIDATES", 3)):
        monkeypatch.setattr(reconstruction, name, value)
    rng = np.random.default_rng(0)
    extractor = create_extractor("orb", 300)
    noise = rng.integers(0, 256, (12, 160, 200), np.uint8)
    places = [cv2.GaussianBlur(each, (0, 0), 1.5) for each in noise]
    turn = np.array([[0.98, -0.1, 8.0], [0.1, 0.98, -6.0]])
    again = [cv2.warpAffine(place, turn, (200, 160)) for place in places]
    features = [extractor(image) for image in places + again]
    pairs = reconstruction.choose_pairs(features, 0.8, "cpu")
    assert pairs == sorted(set(pairs))
    assert all(first < second for first, second in pairs)
    assert {(place, place + 12) for place in range(12)} <= set(pairs)
    assert {(image, image + 2) for image in range(22)} <= set(pairs)
    assert len(pairs) < 24 * 23 / 2 / 2
    assert len(reconstruction.choose_pairs(features[:10], 0.8, "cpu")) == 10 * 9 / 2


def test_photographs_of_a_castle_are_reconstructed_with_unknown_cameras(tmp_path):
    images = tmp_path / "castle"
    images.mkdir()
    for path in sorted(shared("scenes/sceaux_castle").glob("*.jpg"))[2:7]:
        (images / path.name).symlink_to(path)
    summary = reconstruct(
        images, tmp_path / "out", max_features=600, longest_side=480, threads=1, device="cpu"
    )
    assert summary.registered == 5
    assert summary.models[0].reprojection_error < 1.5  # pixels of the files, twice as large
    source = PosedViews(summary.tracks_path)
    pair = source.draw(np.random.default_rng(0))
    assert np.isfinite(pair.seen_at[0][0]).all(axis=1).sum() >= 15
