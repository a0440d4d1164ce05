# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an odometry meets in a day: hours of frames, a standstill, a turn on the spot, black images
in the middle of a drive, and another place.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from evo.core import geometry

from feature_booster_ros.evaluation.trajectories import trajectory_error
from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.odometry import (
    EXTRACTOR_OPTIONS,
    OdometrySettings,
    State,
    VisualOdometry,
)
from feature_booster_ros.rendering.camera_paths import CameraPath, Waypoint
from feature_booster_ros.rendering.sequence import RenderedSequence

FEATURES = 400
TURN_FROM = 10
"""Frame of the walk at which the camera stands, and begins to turn."""
TURN_FRAMES = 20


@pytest.fixture(scope="module")
def drive():
    """A drive along a rendered hall, with few features a frame."""
    extractor = create_extractor("sift", max_features=FEATURES)
    path = CameraPath([Waypoint(0.0, (-0.5, 0.0, 0.0)), Waypoint(2.4, (0.5, 0.0, 9.6))])
    sequence = RenderedSequence(seed=1, frames=24, width=960, height=720, rate=10, path=path)
    return [(frame, extractor(frame.image)) for frame in sequence]


@pytest.fixture(scope="module")
def turning():
    """A step aside in another rendered hall, then a turn by 60 degrees on the spot."""
    extractor = create_extractor("sift", max_features=800)
    stands = TURN_FROM / 10
    turned = stands + TURN_FRAMES / 10
    path = CameraPath(
        [
            Waypoint(0.0, (-0.6, 0.0, 0.0)),
            Waypoint(stands, (0.4, 0.0, 0.2)),
            Waypoint(stands + 1e-3, (0.4, 0.0, 0.2)),
            Waypoint(turned, (0.4, 0.0, 0.2), yaw=60),
            Waypoint(turned + 1.0, (0.4, 0.0, 0.2), yaw=60),
        ]
    )
    sequence = RenderedSequence(
        frames=TURN_FROM + TURN_FRAMES + 1, width=480, height=360, rate=10, path=path
    )
    return [(frame, extractor(frame.image)) for frame in sequence]


def resident_megabytes() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def median_depth(odometry, estimate) -> float:
    """Of the landmarks ahead of the camera."""
    centered = odometry.landmarks().positions - estimate.pose[:3, 3]
    depths = centered @ estimate.pose[:3, 2]
    return float(np.median(depths[depths > 0]))


def degrees_between(a, b) -> float:
    """Angle between two rotations (3, 3)."""
    return float(np.degrees(np.linalg.norm(cv2.Rodrigues(a.T @ b)[0])))


def nothing() -> Features:
    return Features.empty(128, binary=False)


def strongest(features: Features, count: int) -> Features:
    return features.select(np.argsort(-features.scores, kind="stable")[:count])


def moved(features, rng, sigma) -> Features:
    """The features with noise of so many pixels on their keypoints."""
    noise = rng.normal(0, sigma, features.keypoints.shape).astype(np.float32)
    return Features(
        features.keypoints + noise, features.scales, features.angles, features.scores,
        features.descriptors,
    )  # fmt: skip


@dataclass(frozen=True)
class LongDrive:
    """What became of a long drive, and memory in use after 1,500 frames and at its end."""

    tracked: list[bool]
    keyframes: list[bool]
    landmarks: list[int]
    most_observations: int
    map_number: int
    trajectory_length: int
    megabytes: list[float]


def drive_to_and_fro(features: list[Features], camera_matrix: np.ndarray) -> LongDrive:
    """5,000 frames."""
    settings = OdometrySettings(
        max_keyframes=6, window=2, keyframe_baseline=0.25, keyframe_share=0.6,
        trajectory_length=200,
    )  # fmt: skip
    odometry = VisualOdometry(camera_matrix, settings=settings)
    there_and_back = features + features[-2:0:-1]
    tracked, keyframes, landmarks, megabytes = [], [], [], []
    for number in range(5000):
        estimate = odometry.track(there_and_back[number % len(there_and_back)], 0.1 * number)
        tracked.append(estimate.state is State.TRACKING)
        keyframes.append(estimate.is_keyframe)
        landmarks.append(len(odometry.landmarks()))
        if number in (1499, 4999):
            megabytes.append(resident_megabytes())
    return LongDrive(
        tracked,
        keyframes,
        landmarks,
        int(odometry.landmarks().observations.max()),
        estimate.map_number,
        len(odometry.trajectory()),
        megabytes,
    )


@pytest.mark.timeout(900)  # a minute on an idle machine
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux, which has /proc")
def test_five_thousand_frames_take_no_more_memory_than_fifteen_hundred(drive):
    """To and fro on twelve frames of a drive, each of few features, for speed."""
    features = [strongest(features, 180) for _, features in drive[:12]]
    # A process of its own: what other tests left in this one's memory would come and go meanwhile.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        found = process.submit(drive_to_and_fro, features, drive[0][0].camera.matrix).result()
    assert found.megabytes[1] - found.megabytes[0] < 8
    assert np.mean(found.tracked) > 0.99 and found.map_number == 0
    assert sum(found.keyframes) > 500  # else there was nothing to forget
    assert found.trajectory_length == 200
    assert found.most_observations <= 6
    assert max(found.landmarks[1500:]) <= 1.2 * max(found.landmarks[:1500])


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_standstill_is_tracked_and_adds_nothing(drive, noise):
    rng = np.random.default_rng(0)
    odometry = VisualOdometry(drive[0][0].camera.matrix)
    for frame, features in drive[:12]:
        before = odometry.track(features, frame.stamp)
    assert before.state is State.TRACKING
    depth, last = median_depth(odometry, before), drive[11]
    landmarks = len(odometry.landmarks())
    still = [
        odometry.track(moved(last[1], rng, noise), last[0].stamp + 0.1 * number)
        for number in range(1, 101)
    ]
    assert all(estimate.state is State.TRACKING for estimate in still)
    assert all(estimate.map_number == 0 for estimate in still)
    assert sum(estimate.is_keyframe for estimate in still) <= 1
    assert len(odometry.landmarks()) < 1.2 * landmarks
    places = np.array([estimate.pose[:3, 3] for estimate in still])
    assert np.linalg.norm(places - before.pose[:3, 3], axis=1).max() < 0.005 * depth


def test_a_turn_on_the_spot_keeps_the_map_and_the_place(turning):
    odometry = VisualOdometry(turning[0][0].camera.matrix)
    estimates = [odometry.track(features, frame.stamp) for frame, features in turning]
    stood = estimates[TURN_FROM]
    assert stood.state is State.TRACKING
    depth = median_depth(odometry, stood)
    start = turning[TURN_FROM][0].pose
    assert degrees_between(start[:3, :3], turning[-1][0].pose[:3, :3]) > 55
    for (frame, _), estimate in zip(turning[TURN_FROM:], estimates[TURN_FROM:], strict=True):
        assert estimate.pose is not None and estimate.map_number == 0, estimate.reason
        turned = stood.pose[:3, :3].T @ estimate.pose[:3, :3]
        truly = start[:3, :3].T @ frame.pose[:3, :3]
        assert degrees_between(turned, truly) < 0.3
        assert np.linalg.norm(estimate.pose[:3, 3] - stood.pose[:3, 3]) < 0.01 * depth


def test_black_images_in_the_middle_of_a_drive(drive):
    """30 of them while the camera waits; then it drives on, in the map that it had."""
    odometry = VisualOdometry(drive[0][0].camera.matrix)
    for frame, features in drive[:12]:
        before = odometry.track(features, frame.stamp)
    black = [odometry.track(nothing(), before.stamp + 0.1 * n) for n in range(1, 31)]
    assert all(estimate.state is State.LOST and estimate.pose is None for estimate in black)
    assert all(estimate.reason for estimate in black)
    after = [odometry.track(features, frame.stamp + 3.1) for frame, features in drive[12:]]
    assert after[0].reason == "relocalized"
    assert all(estimate.state is State.TRACKING for estimate in after)
    assert after[-1].map_number == 0
    truth = [(frame.stamp + 3.1 * (number >= 12), frame.pose)
             for number, (frame, _) in enumerate(drive)]  # fmt: skip
    assert trajectory_error(odometry.trajectory(), truth).ate_share < 1.0


def test_another_place_is_said_to_be_lost_before_a_new_map(drive, turning):
    """Into another rendered hall, whose camera is another one."""
    odometry = VisualOdometry(drive[0][0].camera.matrix)
    for frame, features in drive[:12]:
        before = odometry.track(features, frame.stamp)
    odometry.set_camera(turning[0][0].camera.matrix)
    aside = turning[:TURN_FROM]
    aside = aside + aside[-2:0:-1] + aside  # long enough for OdometrySettings.restart_after
    swapped = [
        odometry.track(features, before.stamp + 0.1 * number)
        for number, (_, features) in enumerate(aside, 1)
    ]
    patience = odometry.settings.restart_after
    assert all(estimate.state is State.LOST for estimate in swapped[:patience])
    assert all(estimate.pose is None and estimate.reason for estimate in swapped[:patience])
    assert [estimate.reason for estimate in swapped].count("new map") == 1
    begun = [estimate.map_number for estimate in swapped].index(1)
    assert all(estimate.state is State.TRACKING for estimate in swapped[begun:])
    assert np.trace(swapped[begun].covariance) > np.trace(before.covariance)


def test_a_turn_too_fast_for_the_scale_is_said_to_begin_another_map():
    """By 27 degrees from image to image, of which ORB finds about 20 corners three times."""
    frames = list(RenderedSequence(frames=60))[:30]
    extractor = create_extractor("orb", max_features=1000, **EXTRACTOR_OPTIONS["orb"])
    odometry = VisualOdometry(frames[0].camera.matrix)
    estimates = [odometry.track(extractor(frame.image), frame.stamp) for frame in frames]
    begun = [estimate.map_number for estimate in estimates].index(1)
    assert "scale" in estimates[begun].reason or estimates[begun].reason == "new map"
    known = [
        (e, frame.pose)
        for e, frame in zip(estimates, frames, strict=True)
        if e.covariance is not None
    ]
    positions = np.array([estimate.pose[:3, 3] for estimate, _ in known])
    truth = np.array([pose[:3, 3] for _, pose in known])
    before = sum(estimate.map_number == 0 for estimate, _ in known)
    rotation, translation, scale = geometry.umeyama_alignment(
        positions[:before].T, truth[:before].T, True
    )
    errors = np.linalg.norm(scale * positions @ rotation.T + translation - truth, axis=1)
    sigmas = scale * np.sqrt([np.trace(estimate.covariance[:3, :3]) for estimate, _ in known])
    assert (errors[before:] < 3 * sigmas[before:]).all()
    # Without another map it would still be as sure as before.
    assert sigmas[-1] > 3 * sigmas[before - 1]
