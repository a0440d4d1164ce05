# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera: distortion there and back for real lenses, the image at hand, what is refused."""

import timeit
from dataclasses import replace

import cv2
import numpy as np
import pytest

from feature_booster_ros.camera import Calibration, Camera, RegionOfInterest, is_rectified_topic

# Calibrations as published: size, fx fy cx cy, coefficients, model.
LENSES = {
    "EuRoC MH cam0": (
        (752, 480), (458.654, 457.296, 367.215, 248.375),
        [-0.28340811, 0.07395907, 0.00019359, 1.76187e-05], "plumb_bob",
    ),
    "KITTI raw 2011_09_26 cam0": (
        (1392, 512), (984.2439, 980.8141, 690.0, 233.1966),
        [-0.3728755, 0.2037299, 0.002219027, 0.001383707, -0.07233722], "plumb_bob",
    ),
    "TUM freiburg1": (
        (640, 480), (517.3, 516.5, 318.6, 255.3),
        [0.2624, -0.9531, -0.0054, 0.0026, 1.1633], "plumb_bob",
    ),
    "a driver's plumb_bob of 8": (
        (640, 480), (517.3, 516.5, 318.6, 255.3),
        [0.2624, -0.9531, -0.0054, 0.0026, 1.1633, 0.0, 0.0, 0.0], "plumb_bob",
    ),
    "Azure Kinect": (
        (1280, 720), (605.0, 604.9, 638.2, 366.7),
        [0.447, -2.56, 0.0007, -0.0003, 1.48, 0.325, -2.38, 1.41], "rational_polynomial",
    ),
    "rational of 5": (
        (640, 480), (400.0, 400.0, 320.0, 240.0),
        [-0.3, 0.1, 0.001, -0.001, -0.01], "rational_polynomial",
    ),
    "thin prism, tilted sensor": (
        (1280, 720), (605.0, 604.9, 638.2, 366.7),
        [0.1, -0.05, 0.0007, -0.0003, 0.01, 0.12, -0.04, 0.005, 0.001, -0.0005, 0.0008, 0.0002,
         0.02, -0.03], "rational_polynomial",
    ),
    "TUM-VI cam0": (
        (512, 512), (190.97847, 190.97331, 254.93171, 256.89744),
        [0.00348239, 0.000715, -0.00205324, 0.00020294], "equidistant",
    ),
    "fisheye without coefficients": (
        (640, 480), (300.0, 300.0, 320.0, 240.0), [], "equidistant",
    ),
}  # fmt: skip


def lens(name):
    (width, height), (fx, fy, cx, cy), coefficients, model = LENSES[name]
    return Camera(width, height, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], coefficients, model)


def opencv_pixels(camera, rays):
    points = np.column_stack([rays, np.ones(len(rays))])[:, None]
    nothing = np.zeros(3)
    if camera.model == "equidistant":
        coefficients = np.pad(camera.distortion, (0, 4 - len(camera.distortion)))
        pixels = cv2.fisheye.projectPoints(points, nothing, nothing, camera.matrix, coefficients)
    else:
        pixels = cv2.projectPoints(points, nothing, nothing, camera.matrix, camera.distortion)
    return pixels[0].reshape(-1, 2)


def pixel_grid(camera):
    x, y = np.meshgrid(np.linspace(0, camera.width - 1, 60), np.linspace(0, camera.height - 1, 60))
    return np.column_stack([x.ravel(), y.ravel()])


def monotonic_radius(camera):
    """Radius at depth 1 up to which OpenCV's own projection moves outwards."""
    radii = np.tan(np.linspace(0, np.radians(89), 3000))
    seen = opencv_pixels(camera, np.column_stack([radii, 0 * radii]))[:, 0]
    falls = np.diff(seen) <= 0
    return radii[np.argmax(falls)] if falls.any() else radii[-1]


@pytest.mark.parametrize("name", LENSES)
def test_distortion_is_inverted_over_the_whole_image(name):
    camera = lens(name)
    pixels = pixel_grid(camera)
    rays = camera.rays(pixels)
    known = np.isfinite(rays).all(axis=1)
    # The TUM-VI lens sees more than 180 degrees: its corners have no ray at depth 1.
    assert known.mean() > (0.9 if name == "TUM-VI cam0" else 0.999)
    assert np.abs(opencv_pixels(camera, rays[known]) - pixels[known]).max() < 0.01
    assert np.abs(camera.project(rays[known]) - pixels[known]).max() < 0.01


@pytest.mark.parametrize("name", LENSES)
def test_rays_that_opencv_projects_are_found_again(name):
    camera = lens(name)
    x, y = np.meshgrid(np.linspace(-2, 2, 81), np.linspace(-2, 2, 81))
    rays = np.column_stack([x.ravel(), y.ravel()])
    rays = rays[np.hypot(*rays.T) < 0.97 * monotonic_radius(camera)]
    pixels = opencv_pixels(camera, rays)
    inside = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(axis=1)
    assert inside.sum() > 100
    np.testing.assert_allclose(camera.project(rays[inside]), pixels[inside], atol=1e-6)
    np.testing.assert_allclose(camera.rays(pixels[inside]), rays[inside], atol=2e-4)
    ideal = rays[inside] * camera.matrix[[0, 1], [0, 1]] + camera.matrix[:2, 2]
    np.testing.assert_allclose(camera.undistort(pixels[inside]), ideal, atol=0.05)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant"])
def test_lenses_at_random(model):
    """Every ray that the model bends less than to a fold is found from its pixel."""
    rng = np.random.default_rng(0)
    spread = [0.4, 0.2, 0.003, 0.003, 0.1, 0.3, 0.1, 0.05, *[0.003] * 4, 0.03, 0.03]
    if model == "equidistant":
        spread = [0.05, 0.03, 0.01, 0.005]
    counts = {"plumb_bob": (4, 5), "rational_polynomial": (5, 8, 12, 14), "equidistant": (4,)}
    for _ in range(40):
        count = rng.choice(counts[model])
        coefficients = rng.normal(0, 1, count) * spread[:count]
        camera = Camera(640, 480, [[400, 0, 320], [0, 410, 240], [0, 0, 1]], coefficients, model)
        rays = rng.uniform(-1.2, 1.2, (300, 2))
        # Pixels per pinhole pixel, NaN beyond a fold, which is near where it comes close to 0.
        with np.errstate(invalid="ignore"):
            stretch = 1 / (camera.pixel_lengths(rays) ** 2 * 400 * 410)
        rays = rays[stretch > 0.05]
        rays = rays[np.hypot(*rays.T) < 0.97 * monotonic_radius(camera)]
        pixels = opencv_pixels(camera, rays)
        np.testing.assert_allclose(camera.project(rays), pixels, atol=1e-6)
        np.testing.assert_allclose(camera.rays(pixels), rays, atol=1e-4)


def test_beyond_the_turning_point_there_is_no_pixel_and_no_ray():
    camera = Camera(640, 480, [[300, 0, 320], [0, 300, 240], [0, 0, 1]], [-0.3, 0, 0, 0])
    turning = 1 / np.sqrt(0.9)  # of r - 0.3 r^3
    farther = np.array([[1.3 * turning, 0.0]])
    assert (opencv_pixels(camera, farther) < 640).all()  # OpenCV folds it back into the image
    assert np.isnan(camera.project(farther)).all()
    highest = 320 + 300 * turning * (1 - 0.3 * turning**2)
    rays = camera.rays([[highest - 0.5, 240], [highest + 0.5, 240]])
    assert 0.9 * turning < rays[0, 0] < turning
    assert np.isnan(rays[1]).all()


def test_far_outside_of_a_fisheye_is_not_a_number():
    camera = lens("fisheye without coefficients")
    rays = camera.rays([[320, 240], [320 + 300 * np.pi / 4, 240], [320 + 300 * 1.6, 240]])
    np.testing.assert_allclose(rays[:2], [[0, 0], [1, 0]], atol=1e-6)
    assert np.isnan(rays[2]).all()


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant"])
def test_zeros_at_the_end_may_be_there_or_not(model):
    pixels = np.random.default_rng(0).uniform(0, 400, (50, 2))
    matrix = [[300, 0, 200], [0, 300, 200], [0, 0, 1]]
    most = 4 if model == "equidistant" else 14
    expected = Camera(400, 400, matrix, [-0.1, 0.02], model).rays(pixels)
    for count in (4, 5, 6, 8, 12, 14, 16):
        padded = [-0.1, 0.02, *[0.0] * (count - 2)]
        np.testing.assert_array_equal(
            Camera(400, 400, matrix, padded, model).rays(pixels), expected
        )
    with pytest.raises(ValueError, match="may be left out"):
        Camera(400, 400, matrix, [0.01] * (most + 1), model)


@pytest.mark.parametrize(
    ("name", "model"),
    [("", "plumb_bob"), ("radtan", "plumb_bob"), ("fisheye", "equidistant"),
     ("Brown_Conrady", "plumb_bob"), ("PLUMB_BOB", "plumb_bob"), ("Equidistant", "equidistant"),
     ("kannala_brandt4", "equidistant")],
)  # fmt: skip
def test_other_names_of_the_models(name, model):
    assert Camera(0, 0, np.eye(3), [0.0] * 4, name).model == model


def test_skew_is_kept():
    camera = Camera(640, 480, [[300, 5, 320], [0, 310, 240], [0, 0, 1]], [-0.1, 0.01, 0, 0])
    pixels = pixel_grid(camera)
    np.testing.assert_allclose(camera.project(camera.rays(pixels)), pixels, atol=0.01)


@pytest.mark.parametrize("name", ["KITTI raw 2011_09_26 cam0", "TUM-VI cam0", "Azure Kinect"])
def test_length_of_a_pixel(name):
    camera = lens(name)
    rays = np.array([[0.0, 0.0], [0.3, -0.2], [-0.5, 0.1]])
    step = 1e-6
    along_x = camera.project(rays + [step, 0]) - camera.project(rays - [step, 0])
    along_y = camera.project(rays + [0, step]) - camera.project(rays - [0, step])
    area = np.abs(along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]) / (2 * step) ** 2
    np.testing.assert_allclose(camera.pixel_lengths(rays), 1 / np.sqrt(area), rtol=1e-5)


def test_points_are_computed_together():
    """Two thousand cost no more than a fraction of two thousand times one."""
    camera = lens("EuRoC MH cam0")
    pixels = np.random.default_rng(0).uniform([0, 0], [752, 480], (2000, 2))

    def cost(points):
        return min(timeit.repeat(lambda: camera.rays(points), number=1, repeat=5))

    assert cost(pixels) < 400 * cost(pixels[:1])


def test_points_of_another_shape_are_refused():
    camera = lens("EuRoC MH cam0")
    assert camera.rays(np.zeros((0, 2))).shape == camera.undistort(np.zeros((0, 2))).shape == (0, 2)
    for method in (camera.rays, camera.project, camera.undistort):
        with pytest.raises(ValueError, match=r"shape \(N, 2\), not \(5, 3\)"):
            method(np.zeros((5, 3)))


def test_a_camera_cannot_be_changed():
    camera = Camera.pinhole(300, 300, 160, 120, 320, 240)
    with pytest.raises(AttributeError):
        camera.width = 640
    with pytest.raises(ValueError, match="read-only"):
        camera.matrix[0, 0] = 1


CALIBRATION = Calibration(
    640, 480, "plumb_bob", (-0.3, 0.1, 0.0, 0.0, 0.0),
    (500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0),
    (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0),
    (420.0, 0.0, 310.0, -50.4, 0.0, 420.0, 234.0, 0.0, 0.0, 0.0, 1.0, 0.0),
)  # fmt: skip


def test_the_image_at_hand_is_cut_and_then_binned():
    roi = RegionOfInterest(x_offset=40, y_offset=20, width=400, height=300)
    calibration = replace(CALIBRATION, binning_x=2, binning_y=4, roi=roi)
    camera = Camera.of_calibration(calibration)
    assert (camera.width, camera.height) == (200, 75)
    np.testing.assert_array_equal(camera.matrix, [[250, 0, 140], [0, 125, 55], [0, 0, 1]])
    rectified = Camera.of_calibration(calibration, rectified=True)
    np.testing.assert_array_equal(rectified.matrix, [[210, 0, 135], [0, 105, 53.5], [0, 0, 1]])
    assert rectified.is_pinhole
    assert rectified.calibration == camera.calibration == calibration


def test_a_camera_becomes_rectified():
    camera = Camera.of_calibration(CALIBRATION).as_rectified()
    assert (camera.matrix[0, 0], len(camera.distortion), camera.rectified) == (420, 0, True)
    plain = Camera(640, 480, np.diag([300.0, 300, 1]), [0.1, 0, 0, 0]).as_rectified()
    assert plain.matrix[0, 0] == 300
    assert plain.is_pinhole


def test_zeros_are_an_uncalibrated_camera():
    empty = replace(CALIBRATION, d=(), k=(0.0,) * 9, p=(0.0,) * 12)
    assert Camera.of_calibration(empty) is None
    assert Camera.of_calibration(empty, rectified=True) is None


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/left/image_rect", True),
        ("/left/image_rect_color/compressed", True),
        ("/infra1/image_rect_raw", True),
        ("/zed/left/color/rect/image", True),
        ("image_rectified", True),
        ("/left/image_raw", False),
        ("/rect_camera/image_raw", False),
        ("/direct/image", False),
        ("/camera/correct_image", False),
    ],
)
def test_topics_of_rectified_images(topic, expected):
    assert is_rectified_topic(topic) is expected
