# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT and ORB behind create_extractor, and the geometry handed to the network."""

import cv2
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.features import (
    Features,
    available_extractors,
    create_extractor,
    normalize_keypoints,
)
from feature_booster_ros.features.keypoints import keypoint_arrays, spread, strongest

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("name", ["sift", "orb"])
def test_features_have_the_documented_shapes_and_ranges(name):
    features = create_extractor(name, 500)(PHOTO)
    assert len(features) > 100
    assert features.keypoints.dtype == features.scales.dtype == features.angles.dtype == np.float32
    assert (features.keypoints >= 0).all() and (features.keypoints <= 511).all()
    assert (
        (features.angles >= 0).all()
        and (features.angles < 2 * np.pi).all()
        and np.ptp(features.angles) > 3
    )
    if name == "sift":
        assert features.descriptors.shape == (len(features), 128)
        np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    else:
        assert (
            features.descriptors.shape == (len(features), 32)
            and features.descriptors.dtype == np.uint8
        )
        assert features.scales.min() == 1.0


def test_keypoint_arrays_are_those_of_a_loop():
    keypoints = cv2.SIFT_create(300).detect(PHOTO, None)
    points, sizes, angles, responses = keypoint_arrays(keypoints)
    np.testing.assert_array_equal(points, np.float32([keypoint.pt for keypoint in keypoints]))
    np.testing.assert_array_equal(sizes, np.float32([keypoint.size for keypoint in keypoints]))
    np.testing.assert_array_equal(responses, np.float32([point.response for point in keypoints]))
    np.testing.assert_allclose(angles, [np.deg2rad(point.angle % 360) for point in keypoints])
    assert {array.dtype for array in (points, sizes, angles, responses)} == {np.dtype(np.float32)}
    assert [array.shape for array in keypoint_arrays(())] == [(0, 2), (0,), (0,), (0,)]


@pytest.mark.parametrize("name", ["sift", "orb"])
@pytest.mark.parametrize("grid", [None, (4, 4)])
@pytest.mark.parametrize("count", [1, 77, 300])
def test_the_cap_is_exact(name, grid, count):
    assert len(create_extractor(name, count, grid)(PHOTO)) == count


def test_the_strongest_are_kept():
    everything = create_extractor("sift", 10**6)(PHOTO)
    kept = create_extractor("sift", 100)(PHOTO)
    assert kept.scores.min() >= np.sort(everything.scores)[-100]


def test_with_a_grid_orbs_levels_get_features_by_their_area():
    features = create_extractor("orb", 500, (4, 4), fast_threshold=7)(PHOTO)
    counts = np.bincount(np.rint(np.log(features.scales) / np.log(1.2)).astype(int), minlength=8)
    areas = 1.2 ** (-2.0 * np.arange(8))
    assert np.abs(counts - 500 * areas / areas.sum()).max() <= 1


@pytest.mark.parametrize("name", ["sift", "orb"])
def test_the_grid_fills_more_cells_than_the_strongest_do(name):
    def occupied(features: Features) -> int:
        cells = (features.keypoints // 64).astype(int)
        return len({tuple(cell) for cell in cells})

    photo = PHOTO.copy()
    # One corner far more textured than the rest.
    photo[:128, :128] = np.random.default_rng(0).integers(0, 256, (128, 128))
    assert occupied(create_extractor(name, 200, (8, 8))(photo)) > occupied(
        create_extractor(name, 200)(photo)
    )


def test_spread_takes_the_best_of_each_cell_first():
    keypoints = np.array([[1, 1], [2, 2], [3, 3], [90, 90], [5, 90]], np.float32)
    scores = np.array([5, 9, 8, 1, 2], np.float32)
    assert spread(keypoints, scores, (100, 100), (2, 2), 4).tolist() == [1, 4, 3, 2]
    assert strongest(scores, 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize("name", ["sift", "orb"])
def test_the_mask_is_obeyed(name):
    mask = np.zeros(PHOTO.shape, bool)
    mask[100:300, 50:450] = True
    keypoints = create_extractor(name, 500)(PHOTO, mask).keypoints
    assert len(keypoints) > 20
    assert (keypoints[:, 0] > 48).all() and (keypoints[:, 0] < 451).all()
    assert (keypoints[:, 1] > 98).all() and (keypoints[:, 1] < 301).all()


@pytest.mark.parametrize("first_octave", [-1, 0])
@pytest.mark.parametrize("sigma", [3.0, 6.0])
def test_sift_is_centered_on_a_blob_and_knows_its_size(first_octave, sigma):
    center = np.array([103.3, 96.8])
    y, x = np.mgrid[:201, :211]
    blob = 100 + 120 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * sigma**2))
    features = create_extractor("sift", 1, first_octave=first_octave)(blob.round().astype(np.uint8))
    np.testing.assert_allclose(features.keypoints[0], center, atol=0.1)
    assert 0.75 < features.scales[0] / sigma < 1.1


def test_first_octave_0_finds_what_minus_1_finds_above_the_smallest_scales():
    full = create_extractor("sift", 10**6)(PHOTO)
    half = create_extractor("sift", 10**6, first_octave=0)(PHOTO)
    large = full.select(full.scales > 3.2)
    distance = np.linalg.norm(large.keypoints[:, None] - half.keypoints[None], axis=2)
    nearest = distance.argmin(1)
    found = distance.min(1) < 1.0
    assert found.mean() > 0.7
    similarity = (large.descriptors * half.descriptors[nearest]).sum(1)[found]
    assert np.median(similarity) > 0.95
    assert len(half) < len(full)


@pytest.mark.parametrize(
    ("name", "options", "more"),
    [
        ("sift", {"contrast_threshold": 0.08}, False),
        ("sift", {"edge_threshold": 3.0}, False),
        ("sift", {"octave_layers": 5}, True),
        ("orb", {"fast_threshold": 60}, False),
        ("orb", {"levels": 1}, False),
    ],
)
def test_options_reach_the_detector(name, options, more):
    plain = len(create_extractor(name, 10**5)(PHOTO))
    changed = len(create_extractor(name, 10**5, **options)(PHOTO))
    assert (changed > plain) if more else (changed < plain)


def test_orb_scale_factor_sets_the_scales():
    scales = create_extractor("orb", 2000, scale_factor=1.5, levels=4)(PHOTO).scales
    np.testing.assert_allclose(np.unique(scales.round(3)), [1, 1.5, 2.25, 3.375], atol=1e-3)


@pytest.mark.parametrize("name", ["sift", "orb"])
@pytest.mark.parametrize("shape", [(480, 640), (40, 40), (5, 7), (1, 1)])
def test_an_image_of_one_color_has_no_features(name, shape):
    for first_octave in (-1, 0) if name == "sift" else (None,):
        options = {} if first_octave is None else {"first_octave": first_octave}
        features = create_extractor(name, 100, **options)(np.full(shape, 128, np.uint8))
        assert len(features) == 0
        assert features.descriptor_length == (128 if name == "sift" else 256)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((4, 4, 3), np.uint8), "gray"),
        (np.zeros((4, 4), np.float32), "uint8, not float32"),
        (np.zeros((0, 4), np.uint8), "empty"),
        (None, "cv2.imread returns None"),
    ],
)
def test_a_wrong_image_is_refused(image, text):
    with pytest.raises(ValueError, match=text):
        create_extractor("sift")(image)


def test_a_wrong_mask_is_refused():
    with pytest.raises(ValueError, match="mask must be"):
        create_extractor("orb")(PHOTO, np.ones((3, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("surf", {}, "no extractor is called 'surf'; there are .*orb.*sift"),
        ("sift", {"max_features": 0}, "max_features must be at least 1"),
        ("sift", {"first_octave": 1}, "first_octave must be at least -1 and at most 0"),
        ("sift", {"levels": 3}, "levels"),
        ("sift", {"contrast_threshold": float("nan")}, "contrast_threshold"),
        ("orb", {"scale_factor": 1.0}, "scale_factor"),
        ("orb", {"grid": (0, 2)}, "grid rows"),
    ],
)
def test_a_wrong_option_is_named(name, options, text):
    with pytest.raises(ValueError, match=text):
        create_extractor(name, **options)


def test_the_names_are_known():
    assert {"orb", "sift"} <= set(available_extractors())
    assert create_extractor("SIFT").name == "sift"


def test_normalization_by_size_and_by_intrinsics():
    features = create_extractor("sift", 50)(PHOTO)
    by_size = normalize_keypoints(features, (600, 512))
    np.testing.assert_allclose(
        by_size[:, 0], (features.keypoints[:, 0] - 256) / (0.7 * 600), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        by_size[:, 1], (features.keypoints[:, 1] - 300) / (0.7 * 600), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(by_size[:, 2], features.scales)
    np.testing.assert_array_equal(by_size[:, 3], features.angles)
    matrix = np.array([[400, 0, 250], [0, 500, 260], [0, 0, 1]])
    by_matrix = normalize_keypoints(features, PHOTO.shape, matrix)
    np.testing.assert_allclose(
        by_matrix[:, 1], (features.keypoints[:, 1] - 260) / 500, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_wrong_intrinsics_are_refused(value):
    matrix = np.diag([value, 500, 1])
    with pytest.raises(ValueError, match="camera matrix must"):
        normalize_keypoints(Features.empty(128, False), (480, 640), matrix)


def test_arrays_that_disagree_are_refused():
    features = create_extractor("sift", 10)(PHOTO)
    with pytest.raises(ValueError, match=r"scales must have shape \(10,\)"):
        Features(
            features.keypoints,
            features.scales[:3],
            features.angles,
            features.scores,
            features.descriptors,
        )
    with pytest.raises(ValueError, match="descriptors must be float32"):
        Features(
            features.keypoints,
            features.scales,
            features.angles,
            features.scores,
            features.descriptors.astype(np.float64),
        )


@pytest.mark.parametrize("first_octave", [-1, 0])
def test_sift_gpu_gives_the_features_of_sift(first_octave):
    """By COLMAP's CPU implementation, which has the GPU's conventions."""
    ours = create_extractor("sift_gpu", 10**4, device="cpu", first_octave=first_octave)(PHOTO)
    opencv = create_extractor("sift", 10**4, first_octave=first_octave)(PHOTO)
    assert ours.descriptors.shape == (len(ours), 128) and len(ours) > 0.5 * len(opencv)
    np.testing.assert_allclose(np.linalg.norm(ours.descriptors, axis=1), 1, atol=1e-5)
    distance = np.linalg.norm(ours.keypoints[:, None] - opencv.keypoints[None], axis=2)
    turn = np.abs(ours.angles[:, None] - opencv.angles[None])
    distance += 10 * np.minimum(turn, 2 * np.pi - turn)
    nearest, same = distance.argmin(1), distance.min(1) < 1.5
    assert same.mean() > 0.4
    offset = ours.keypoints[same] - opencv.keypoints[nearest[same]]
    np.testing.assert_allclose(np.median(offset, axis=0), 0, atol=0.05)
    scales = ours.scales[same] / opencv.scales[nearest[same]]
    assert abs(np.median(scales) - 1) < 0.02
    cosines = (ours.descriptors[same] * opencv.descriptors[nearest[same]]).sum(1)
    assert np.median(cosines) > 0.98


def test_sift_gpu_obeys_mask_cap_and_one_color():
    extractor = create_extractor("sift_gpu", 100, device="cpu", first_octave=0)
    mask = np.zeros(PHOTO.shape, bool)
    mask[100:300, 50:450] = True
    features = extractor(PHOTO, mask)
    assert 10 < len(features) <= 100
    assert (features.keypoints[:, 0] > 49).all() and (features.keypoints[:, 0] < 450).all()
    for shape in ((480, 640), (5, 7), (1, 1)):
        assert len(extractor(np.full(shape, 128, np.uint8))) == 0


def test_sift_gpu_names_what_is_missing(monkeypatch):
    monkeypatch.setattr("pycolmap.has_cuda", False)
    with pytest.raises(ValueError, match="pip install pycolmap-cuda12"):
        create_extractor("sift_gpu")
    with pytest.raises(ValueError, match="device must be cuda or cpu"):
        create_extractor("sift_gpu", device="tpu")
