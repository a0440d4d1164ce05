# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The odometry while keyframes are mapped in an executor."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from feature_booster_ros.evaluation.trajectories import trajectory_error
from feature_booster_ros.features import create_extractor
from feature_booster_ros.odometry import OdometrySettings, State, VisualOdometry
from feature_booster_ros.rendering.camera_paths import CameraPath, Waypoint
from feature_booster_ros.rendering.sequence import RenderedSequence


@pytest.fixture(scope="module")
def drive():
    """Frames through the rendered hall, fast enough that each is a keyframe, and their features."""
    extractor = create_extractor("sift", max_features=1000)
    path = CameraPath([Waypoint(0.0, (-0.5, 0.0, 0.0)), Waypoint(1.4, (0.5, 0.0, 5.6))])
    sequence = RenderedSequence(frames=14, rate=10, path=path)
    return [(frame, extractor(frame.image)) for frame in sequence]


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def gate(executor):
    """An event that the executor waits for before it maps what is handed over afterwards."""
    event = threading.Event()
    yield event
    event.set()


def begin(drive, executor, **settings):
    camera = drive[0][0].camera
    return VisualOdometry(camera.matrix, settings=OdometrySettings(**settings), executor=executor)


def track(odometry, drive):
    return [odometry.track(features, frame.stamp) for frame, features in drive]


def track_mapped(odometry, drive):
    """Track frames, each with all keyframes before it in the map."""
    estimates = []
    for frame, features in drive:
        estimates.append(odometry.track(features, frame.stamp))
        odometry.finish_mapping()
    return estimates


def score(odometry, drive):
    return trajectory_error(
        odometry.trajectory(), [(frame.stamp, frame.pose) for frame, _ in drive]
    )


@pytest.mark.parametrize("camera_height", [None, 1.6])
def test_mapped_in_time_the_trajectory_is_that_without_an_executor(drive, executor, camera_height):
    waited = begin(drive, executor, camera_height=camera_height)
    estimates = track_mapped(waited, drive)
    alone = begin(drive, None, camera_height=camera_height)
    expected = track(alone, drive)
    assert [each.is_keyframe for each in estimates] == [each.is_keyframe for each in expected]
    for (_, pose), (_, other) in zip(waited.trajectory(), alone.trajectory(), strict=True):
        assert np.allclose(pose, other, atol=1e-6)
    # Taken up after the frame, its correction is in the trajectory and not in the estimate.
    assert not np.allclose(estimates[-1].pose, expected[-1].pose, atol=1e-6)


def test_frames_are_tracked_while_a_keyframe_waits(drive, executor, gate):
    odometry = begin(drive, executor)
    track_mapped(odometry, drive[:6])
    executor.submit(gate.wait)
    landmarks = len(odometry.landmarks())
    estimates = track(odometry, drive[6:9])
    assert all(each.state is State.TRACKING for each in estimates)
    assert [each.is_keyframe for each in estimates] == [True] + 2 * [False]
    assert len(odometry.landmarks()) == landmarks
    before = odometry.trajectory()
    gate.set()
    odometry.finish_mapping()
    assert len(odometry.landmarks()) != landmarks
    # The frames since the keyframe move with it.
    after = odometry.trajectory()
    assert not np.allclose(after[6][1], before[6][1], atol=1e-6)
    for (_, pose), (_, moved) in zip(before[6:], after[6:], strict=True):
        assert np.allclose(
            np.linalg.solve(before[6][1], pose), np.linalg.solve(after[6][1], moved), atol=1e-9
        )
    [following] = track(odometry, drive[9:10])
    assert following.is_keyframe and following.mapping_seconds > 0
    track_mapped(odometry, drive[10:])
    assert score(odometry, drive).ate_share < 0.3


class FallibleExecutor(ThreadPoolExecutor):
    """Runs functions in a thread, or has them fail."""

    fails = False

    def submit(self, function, *args):
        return super().submit(self.fail if self.fails else function, *args)

    def fail(self, *args):
        raise MemoryError("of the mapping")


def test_a_failure_of_the_mapping_is_raised_once_and_the_map_stays(drive):
    with FallibleExecutor(1) as executor:
        odometry = begin(drive, executor)
        track_mapped(odometry, drive[:6])
        landmarks = len(odometry.landmarks())
        executor.fails = True
        assert track(odometry, drive[6:7])[0].is_keyframe
        executor.fails = False
        executor.submit(int).result()
        with pytest.raises(MemoryError, match="of the mapping"):
            track(odometry, drive[7:8])
        assert len(odometry.landmarks()) == landmarks
        estimates = track_mapped(odometry, drive[7:12])
    assert all(each.state is State.TRACKING for each in estimates)
    assert score(odometry, drive).ate_share < 0.3


def test_a_frame_that_sees_little_of_the_map_waits_for_the_mapping(drive, executor, gate):
    odometry = begin(drive, executor)
    track_mapped(odometry, drive[:6])
    executor.submit(gate.wait)
    assert track(odometry, drive[6:7])[0].is_keyframe
    opening = threading.Timer(0.5, gate.set)
    opening.start()
    few = drive[7][1].select(slice(80))
    estimate = odometry.track(few, drive[7][0].stamp)
    opening.join()
    assert estimate.mapping_seconds > 0


def test_reset_drops_what_is_being_mapped(drive, executor, gate):
    odometry = begin(drive, executor)
    track_mapped(odometry, drive[:6])
    executor.submit(gate.wait)
    track(odometry, drive[6:7])
    odometry.reset()
    gate.set()
    odometry.finish_mapping()
    assert len(odometry.landmarks()) == 0 and not odometry.trajectory()
    track_mapped(odometry, drive)
    assert score(odometry, drive).ate_share < 0.3
