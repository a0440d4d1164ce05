# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""odometry_node: poses of the robot as the library has them, and what a topic may bring."""

import importlib.util
import os
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from camera_messages import camera_info_message
from conftest import newest_values, wait_for
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry, Path
from sensor_msgs.msg import Imu, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from feature_booster_ros.depth import DepthSensor, to_meters
from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.coordinate_frames import (
    base_from_optical,
    covariance_to_odom,
    parse_pose,
    points_to_odom,
    to_odom,
)
from feature_booster_ros.nodes.messages import to_feature_array
from feature_booster_ros.nodes.odometry_node_parameters import OdometryNodeParameters
from feature_booster_ros.odometry import OdometrySettings, State, VisualOdometry
from feature_booster_ros.rendering.sequence import RenderedSequence

FRAMES = 12
START = 1_500_000_000
"""Seconds of the first stamp, as large as a real one."""
CAMERA_POSE = "0.3 -0.1 0.5 0.05 0.2 -0.4"
NOTHING = Features.empty(128, binary=False)

# Diagnostics often, as the tests wait for them; TF is off here, where tf2_msgs may be missing.
ALWAYS = {"diagnostics_period": 0.1, "publish_tf": False}


@pytest.fixture(scope="module")
def flight():
    """Frames of the rendered sequence, with their features."""
    extractor = create_extractor("sift", max_features=600)
    sequence = RenderedSequence(frames=60, rate=10)
    return [(frame, extractor(frame.image)) for frame in sequence][:FRAMES]


def follow(flight, features, stamps):
    """The library's odometry along frames, each keyframe mapped before the next, and estimates."""
    with ThreadPoolExecutor(1) as executor:
        odometry = VisualOdometry(flight[0][0].camera.matrix, executor=executor)
        estimates = []
        for found, stamp in zip(features, stamps, strict=True):
            odometry.finish_mapping()
            estimates.append(odometry.track(found, stamp))
    return odometry, estimates


class Stream:
    """Publishes features frame by frame, each when the last has been worked on, and listens."""

    def __init__(self, ros, flight):
        self._ros = ros
        self._flight = flight
        self._sent = 0
        self.odometry = ros.listen(Odometry, "odometry")
        self._diagnostics = ros.listen(DiagnosticArray, "/diagnostics")

    def message(self, number, seconds=None, features=None, **fields):
        """The message of a frame of the flight, by default with its own stamp and features.

        Args:
            number: of the frame.
            seconds: stamp after the start instead of 0.1 times the number.
            features: instead of the frame's.
            **fields: of the message, to set otherwise.
        """
        frame, found = self._flight[number]
        stamp = stamp_of(0.1 * number if seconds is None else seconds)
        header = Header(stamp=stamp, frame_id="camera_optical")
        height, width = frame.image.shape[:2]
        info = camera_info_message(width, height, k=frame.camera.matrix.ravel())
        message = to_feature_array(
            found if features is None else features, header, info, "sift", "none"
        )
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    def publish(self, message):
        """Publishes a message; the values of the node's status once it is tracked and mapped."""
        self._ros.publish("features", message)
        self._sent += 1
        # Those that wait might be dropped, as they should be.
        return wait_for(self._values_after_work, "work on the frame")

    def send(self, number, seconds=None, features=None, **fields):
        """As message() and publish()."""
        return self.publish(self.message(number, seconds, features, **fields))

    def take(self, number, *args, **fields):
        """The Odometry of a frame that has one."""
        message = self.message(number, *args, **fields)
        self.publish(message)
        return wait_for(
            lambda: (
                self.odometry
                and self.odometry[-1].header.stamp == message.header.stamp
                and self.odometry[-1]
            ),
            f"odometry of frame {number}",
        )

    def has_listener(self):
        """Whether anybody subscribes to the features."""
        return self._ros.publisher(FeatureArray, "features").get_subscription_count() > 0

    def restarted(self):
        """To be called when the node counts from 0 again."""
        self._sent = 0
        self._diagnostics.clear()

    def wait_for_status(self, level, text):
        """Wait for this level, and a message with this text, on /diagnostics."""
        name = f"{self._ros.namespace.lstrip('/')}/odometry_node: frames"
        wait_for(
            lambda: any(
                status.name == name and status.level == level and text in status.message
                for message in list(self._diagnostics)
                for status in message.status
            ),
            f"status {level!r} {text!r}",
        )

    def _values_after_work(self):
        values = newest_values(self._diagnostics, f"{self._ros.namespace}/odometry_node")
        names = ("processed", "errors", "out_of_order", "repeated")
        count = sum(int(values.get(name, 0)) for name in names)
        return count >= self._sent and values.get("is_mapping") == "False" and values


@pytest.fixture
def stream(ros, flight):
    return Stream(ros, flight)


@pytest.fixture
def start_odometry(start_node):
    """Starts odometry_node with parameters."""
    return lambda **parameters: start_node("odometry_node", parameters={**ALWAYS, **parameters})


def pose_of(message):
    """(4, 4) of a geometry_msgs/Pose."""
    turn = message.orientation
    vector = np.array([turn.x, turn.y, turn.z])
    sine = np.linalg.norm(vector)
    pose = np.eye(4)
    if sine > 0:
        pose[:3, :3] = cv2.Rodrigues(2 * np.arctan2(sine, turn.w) * vector / sine)[0]
    pose[:3, 3] = message.position.x, message.position.y, message.position.z
    return pose


def stamp_of(seconds):
    """A stamp so many seconds after the start, to a tenth."""
    tenths = round(10 * seconds)
    return Time(sec=START + tenths // 10, nanosec=tenths % 10 * 100_000_000)


def is_origin(message):
    return np.allclose(pose_of(message.pose.pose), np.eye(4), atol=1e-9)


def test_defaults_are_those_of_the_library():
    assert OdometrySettings(**OdometryNodeParameters().odometry_settings()) == OdometrySettings()


@pytest.mark.parametrize("camera_pose", ["0 0 0 0 0 0", CAMERA_POSE])
def test_poses_are_those_of_the_library(start_odometry, stream, flight, camera_pose):
    node = start_odometry(camera_pose=camera_pose)
    camera = base_from_optical(parse_pose(camera_pose))
    for number in range(FRAMES):
        values = stream.send(number)
    assert (values["state"], values["map_number"], values["resets"]) == ("tracking", "0", "0")
    assert int(values["inliers"]) > 50
    assert {"convert_ms", "track_ms", "map_ms", "publish_ms"} <= set(values)
    stream.wait_for_status(DiagnosticStatus.OK, "tracking")

    odometry, estimates = follow(flight, [f for _, f in flight], 0.1 * np.arange(FRAMES))
    assert int(values["landmarks"]) == len(odometry.landmarks())
    known = [estimate for estimate in estimates if estimate.pose is not None]
    wait_for(lambda: len(stream.odometry) == len(known), "all odometry")
    for message, estimate in zip(stream.odometry, known, strict=True):
        assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
        assert message.header.stamp == stamp_of(estimate.stamp)
        pose = to_odom(camera, estimate.pose)
        assert np.allclose(pose_of(message.pose.pose), pose, atol=1e-6)
        covariance = np.reshape(message.pose.covariance, (6, 6))
        expected = covariance_to_odom(camera, estimate.covariance, estimate.pose)
        assert np.allclose(covariance, expected, rtol=1e-4, atol=1e-12)
        assert np.linalg.eigvalsh(covariance).min() > -1e-9
    assert is_origin(stream.odometry[0])
    # Where it truly went, in the robot's axes.
    truth = to_odom(camera, np.linalg.inv(flight[0][0].pose) @ flight[-1][0].pose)[:3, 3]
    went = pose_of(stream.odometry[-1].pose.pose)[:3, 3]
    assert truth @ went > 0.98 * np.linalg.norm(truth) * np.linalg.norm(went)
    assert "rror" not in node.output() and "Traceback" not in node.output()


def test_features_of_measured_depth_give_meters(start_odometry, stream, flight):
    start_odometry()
    sequence, sensor = RenderedSequence(frames=60, rate=10), DepthSensor()
    for number in range(6):
        frame, found = flight[number]
        depth = to_meters(sequence.depth(number))
        values = stream.send(number, features=sensor.read_aligned(found, depth, frame.image.shape))
        assert (values["state"], values["is_metric"]) == ("tracking", "True")
    wait_for(lambda: len(stream.odometry) == 6, "all odometry")
    went = np.linalg.norm(pose_of(stream.odometry[-1].pose.pose)[:3, 3])
    true = np.linalg.norm(flight[5][0].pose[:3, 3] - flight[0][0].pose[:3, 3])
    assert went == pytest.approx(true, rel=0.03)


def test_the_z_axis_of_odom_is_up(start_odometry, stream, ros):
    """The base is pitched by 0.3 rad; a still accelerometer, turned on the base, tells it."""
    start_odometry(imu_rotation="0 0 1.5707963", camera_pose=CAMERA_POSE)
    imu = ros.publisher(Imu, "imu")
    wait_for(imu.get_subscription_count, "a subscription to imu")
    ros.publish("features", stream.message(0))
    stream.wait_for_status(DiagnosticStatus.WARN, "waiting for imu")
    up = 9.81 * np.array([-np.sin(0.3), 0, np.cos(0.3)])
    for number in range(50):
        sample = Imu(header=Header(stamp=Time(sec=START, nanosec=number * 20_000_000)))
        sample.orientation_covariance[0] = -1.0
        acceleration = sample.linear_acceleration
        # The IMU's x axis is the base's y.
        acceleration.x, acceleration.y, acceleration.z = up[1], -up[0], up[2]
        ros.publish("imu", sample)
        time.sleep(0.005)
    pose = pose_of(stream.take(0).pose.pose)
    expected = cv2.Rodrigues(np.array([0, 0.3, 0]))[0]
    assert np.allclose(pose[:3, :3], expected, atol=1e-6) and np.allclose(pose[:3, 3], 0)


def test_twist(start_odometry, stream, flight):
    """In the base's axes, from two tracked poses; else zero with a variance that says so."""
    start_odometry(camera_pose=CAMERA_POSE, max_gap=0.5)
    for number in range(FRAMES - 1):
        stream.send(number)
    stream.take(FRAMES - 1, 2.0)
    _, estimates = follow(flight, [f for _, f in flight[:-1]], 0.1 * np.arange(FRAMES - 1))
    is_tracking = [estimate.state is State.TRACKING for estimate in estimates]
    is_known = [a and b for a, b in zip([False, *is_tracking], is_tracking, strict=False)]
    is_known = [known for known, e in zip(is_known, estimates, strict=True) if e.pose is not None]
    assert sum(is_known) > 5
    before = None
    for message, known in zip(stream.odometry, [*is_known, False], strict=True):
        twist, covariance = message.twist.twist, np.reshape(message.twist.covariance, (6, 6))
        linear = np.array([twist.linear.x, twist.linear.y, twist.linear.z])
        angular = np.array([twist.angular.x, twist.angular.y, twist.angular.z])
        assert np.linalg.eigvalsh(covariance).min() > 0
        pose = pose_of(message.pose.pose)
        if known:
            motion = np.linalg.inv(before) @ pose
            # The mean over an arc, to first order.
            assert np.allclose(linear, 10 * motion[:3, 3], atol=0.05 * np.linalg.norm(linear))
            assert np.allclose(angular, 10 * cv2.Rodrigues(motion[:3, :3])[0].ravel())
            assert np.sqrt(np.diag(covariance)[:3].max()) < np.linalg.norm(linear)
        else:
            assert not linear.any() and not angular.any()
            assert np.diag(covariance).min() == 1e6
        before = pose


def test_path_and_landmarks(start_odometry, stream, flight, ros):
    start_odometry(camera_pose=CAMERA_POSE, path_period=0.0, landmarks_period=0.0, path_length=5)
    paths, clouds = ros.listen(Path, "path"), ros.listen(PointCloud2, "landmarks")
    camera = base_from_optical(parse_pose(CAMERA_POSE))
    for number in range(FRAMES):
        stream.send(number)
    # Hovers in place until the node has seen both subscriptions.
    sent = [number / 10 for number in range(FRAMES)]
    while not (paths and clouds) or len(sent) == FRAMES:
        sent.append(len(sent) / 10)
        stream.send(FRAMES - 1, sent[-1])
        assert len(sent) < 100
    for messages in (paths, clouds):
        wait_for(lambda m=messages: m[-1].header.stamp == stamp_of(sent[-1]), "the last one")
    features = [flight[min(number, FRAMES - 1)][1] for number in range(len(sent))]
    odometry, _ = follow(flight, features, 0.1 * np.arange(len(sent)))
    trajectory = odometry.trajectory()
    chosen = [trajectory[round(share * (len(trajectory) - 1))] for share in np.arange(5) / 4]
    assert paths[-1].header.frame_id == "odom" and len(paths[-1].poses) == 5
    for stamped, (seconds, pose) in zip(paths[-1].poses, chosen, strict=True):
        assert (stamped.header.frame_id, stamped.header.stamp) == ("odom", stamp_of(seconds))
        assert np.allclose(pose_of(stamped.pose), to_odom(camera, pose), atol=1e-6)
    cloud, landmarks = clouds[-1], odometry.landmarks()
    assert cloud.header.frame_id == "odom"
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "intensity", "rgb"]
    rows = np.frombuffer(cloud.data, "<f4").reshape(cloud.width, 5)
    assert np.allclose(rows[:, :3], points_to_odom(camera, landmarks.positions), atol=1e-4)
    assert (rows[:, 3] == landmarks.observations).all()


def test_stamps(start_odometry, stream, ros):
    """A frame that comes late or twice is left out; one that goes far back restarts."""
    node = start_odometry()
    for number in range(6):
        stream.send(number)
    count = len(stream.odometry)
    assert stream.send(5)["repeated"] == "1"
    node.wait_for_output("(repeated")
    assert stream.send(2, -0.4)["out_of_order"] == "1"
    stream.wait_for_status(DiagnosticStatus.WARN, "stamps do not rise: 1 out of order")
    values = stream.send(3)
    assert (values["out_of_order"], values["processed"], values["state"]) == ("2", "6", "tracking")
    assert len(stream.odometry) == count
    assert not is_origin(stream.take(6))
    assert is_origin(stream.take(0, -30.0))
    node.wait_for_output("stamps went back by 30.600 s (a recording that loops?)")
    assert stream.send(1, -29.9)["resets"] == "1"
    # What is far back is a parameter.
    assert ros.set_parameters(node.full_name, jump_back=1000.0)[0].successful
    assert stream.send(0, -300.0)["out_of_order"] == "3"


def test_a_gap_is_tracked_without_extrapolation(start_odometry, stream):
    start_odometry()
    for number in range(FRAMES - 1):
        stream.send(number)
    before = pose_of(stream.odometry[-1].pose.pose)
    after = pose_of(stream.take(FRAMES - 1, 60.0).pose.pose)
    assert 0 < np.linalg.norm(after[:3, 3] - before[:3, 3]) < 0.2


def test_reset(start_odometry, stream, ros):
    node = start_odometry()
    for number in range(6):
        stream.send(number)
    assert not is_origin(stream.odometry[-1])
    response = ros.call(Trigger, f"{node.full_name}/reset", Trigger.Request())
    assert response.success and "the next frame is the origin" in response.message
    stream.wait_for_status(DiagnosticStatus.STALE, "nothing received")
    assert is_origin(stream.take(6))
    # An earlier stamp is as good as any after a reset.
    assert ros.call(Trigger, f"{node.full_name}/reset", Trigger.Request()).success
    assert is_origin(stream.take(0))
    assert stream.send(1)["resets"] == "2"


def test_intrinsics(start_odometry, stream, flight):
    """A frame without any is refused; a zoom is taken up."""
    node = start_odometry()
    for number in range(5):
        stream.send(number)
    count = len(stream.odometry)
    unknown = stream.message(5)
    unknown.camera_info.k, unknown.camera_info.p = np.zeros(9), np.zeros(12)
    stream.publish(unknown)
    node.wait_for_output("no intrinsics (k is zero), which the odometry needs: have booster_node")
    stream.wait_for_status(DiagnosticStatus.ERROR, "use_camera_info")
    lens = stream.message(5)
    lens.camera_info.d, lens.camera_info.distortion_model = [0.1], "mystery"
    assert stream.publish(lens)["errors"] == "2"
    stream.wait_for_status(DiagnosticStatus.ERROR, "'mystery' is not supported: use plumb_bob")
    assert len(stream.odometry) == count
    plain = pose_of(stream.take(5).pose.pose)
    for number in (6, 7):
        found = flight[number][1]
        zoomed = Features(
            2 * found.keypoints, found.scales, found.angles, found.scores, found.descriptors
        )
        message = stream.message(number, features=zoomed)
        message.camera_info.k = (np.diag([2, 2, 1]) @ flight[0][0].camera.matrix).ravel()
        values = stream.publish(message)
    assert (values["state"], values["map_number"], values["resets"]) == ("tracking", "0", "0")
    assert node.output().count("intrinsics changed") == 1
    wait_for(lambda: len(stream.odometry) == count + 3, "odometry of the zoomed frames")
    step = np.linalg.norm(pose_of(stream.odometry[-1].pose.pose)[:3, 3] - plain[:3, 3])
    assert 0 < step < 0.3


def test_bad_messages_are_reported_and_skipped(start_odometry, stream):
    node = start_odometry()
    for number in range(5):
        stream.send(number)
    bad = stream.message(5)
    bad.scale = bad.scale[:-1]
    assert stream.publish(bad)["errors"] == "1"
    node.wait_for_output("frame skipped: FeatureArray.scale has 599 elements")
    assert not is_origin(stream.take(5))
    assert "Traceback" not in node.output() and node.running()


def test_what_cannot_go_on_restarts(start_odometry, stream, flight):
    node = start_odometry()
    for number in range(5):
        stream.send(number)
    assert not is_origin(stream.odometry[-1])
    assert is_origin(stream.take(5, model="SIFT+Boost-F"))
    node.wait_for_output("from sift none of 128 floats to sift SIFT+Boost-F of 128 floats")
    orb = create_extractor("orb", max_features=300)(flight[6][0].image)
    binary = stream.message(6, features=orb, detector="orb")
    stream.publish(binary)
    other = stream.message(7, features=orb, detector="orb")
    other.header.frame_id = "another_camera"
    assert stream.publish(other)["resets"] == "3"
    wait_for(lambda: len(stream.odometry) >= 3 and is_origin(stream.odometry[-1]), "the origin")
    assert "Traceback" not in node.output()


def test_lost_and_found(start_odometry, stream):
    """No pose is published that is not known."""
    node = start_odometry()
    for number in range(FRAMES):
        stream.send(number)
    count = len(stream.odometry)
    for number in range(FRAMES, FRAMES + 4):
        values = stream.send(0, number / 10, NOTHING)
        assert values["state"] == "lost" and values["reason"]
    stream.wait_for_status(DiagnosticStatus.WARN, "lost")
    assert len(stream.odometry) == count
    again = stream.take(FRAMES - 1, 1.8)
    node.wait_for_output("tracking: relocalized")
    assert node.output().count("[WARN]") == 1
    # Where it was before, and with no idea how fast.
    before, after = (pose_of(m.pose.pose)[:3, 3] for m in (stream.odometry[count - 1], again))
    assert np.linalg.norm(after - before) < 0.05
    assert again.twist.covariance[0] == 1e6


def test_a_new_map_is_reported(start_odometry, stream):
    """In another place: the log says what the way from there on is worth."""
    node = start_odometry(restart_after=1)
    for number in range(7):
        stream.send(number)
    extractor = create_extractor("sift", max_features=600)
    for number, frame in enumerate(RenderedSequence(frames=60, rate=10)):
        if number >= 7:
            # The world in a mirror is another one.
            features = extractor(np.ascontiguousarray(frame.image[:, ::-1]))
            values = stream.send(0, number / 10, features)
            if values["map_number"] == "1":
                break
    assert (values["state"], values["resets"]) == ("tracking", "0")
    node.wait_for_output("tracking: new map: it goes on from the last pose, and its scale is")
    wait_for(lambda: stream.odometry[-1].header.stamp == stamp_of(number / 10), "its odometry")
    assert stream.odometry[-1].twist.covariance[0] == 1e6


def test_lifecycle(start_odometry, stream, ros):
    """Inactive is a pause, after which the map is found again; cleanup forgets."""
    node = start_odometry()
    for number in range(6):
        stream.send(number)
    assert ros.transition(node.full_name, "deactivate")
    wait_for(lambda: not stream.has_listener(), "the end of the subscription")
    assert ros.transition(node.full_name, "activate")
    stream.restarted()
    assert not is_origin(stream.take(6, 20.0))
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert ros.transition(node.full_name, transition), transition
    stream.restarted()
    assert is_origin(stream.take(7, 20.1))
    refused = ros.set_parameters(node.full_name, initial_scale=2.0, path_period=-1.0)
    assert not any(result.successful for result in refused)
    assert "Traceback" not in node.output()


def test_frames_scale_and_transforms(start_odometry, stream, ros):
    """By parameter; TF where tf2_msgs is installed, and else a word of it."""
    node = start_odometry(publish_tf=True, odom_frame="map0", base_frame="drone", initial_scale=5.0)
    if importlib.util.find_spec("tf2_msgs"):
        from tf2_msgs.msg import TFMessage

        transforms = ros.listen(TFMessage, "/tf")
    for number in range(6):
        stream.send(number)
    assert np.linalg.norm(pose_of(stream.odometry[-1].pose.pose)[:3, 3]) > 0.5
    message = stream.take(6)
    assert (message.header.frame_id, message.child_frame_id) == ("map0", "drone")
    if importlib.util.find_spec("tf2_msgs"):
        mine = wait_for(
            lambda: [t for m in transforms for t in m.transforms if t.header == message.header],
            "the transform",
        )[0]
        assert mine.child_frame_id == "drone"
        assert mine.transform.translation.x == message.pose.pose.position.x
        assert mine.transform.rotation == message.pose.pose.orientation
    else:
        assert node.output().count("tf2_msgs is not installed") == 1


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"camera_pose": "1 2 3"}, "cannot start: parameter 'camera_pose' must be six numbers"),
        ({"window": 50}, "cannot configure: window must not exceed max_keyframes"),
    ],
)
def test_bad_parameters_are_reported_at_once(start_odometry, parameters, text):
    node = start_odometry(**parameters)
    assert "Traceback" not in node.wait_for_output(text)


def test_without_poselib_it_says_what_to_install(start_odometry, monkeypatch, tmp_path):
    (tmp_path / "poselib.py").write_text("raise ImportError('No module named poselib')")
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{path}")
    node = start_odometry()
    output = node.wait_for_output("pip install '.[odometry]'")
    assert "cannot configure: No module named poselib" in output and "Traceback" not in output
