# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The odometry on a drive, and on what may go wrong."""

import cv2
import numpy as np
import pytest
from records import shared

from feature_booster_ros.evaluation.trajectories import path_length, trajectory_error
from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.odometry import OdometrySettings, State, VisualOdometry
from feature_booster_ros.odometry.ground_plane import camera_height
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.sources import open_source

FRAMES = 12


@pytest.fixture(scope="module")
def flight():
    """Frames of the rendered sequence, with their features."""
    extractor = create_extractor("sift", max_features=1000)
    return [(frame, extractor(frame.image)) for frame in RenderedSequence(frames=60, rate=10)][
        :FRAMES
    ]


@pytest.fixture(scope="module")
def drive():
    """KITTI's frames, with their features."""
    extractor = create_extractor("sift", max_features=1000)
    with open_source(shared("sequences/kitti_a")) as source:
        return [(frame, extractor(frame.image)) for frame in source]


def follow(frames, **settings):
    odometry = VisualOdometry(frames[0][0].camera.matrix, settings=OdometrySettings(**settings))
    return odometry, [odometry.track(features, frame.stamp) for frame, features in frames]


def score(odometry, frames):
    return trajectory_error(
        odometry.trajectory(), [(frame.stamp, frame.pose) for frame, _ in frames]
    )


def test_it_follows_the_rendered_flight(flight):
    odometry, estimates = follow(flight)
    # Before there is a map, a pose is given only if the camera did nothing but turn.
    states = [estimate.state for estimate in estimates]
    begun = states.index(State.TRACKING)
    assert begun <= 5 and set(states[begun:]) == {State.TRACKING}
    assert all(estimate.pose is not None for estimate in estimates[begun:])
    assert estimates[-1].map_number == 0
    assert score(odometry, flight).ate_share < 1.0
    assert len(odometry.landmarks()) > 200
    assert odometry.landmarks().observations.min() >= 2


def test_the_frames_before_the_map_get_their_poses_with_it(flight):
    odometry, estimates = follow(flight)
    begun = next(number for number, each in enumerate(estimates) if each.is_keyframe)
    stamps = [stamp for stamp, _ in odometry.trajectory()]
    assert begun >= 2 and stamps == [frame.stamp for frame, _ in flight]
    steps = np.diff([pose[:3, 3] for _, pose in odometry.trajectory()[: begun + 1]], axis=0)
    true = np.diff([frame.pose[:3, 3] for frame, _ in flight[: begun + 1]], axis=0)
    ratios = np.linalg.norm(steps, axis=1) / np.linalg.norm(true, axis=1)
    assert np.allclose(ratios, np.median(ratios), rtol=0.2)


def test_many_frames_before_the_map_get_their_poses_too(flight):
    """The camera hovers for 40 frames, and then flies."""
    still = [(flight[0][0], flight[0][1])] * 40
    odometry = VisualOdometry(flight[0][0].camera.matrix)
    for number, (_, features) in enumerate(still + flight):
        odometry.track(features, 0.1 * number)
    trajectory = odometry.trajectory()
    assert [stamp for stamp, _ in trajectory] == [0.1 * number for number in range(52)]
    positions = np.array([pose[:3, 3] for _, pose in trajectory])
    truth = np.array([frame.pose[:3, 3] for frame, _ in still + flight])
    steps = np.linalg.norm(np.diff(positions[40:], axis=0), axis=1)
    ratio = np.median(steps / np.linalg.norm(np.diff(truth[40:], axis=0), axis=1))
    # Interpolated between every fifth frame, the begin of the motion is rounded.
    assert np.abs(positions[:36]).max() < 0.1 * steps[0]
    away = np.linalg.norm(positions - positions[0], axis=1)
    expected = ratio * np.linalg.norm(truth - truth[0], axis=1)
    assert np.allclose(away, expected, atol=3 * steps.max())


def test_it_follows_a_drive(drive):
    odometry, estimates = follow(drive)
    assert all(estimate.pose is not None for estimate in estimates)
    assert estimates[-1].map_number == 0
    error = score(odometry, drive)
    assert error.ate_share < 0.2
    assert error.rpe_rotation < 0.15
    for estimate in estimates[1:]:
        values = np.linalg.eigvalsh(estimate.covariance)
        assert values.min() > -1e-9 and np.isfinite(values).all()
    # The longer the way, the less is known of the place.
    assert np.trace(estimates[-1].covariance) > np.trace(estimates[5].covariance)


def test_one_frame_of_four_is_enough(drive):
    odometry, estimates = follow(drive[::4])
    assert all(estimate.pose is not None for estimate in estimates)
    assert score(odometry, drive).ate_share < 0.5


def test_a_zoom_is_told_by_the_intrinsics(flight):
    """Rays stay the same if the keypoints and the intrinsics scale together."""
    plain, _ = follow(flight)
    matrix = flight[0][0].camera.matrix
    odometry = VisualOdometry(matrix)
    zoom = np.diag([2.0, 2.0, 1.0]) @ matrix
    for number, (frame, features) in enumerate(flight):
        if number >= FRAMES // 2:
            odometry.set_camera(zoom)
            features = Features(
                2 * features.keypoints, features.scales, features.angles, features.scores,
                features.descriptors,
            )  # fmt: skip
        estimate = odometry.track(features, frame.stamp)
    assert estimate.state is State.TRACKING and estimate.map_number == 0
    truth = [(frame.stamp, frame.pose) for frame, _ in flight]
    # A pixel is worth less now, so the keypoints count as more exact; that is all that differs.
    limit = 3 * trajectory_error(plain.trajectory(), truth).ate + 0.01
    assert trajectory_error(odometry.trajectory(), truth).ate < limit


def test_a_turn_on_the_spot_is_followed_without_a_map(flight):
    """Warped by a homography a photograph is what a turning camera sees."""
    frame, _ = flight[0]
    matrix, extractor = frame.camera.matrix, create_extractor("sift", max_features=1000)
    odometry = VisualOdometry(matrix)
    for number in range(6):
        turn = cv2.Rodrigues(np.array([0.0, np.radians(3.0) * number, 0.0]))[0]
        warp = matrix @ turn.T @ np.linalg.inv(matrix)
        image = cv2.warpPerspective(frame.image, warp, frame.image.shape[1::-1])
        estimate = odometry.track(extractor(image), 0.1 * number)
        assert estimate.state is State.INITIALIZING
        off = cv2.Rodrigues(estimate.pose[:3, :3].T @ turn)[0]
        assert np.degrees(np.linalg.norm(off)) < 0.3
        assert np.allclose(estimate.pose[:3, 3], 0)
    assert "parallax" in estimate.reason or "fit one motion" in estimate.reason


def test_bad_frames_are_refused_and_change_nothing(flight):
    odometry, _ = follow(flight[:5])
    before = odometry.trajectory()
    for stamp in (flight[4][0].stamp, flight[2][0].stamp):
        with pytest.raises(ValueError, match="is not after the last frame's"):
            odometry.track(flight[4][1], stamp)
    with pytest.raises(ValueError, match=r"must be of one kind.*or reset\(\)"):
        odometry.track(Features.empty(256, binary=True), flight[5][0].stamp)
    assert len(odometry.trajectory()) == len(before)
    assert odometry.track(flight[5][1], flight[5][0].stamp).state is State.TRACKING


def test_reset_begins_at_the_origin(flight):
    odometry, _ = follow(flight)
    odometry.reset()
    assert odometry.trajectory() == [] and len(odometry.landmarks()) == 0
    assert np.array_equal(odometry.track(flight[3][1], 0.0).pose, np.eye(4))


def test_initial_scale_is_the_depth_of_the_first_landmarks(flight):
    """Twice the depth makes the same way twice as long."""
    ways = [
        path_length(follow(flight, initial_scale=scale)[0].trajectory()) for scale in (1.0, 2.0)
    ]
    assert ways[1] == pytest.approx(2 * ways[0], rel=0.02)


def test_the_cameras_height_brings_the_drive_to_meters(drive):
    """KITTI's camera is 1.65 m above the road. Twice the height is twice the map, and twice its
    standard deviation.
    """
    runs = [follow(drive[:30], camera_height=height) for height in (1.65, 3.3)]
    ways = [path_length(odometry.trajectory()[20:]) for odometry, _ in runs]
    truth = path_length([(frame.stamp, frame.pose) for frame, _ in drive[20:30]])
    assert ways[0] == pytest.approx(truth, rel=0.15)
    assert ways[1] == pytest.approx(2 * ways[0], rel=0.01)
    deviations = [np.sqrt(np.trace(estimates[-1].covariance[:3, :3])) for _, estimates in runs]
    assert deviations[1] == pytest.approx(2 * deviations[0], rel=0.05)


def test_camera_height_is_that_above_the_ground():
    rng = np.random.default_rng(0)
    ground = np.stack(
        [rng.uniform(-5, 5, 200), np.full(200, 1.65), rng.uniform(4, 25, 200)], axis=1
    )
    ground[:, 1] += rng.normal(0, 0.01, 200) + 0.03 * ground[:, 2]  # a slight slope
    walls = rng.uniform([-8, -3, 5], [8, 1.5, 40], (300, 3))
    slope = np.arctan(0.03)
    found = camera_height(np.concatenate([ground, walls]))
    assert found == pytest.approx(1.65 * np.cos(slope), rel=0.02)
    assert camera_height(walls[:10]) is None
    assert camera_height(walls * [1, -1, 1]) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial_scale": 0.0}, "initial_scale must be above 0"),
        ({"camera_height": -1.0}, "camera_height must be above 0"),
        ({"window": 1}, "window must be at least 2"),
        ({"window": 50}, "window must not exceed max_keyframes"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        OdometrySettings(**settings)
