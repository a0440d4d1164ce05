# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depths measured by stereo pairs, rectified and not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from feature_booster_ros.camera import Camera
from feature_booster_ros.depth import DepthSensor, DepthSettings, RightImage, StereoRig
from feature_booster_ros.depth.rig import with_stereo_calibration
from feature_booster_ros.features import create_extractor
from feature_booster_ros.rendering.renderer import cast, draw
from feature_booster_ros.sources import open_source

BASELINE = 0.12


@pytest.fixture(scope="module")
def source():
    return open_source(f"rendered:frames=40,baseline={BASELINE}")


@pytest.fixture(scope="module")
def extractor():
    return create_extractor("sift", max_features=800)


def check(features, truth):
    """Check share and accuracy of depths against exact ones."""
    is_known = np.isfinite(features.depths)
    errors = np.abs(features.depths - truth)[is_known]
    assert is_known.mean() > 0.6
    assert np.median(errors / truth[is_known]) < 0.02
    assert np.mean(errors > 0.1 * truth[is_known]) < 0.1
    assert np.mean(errors < 3 * features.depth_sigmas[is_known]) > 0.9


def true_depths(source, frame, rays):
    """Return exact depths of rays of the frame's camera."""
    pixels = rays @ frame.camera.matrix[:2, :2].T + frame.camera.matrix[:2, 2]
    return cast(source.scene, frame.camera.matrix, frame.pose, pixels)[0]


def test_rectified_pair(source, extractor):
    for index in (0, 20):
        frame = next(source.frames(start=index))
        assert StereoRig.of_cameras(frame.camera, frame.right.camera).is_rectified
        features = DepthSensor().match_stereo(
            extractor(frame.image), frame.image, frame.camera, frame.right
        )
        rays = frame.camera.rays(features.keypoints)
        check(features, true_depths(source, frame, rays))


def see(scene, camera: Camera, pose: np.ndarray) -> np.ndarray:
    """Return what a camera with distortion sees."""
    wide = np.array([[300.0, 0, 499.5], [0, 300.0, 399.5], [0, 0, 1]])
    image = draw(scene, wide, pose, 1000, 800)
    places = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1)
    rays = camera.rays(places.reshape(-1, 2)).reshape(*places.shape[:2], 2)
    x, y = np.moveaxis(rays * 300 + wide[:2, 2], -1, 0).astype(np.float32)
    return cv2.remap(image, x, y, cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [("plumb_bob", [-0.28, 0.07, 0.0002, 0.00002]), ("equidistant", [-0.01, 0.01, 0, 0])],
)
def test_pair_with_distortion_whose_cameras_are_turned(source, extractor, model, coefficients):
    matrices = [
        np.array([[f, 0, 322.0], [0, f, c], [0, 0, 1]]) for f, c in ((450, 242), (455, 236))
    ]
    left, right = (Camera(640, 480, matrix, np.array(coefficients), model) for matrix in matrices)
    right_in_left = np.eye(4)
    right_in_left[:3, :3] = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
    right_in_left[:3, 3] = BASELINE, 0.004, -0.006
    left, right = with_stereo_calibration(left, right, right_in_left)
    frame = next(source.frames(start=10))
    image = see(source.scene, left, frame.pose)
    other = RightImage(see(source.scene, right, frame.pose @ right_in_left), right)
    features = extractor(image)
    rays = left.rays(features.keypoints)
    features = features.select(np.isfinite(rays).all(axis=1))
    rays = rays[np.isfinite(rays).all(axis=1)]
    measured = DepthSensor().match_stereo(features, image, left, other)
    check(measured, true_depths(source, frame, rays))


def test_right_camera_that_sees_something_else_measures_little(source, extractor):
    frame = next(iter(source))
    noise = np.random.default_rng(0).integers(0, 256, frame.image.shape, np.uint8)
    features = extractor(frame.image)
    for image, share in ((noise, 0.05), (np.zeros_like(noise), 0.0)):
        right = RightImage(image, frame.right.camera)
        measured = DepthSensor().match_stereo(features, frame.image, frame.camera, right)
        assert np.isfinite(measured.depths).mean() <= share


def test_uncertainty_grows_with_the_squared_depth_and_range_ends(source, extractor):
    frame = next(iter(source))
    sensor = DepthSensor(DepthSettings(max_depth=3.0, disparity_noise=0.5))
    measured = sensor.match_stereo(extractor(frame.image), frame.image, frame.camera, frame.right)
    is_known = np.isfinite(measured.depths)
    assert is_known.any()
    assert measured.depths[is_known].max() <= 3.0
    np.testing.assert_allclose(
        measured.depth_sigmas[is_known],
        0.5 * measured.depths[is_known] ** 2 / (frame.camera.focal_length * BASELINE),
        rtol=1e-3,
    )


def test_no_features(source):
    frame = next(iter(source))
    blank = np.zeros_like(frame.image)
    features = create_extractor("orb")(blank)
    measured = DepthSensor().match_stereo(features, blank, frame.camera, frame.right)
    assert measured.depths.shape == (0,)


def test_pairs_that_are_none_name_the_remedy(source, extractor):
    frame = next(iter(source))
    features, sensor = extractor(frame.image), DepthSensor()
    exchanged = RightImage(frame.image, frame.camera)
    with pytest.raises(ValueError, match="to the left of the left one: exchange"):
        sensor.match_stereo(features, frame.image, frame.right.camera, exchanged)
    with pytest.raises(ValueError, match="no baseline"):
        sensor.match_stereo(features, frame.image, frame.camera, exchanged)
    with pytest.raises(ValueError, match=r"right .*not calibrated"):
        sensor.match_stereo(features, frame.image, frame.camera, RightImage(frame.image))
    small = RightImage(frame.image[::2, ::2].copy(), frame.right.camera)
    with pytest.raises(ValueError, match=r"320 x 240 .* 640 x 480"):
        sensor.match_stereo(features, frame.image, frame.camera, small)
    low = frame.image[:10].copy()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"640 x 10 pixels are too low or narrow"):
            sensor.match_stereo(features, low, frame.camera, RightImage(low, frame.right.camera))
