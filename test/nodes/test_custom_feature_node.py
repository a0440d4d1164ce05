# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node and the demo with a user's feature: the example of docs/custom_feature.md."""

import subprocess

import cv2
import numpy as np
import pytest
from camera_messages import gray_photograph, image_message
from conftest import executable, wait_for
from custom_feature import DETECTOR, MODEL, example_folder

from feature_booster_ros.booster import Booster, FeatureBooster, load_models, save_checkpoint
from feature_booster_ros.features import create_extractor
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.messages import from_feature_array

GRAY = gray_photograph()
PARAMETERS = {
    "max_features": 200,
    "qos_input_reliability": "reliable",
    "lazy": False,
    "use_camera_info": False,
}


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    yield from example_folder(tmp_path, monkeypatch)


@pytest.mark.parametrize("detector", [DETECTOR, "ORB"])
def test_any_extractor_is_a_detector(start_node, ros, user_folder, detector):
    parameters = {**PARAMETERS, "model": "none", "detector": detector}
    start_node("booster_node", parameters=parameters)
    messages = ros.listen(FeatureArray, "features")
    ros.publish("image", image_message(GRAY, "mono8"))
    message = wait_for(lambda: messages and messages[-1], "features of the image")
    extractor = create_extractor(detector, 200)
    assert message.detector == extractor.name
    assert len(message.x) == len(extractor(GRAY)) > 50


def test_unknown_detector_is_refused_with_the_choices(start_node):
    node = start_node("booster_node", parameters={"model": "none", "detector": "surf"})
    assert node.wait() == 1
    last = node.output().splitlines()[-1]
    assert "cannot configure: parameter 'detector': no extractor is called 'surf'" in last
    assert "orb, sift, sift_gpu, and package.module:ClassName" in last


@pytest.fixture
def weights(user_folder, tmp_path):
    """Weights of a network for the feature."""
    path = tmp_path / "mine.safetensors"
    save_checkpoint(FeatureBooster(load_models()[MODEL]), path)
    return path


def test_demo_plays_it(weights, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        cv2.imwrite(str(photos / f"{number}.png"), np.roll(GRAY, 4 * number, axis=1))
    result = subprocess.run(
        [
            *(executable("demo"), "--source", photos, "--output", tmp_path / "out"),
            *("--models", "none", f"{MODEL}={weights}"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "features: colmap_sift, raw" in "".join(
        path.read_text() for path in (tmp_path / "out").rglob("*booster*")
    )


def test_booster_node_extracts_and_boosts_it(start_node, ros, weights):
    parameters = {**PARAMETERS, "model": MODEL, "weights": str(weights)}
    start_node("booster_node", parameters=parameters)
    messages = ros.listen(FeatureArray, "features")
    ros.publish("image", image_message(GRAY, "mono8"))
    message = wait_for(lambda: messages and messages[-1], "features of the image")
    assert (message.detector, message.model) == ("colmap_sift", MODEL)
    expected = Booster.from_pretrained(weights)(create_extractor(DETECTOR, 200)(GRAY), GRAY.shape)
    received = from_feature_array(message)
    assert len(received) == len(expected) > 50
    np.testing.assert_array_equal(received.keypoints, expected.keypoints)
    np.testing.assert_allclose(received.descriptors, expected.descriptors, atol=3e-3)
