# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs to train on: photographs and their views, labels, and sources mixed."""

import dataclasses
import functools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from training_runs import ShiftedPairs, ShiftedSpecification, shifted_pair, write_photos

from feature_booster_ros.evaluation.warped_photos import evaluate_warped_pairs, warped_pairs
from feature_booster_ros.features import create_extractor
from feature_booster_ros.photos import (
    ViewDistribution,
    change_light,
    find_photos,
    random_homography,
    read_photo,
    split_photos,
    warp_image,
    warp_points,
)
from feature_booster_ros.training.datasets.batches import collate, label_one_to_one, label_pairs
from feature_booster_ros.training.datasets.mixture import (
    MAX_DRAWS,
    PairMixture,
    has_correspondence,
    open_mixture,
    step_loader,
    thin,
)
from feature_booster_ros.training.datasets.pairs import ViewGroup, seen_through
from feature_booster_ros.training.datasets.photo_views import PhotoViews, ViewSettings
from feature_booster_ros.training.datasets.posed_view import PosedView
from feature_booster_ros.training.datasets.posed_views import PosedViewsWriter
from feature_booster_ros.training.datasets.sources import (
    DATA_KINDS,
    OpeningContext,
    open_pair_source,
    open_training,
    parse_specification,
)
from feature_booster_ros.training.losses import pairwise_distances
from feature_booster_ros.training.validation import score_pairs

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


def test_points_are_warped_as_the_image_is():
    rng = np.random.default_rng(3)
    image = np.zeros((300, 400), np.uint8)
    points = np.array([[100.0, 80], [300, 90], [200, 220]])
    for x, y in points.astype(int):
        cv2.circle(image, (x, y), 4, 255, -1)
    for _ in range(10):
        homography = random_homography(rng, image.shape, ViewDistribution())
        view, mask = warp_image(image, homography)
        for x, y in warp_points(points, homography):
            if 12 < x < 388 and 12 < y < 288 and mask[int(y), int(x)]:
                window = view[int(y) - 10 : int(y) + 11, int(x) - 10 : int(x) + 11].astype(float)
                if window.max() < 60:
                    continue
                dy, dx = np.mgrid[-10:11, -10:11]
                center = np.array([(dx * window).sum(), (dy * window).sum()]) / window.sum()
                np.testing.assert_allclose(center + [int(x), int(y)], [x, y], atol=0.8)


def test_a_point_behind_the_camera_has_no_image():
    homography = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1.0]])
    warped = warp_points(np.array([[50.0, 0], [150, 0]]), homography)
    assert np.isfinite(warped[0]).all() and np.isnan(warped[1]).all()


def test_light_changes_but_the_picture_stays():
    changed = change_light(np.random.default_rng(1), PHOTO)
    assert changed.shape == PHOTO.shape and changed.dtype == np.uint8
    assert np.abs(changed.astype(int) - PHOTO).mean() > 2
    assert np.corrcoef(changed.ravel(), PHOTO.ravel())[0, 1] > 0.8


def test_motion_blurs_and_moves_nothing():
    sharpness, shifts = [], []
    for seed in range(12):
        still = change_light(np.random.default_rng(seed), PHOTO)
        moving = change_light(np.random.default_rng(seed), PHOTO, motion_blur=1.0)
        still, moving = (
            cv2.GaussianBlur(i, (0, 0), 1.5).astype(np.float64) for i in (still, moving)
        )
        sharpness.append(cv2.Laplacian(moving, -1).var() / cv2.Laplacian(still, -1).var())
        shifts.append(cv2.phaseCorrelate(still, moving)[0])
    assert np.median(sharpness) < 0.8
    assert np.abs(shifts).max() < 0.2


def test_labels():
    nan = float("nan")
    positions = torch.tensor(
        [[[[10.0, 10], [50, 50], [nan, nan]]], [[[12.0, 10], [60, 50], [nan, nan]]]]
    )
    positive, negative = label_pairs(positions, positions)  # the two views are the same
    assert positive[0].int().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    # (50, 50) and (60, 50) are neither; what is padding is neither.
    assert negative[0].int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_the_zoom_of_a_homography_is_that_of_small_squares():
    rng = np.random.default_rng(0)
    homography = random_homography(rng, (240, 320), ViewDistribution(tilt=30.0))
    points = rng.uniform(40, 200, (20, 2))
    corners = [
        seen_through(points + shift, homography)[:, :2] for shift in ([0, 0], [1, 0], [0, 1])
    ]
    right, down = corners[1] - corners[0], corners[2] - corners[0]
    areas = np.abs(right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0])
    zooms = seen_through(points, homography)[:, 2]
    np.testing.assert_allclose(zooms, 0.5 * np.log2(areas), atol=0.02)
    assert np.ptp(zooms) > 0.1


def test_one_to_one_a_corner_on_several_levels_has_one_match():
    # The second view is twice as large, and finds the first corner on three levels.
    first = torch.tensor([[10.0, 10], [50, 50], [90, 50], [90, 90]])
    second = torch.tensor([[20.0, 20], [21, 20], [20, 20], [100, 100], [180, 104]])
    positions, seen_at = torch.full((2, 1, 5, 2), torch.nan), torch.full((2, 1, 5, 3), torch.nan)
    scales = torch.full((2, 1, 5), torch.nan)
    positions[0, 0, :4], positions[1, 0] = first, second
    seen_at[0, 0, :4, :2], seen_at[1, 0, :, :2] = 2 * first, second / 2
    seen_at[0, ..., 2], seen_at[1, ..., 2] = 1, -1
    scales[0, 0, :4] = torch.tensor([3.0, 3, 3, 3])
    scales[1, 0] = torch.tensor([4.2, 6, 12, 6, 6])
    positive, negative = label_one_to_one(positions, seen_at, scales)
    # The second level, though it lies a pixel off; (90, 50) is neither within 3 px nor beyond 5,
    # and so are the other levels.
    assert positive[0].nonzero().tolist() == [[0, 1], [1, 3]]
    assert not negative[0, 0, :3].any() and negative[0, 0, 3:].all()
    assert negative[0, :4].int().sum(1).tolist() == [2, 4, 4, 5]
    assert not negative[0, 4].any()  # padding


def test_every_two_views_of_a_draw_are_a_pair(photos, tmp_path):
    settings = ViewSettings("orb", views=5, features=150)
    paths = find_photos(photos)
    store = PhotoViews.open(paths, settings, tmp_path, views_per_draw=4)
    rng = np.random.default_rng(0)
    groups = [thin(store.draw(rng), 100, rng) for _ in range(2)]
    device = torch.device("cpu")
    batch = collate(groups, 4, device, one_to_one=True)
    assert batch.descriptors.shape[0] == 8 and batch.positive.shape[0] == 12
    assert batch.pairs[:, 6:].min() == 4
    assert batch.positive.sum(1).max() == batch.positive.sum(2).max() == 1
    # A pair in a group has the labels that it has alone.
    group = groups[1]
    for number, (views, both) in enumerate(zip(group.pairs, group.seen_at, strict=True), 6):
        sides = tuple(group.features[view] for view in views)
        alone = collate([ViewGroup(sides, group.shapes[:2], (both,))], 4, device, one_to_one=True)
        rows, columns = map(len, sides)
        found = batch.positive[number, :rows, :columns]
        assert torch.equal(found, alone.positive[0, :rows, :columns])
        assert found.any()


@pytest.mark.parametrize("detector", ["sift", "orb"])
def test_positives_have_similar_descriptors(photos, tmp_path, detector):
    settings = ViewSettings(detector, views=3, features=200)
    paths = find_photos(photos)
    store = PhotoViews.open(paths, settings, tmp_path)
    assert len(store) == len(paths) - 1  # without the broken one
    drawn = [store.draw(np.random.default_rng(seed)) for seed in range(8)]
    batch = collate(drawn, 4, torch.device("cpu"))
    assert batch.descriptors.shape[::2] == (16, 128 if detector == "sift" else 256)
    distances, _ = pairwise_distances(*batch.descriptors[batch.pairs], detector == "orb")
    assert batch.positive.sum() > 50
    assert not (batch.positive & batch.negative).any()
    # Not by more: ORB finds a corner on several levels, and one place may have two orientations.
    assert distances[batch.positive].mean() < 0.8 * distances[batch.negative].mean()


def test_a_store_is_opened_and_not_made_again(photos, tmp_path):
    settings = ViewSettings("orb", views=2, features=50)
    first = PhotoViews.open(find_photos(photos), settings, tmp_path)
    made = (next(tmp_path.iterdir()) / "complete").stat().st_mtime_ns
    again = PhotoViews.open(find_photos(photos), settings, tmp_path)
    assert (next(tmp_path.iterdir()) / "complete").stat().st_mtime_ns == made
    np.testing.assert_array_equal(first.descriptors, again.descriptors)
    PhotoViews.open(find_photos(photos), dataclasses.replace(settings, views=3), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_stored_sift_descriptors_are_the_extractors(photos, tmp_path):
    paths = find_photos(photos)[:2]
    store = PhotoViews.open(paths, ViewSettings("sift", views=2, features=100), tmp_path)
    image = cv2.imread(str(paths[0]), cv2.IMREAD_GRAYSCALE)
    scale = 480 / max(image.shape)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    features = create_extractor("sift", 100)(image)
    stored = store.descriptors[0, 0].astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    np.testing.assert_allclose(stored, features.descriptors, atol=2e-3)


def test_held_out_photos_are_not_trained_on():
    photos = [Path(str(number)) for number in range(25)]
    training, held_out = split_photos(photos, 10)
    assert [path.name for path in held_out] == ["0", "10", "20"]
    assert not set(training) & set(held_out) and len(training) == 22


# Sources, by what a run says


def test_a_source_is_written_on_the_command_line_and_in_yaml():
    written = parse_specification("photos:a, b/c=d,views=4,weight=0.5", DATA_KINDS)
    assert (written.path, written.views, written.weight) == ("a, b/c=d", 4, 0.5)
    assert parse_specification(written.to_dict(), DATA_KINDS) == written
    assert parse_specification(str(written), DATA_KINDS) == written
    assert written.label == "photos:c=d"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("photos", "written KIND:PATH"),
        ("photo:x", "no kind is called 'photo'; did you mean 'photos'"),
        ("photos:x,vews=3", "no option is called 'vews'; did you mean 'views'"),
        ("photos:x,views=many", "views must be of type int, not 'many'"),
        ("photos:x,views=1", "views must be at least 2, not 1"),
        ("photos:x,weight=0", "weight must be above 0"),
        ({"kind": "photos"}, "path is missing"),
        ({"path": "x"}, "must be a mapping with kind and path"),
        ("megadepth:x", "scene_list_path must be given"),
    ],
)
def test_a_source_that_is_wrong_is_named(source, text):
    with pytest.raises(ValueError, match=text):
        parse_specification(source, DATA_KINDS)


def test_photographs_are_opened_in_two_parts_that_share_none(photos, tmp_path):
    specification = parse_specification(
        f"photos:{photos},views=2,features=60,longest_side=200,holdout=5", DATA_KINDS
    )
    training, validation = open_pair_source(specification, OpeningContext("orb", tmp_path))
    # Of nine and the broken one, two are held out: 0.jpg and 5.jpg.
    assert len(training) == 7 and len(validation) == 2
    held_out = warped_pairs(find_photos(photos)[::5], create_extractor("orb", 1024))
    expected, score = evaluate_warped_pairs(held_out), score_pairs(validation.pairs)
    for name in ("features", "matches", "correct", "accuracy"):
        assert getattr(score, name) == pytest.approx(getattr(expected, name), abs=1e-3)


def test_features_of_another_detector_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="holds features of sift, and the model takes those of orb"
    ):
        open_training(ShiftedSpecification("a"), OpeningContext("orb", tmp_path))


def test_posed_views_are_opened_with_another_file_to_validate_on(tmp_path):
    camera_matrix = np.array([[100.0, 0, 100], [0, 100, 100], [0, 0, 1]])
    for name, seed in (("training", 0), ("validation", 1)):
        pair = shifted_pair(np.random.default_rng(seed))
        with PosedViewsWriter(tmp_path / f"{name}.h5", "sift") as writer:
            for side, features in zip("ab", pair.features, strict=True):
                pose = np.eye(4)
                pose[0, 3] = 0.0 if side == "a" else -1.0
                # At a depth of 5 a camera one to the left sees points 20 pixels further right.
                depths = np.full(len(features), 5.0, np.float32)
                view = PosedView(features, (240, 240), camera_matrix, pose, depths, None)
                writer.add("scene", side, view)
            writer.add_pairs("scene", [("a", "b")], None)
    written = f"posed:{tmp_path / 'training.h5'},validation={tmp_path / 'validation.h5'}"
    specification = parse_specification(written, DATA_KINDS)
    context = OpeningContext("sift", tmp_path)
    training, validation = open_pair_source(specification, context)
    pair = PairMixture([training], ["p"], [1], 0, 64).draw_step(1, range(1)).pairs[0]
    shifts = pair.seen_at[0][0][:, :2] - pair.features[0].keypoints
    assert np.allclose(shifts, [20, 0], atol=1e-3) or np.allclose(shifts, [-20, 0], atol=1e-3)
    assert score_pairs(validation.pairs).correct > 30
    assert not equal_pairs(training.draw(np.random.default_rng(1)), validation.pairs[0])
    alone = dataclasses.replace(specification, validation="")
    assert open_pair_source(alone, context)[1] is None


def test_megadepth_that_is_not_there_is_named(tmp_path):
    written = (
        f"megadepth:{tmp_path},scene_list_path={tmp_path / 'none.txt'},scene_info_path={tmp_path}"
    )
    with pytest.raises(FileNotFoundError, match="none.txt"):
        open_training(parse_specification(written, DATA_KINDS), OpeningContext("sift", tmp_path))


# The mixture


def equal_pairs(a, b) -> bool:
    return all(
        np.array_equal(x.keypoints, y.keypoints) and np.array_equal(x.descriptors, y.descriptors)
        for x, y in zip(a.features, b.features, strict=True)
    )


class FarPairs(ShiftedPairs):
    """Told apart from the others by the shift."""

    def draw(self, rng):
        return shifted_pair(rng, shift=70.0)


def test_a_pair_depends_on_seed_step_and_place_alone():
    def mixture(seed):
        return PairMixture([ShiftedPairs(), FarPairs()], "ab", [1, 3], seed, 16)

    whole = mixture(0).draw_step(3, range(6)).pairs
    part = mixture(0).draw_step(3, range(1, 6, 2)).pairs
    assert all(equal_pairs(a, b) for a, b in zip(whole[1::2], part, strict=True))
    assert all(len(features) == 16 for pair in whole for features in pair.features)
    assert not equal_pairs(whole[0], mixture(1).draw_step(3, range(1)).pairs[0])
    assert not equal_pairs(whole[0], mixture(0).draw_step(4, range(1)).pairs[0])
    many = mixture(0).draw_step(0, range(200)).pairs
    far = np.mean([(p.seen_at[0][0][:, :2] - p.features[0].keypoints)[0, 0] > 50 for p in many])
    assert 0.65 < far < 0.85


def test_worker_processes_draw_the_same_pairs(photos, tmp_path):
    specification = parse_specification(
        f"photos:{photos},views=2,features=60,longest_side=200", DATA_KINDS
    )
    opening = functools.partial(
        open_mixture, (specification,), OpeningContext("orb", tmp_path), 0, 32
    )
    here, there = (list(step_loader(opening, range(2, 5), range(2), workers=w)) for w in (0, 1))
    assert len(here) == len(there) == 3
    for a, b in zip(here, there, strict=True):
        assert all(equal_pairs(x, y) for x, y in zip(a.pairs, b.pairs, strict=True))


class EmptyPairs(ShiftedPairs):
    def __init__(self):
        self.draws = 0

    def draw(self, rng):
        self.draws += 1
        return None


def test_a_source_that_gives_nothing_is_named():
    empty = EmptyPairs()
    with pytest.raises(ValueError, match="nothing there: none of 100 pairs in a row can be used"):
        PairMixture([empty], ["nothing there"], [1], 0, 16).draw_step(1, range(1))
    assert empty.draws == MAX_DRAWS


def test_correspondences_are_the_labels():
    rng = np.random.default_rng(0)
    device = torch.device("cpu")
    for shift in (0.0, 2.5, 3.5, 30.0):
        pair = shifted_pair(rng, 100)
        there, back = (at + np.float32([0, shift, 0]) for at in pair.seen_at[0])
        pair = dataclasses.replace(pair, seen_at=((there, back),))
        batch = collate([pair], 4, device)
        assert has_correspondence(pair) == bool(batch.positive.any())
    nowhere = np.full_like(pair.seen_at[0][0], np.inf)
    far = dataclasses.replace(pair, seen_at=((nowhere, nowhere),))
    unknown = dataclasses.replace(pair, seen_at=((nowhere * np.nan, nowhere * np.nan),))
    assert not has_correspondence(far) and not has_correspondence(unknown)


def test_thinning_keeps_what_belongs_together():
    pair = thin(shifted_pair(np.random.default_rng(0)), 10, np.random.default_rng(1))
    assert [len(features) for features in pair.features] == [10, 10]
    np.testing.assert_allclose(
        pair.seen_at[0][0][:, :2] - pair.features[0].keypoints, [[20, 0]] * 10, atol=1e-4
    )
    np.testing.assert_allclose(
        pair.seen_at[0][1][:, :2] - pair.features[1].keypoints, [[-20, 0]] * 10, atol=1e-4
    )


def test_photographs_of_any_depth(tmp_path, caplog):
    image = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    for name, pixels in (("8.png", image), ("16.png", image.astype(np.uint16) * 17)):
        cv2.imwrite(str(tmp_path / name), pixels)
    cv2.imwrite(str(tmp_path / "float.tiff"), image.astype(np.float32) / 300)
    photos = {path.name: read_photo(path, 40) for path in find_photos(tmp_path)}
    for photo in photos.values():
        assert photo.dtype == np.uint8
        assert photo.shape == (30, 40)
        assert np.corrcoef(photo.ravel(), photos["8.png"].ravel())[0, 1] > 0.99
    (tmp_path / "cut.png").write_bytes((tmp_path / "8.png").read_bytes()[:-20])
    assert read_photo(tmp_path / "cut.png", 40) is None
    assert "cut.png cannot be read" in caplog.text
