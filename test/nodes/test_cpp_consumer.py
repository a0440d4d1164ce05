# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The subscriber in C++ of docs/integrations/cpp.md, compiled and run."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from conftest import wait_for
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from feature_booster_ros.features import Features
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.messages import to_feature_array

PAGE = Path(__file__).parents[2] / "docs" / "integrations" / "cpp.md"


@pytest.fixture(scope="module")
def listener(tmp_path_factory) -> Path:
    """Return the executable that the page's files build."""
    try:
        get_package_prefix("rclcpp")
    except PackageNotFoundError:
        pytest.skip("needs rclcpp, of a ROS 2 distribution, not on PyPI")
    folder = tmp_path_factory.mktemp("listener")
    (folder / "src").mkdir()
    blocks = dict(re.findall(r"^```(cpp|cmake)\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
    (folder / "src" / "feature_listener.cpp").write_text(blocks["cpp"])
    (folder / "CMakeLists.txt").write_text(blocks["cmake"])
    prefixes = os.environ["AMENT_PREFIX_PATH"].replace(os.pathsep, ";")
    for command in (
        ["cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefixes}"],
        ["cmake", "--build", folder / "build"],
    ):
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build" / "feature_listener"


def test_the_page_s_subscriber_prints_the_strongest_feature(listener, ros, tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(3, 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = np.array([1, 5, 2], np.float32)
    points = np.array([[1, 2], [30.25, 40.5], [5, 6]], np.float32)
    features = Features(points, np.ones(3, np.float32), np.zeros(3, np.float32), scores, rows)
    message = to_feature_array(features, Header(), CameraInfo(), "sift", "SIFT+Boost-F", "int8")
    path = tmp_path / "log"
    with path.open("w") as log:
        command = [listener, "--ros-args", "-r", f"__ns:={ros.namespace}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            subscriptions = ros.publisher(FeatureArray, "features").get_subscription_count
            wait_for(lambda: subscriptions() or process.poll() is not None, "a subscription")
            assert process.poll() is None, path.read_text()
            ros.publish("features", message)
            printed = wait_for(path.read_text, "a line of the listener")
        finally:
            process.terminate()
            process.wait()
    line = r"3 features of SIFT\+Boost-F, strongest at \(30\.25, 40\.50\): (-?[\d.]+) \.\.\."
    found = re.search(line, printed)
    assert found is not None, printed
    assert float(found.group(1)) == pytest.approx(rows[1, 0], abs=0.002)
