# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is told of wrong arguments, and which exceptions end a command with one line."""

import argparse
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from feature_booster_ros import cli
from feature_booster_ros.booster import Booster
from feature_booster_ros.errors import user_message
from feature_booster_ros.features import Features, create_extractor, normalize_keypoints
from feature_booster_ros.matching import match
from feature_booster_ros.matching.nearest import pair_distances

# Wide, with features up to the right edge.
IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 255, (24, 64), np.uint8), (640, 240))


@pytest.fixture(scope="module")
def sift():
    return create_extractor("sift", 100)(IMAGE)


@pytest.fixture(scope="module")
def booster():
    return Booster.from_pretrained("SIFT+Boost-F", "cpu")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "check its path"),
        ("photo.png", "the path photo.png: pass cv2.imread"),
        ([[1, 2], [3, 4]], r"a list: pass numpy.asarray\(image\)"),
        (torch.zeros(4, 5), r"a torch Tensor of shape \(4, 5\): pass image.detach\(\).cpu"),
        (np.zeros((4, 5, 3), np.uint8), "COLOR_BGR2GRAY"),
        (np.zeros((4, 5, 4), np.uint8), "COLOR_BGRA2GRAY"),
        (np.zeros((4, 5, 1), np.uint8), r"pass image\[:, :, 0\]"),
        (np.zeros((4, 5)), r"not float64: .*image \* 255"),
    ],
)
def test_an_image_of_another_kind_is_told_with_the_remedy(image, said):
    with pytest.raises(ValueError, match=said):
        create_extractor("orb")(image)


def test_a_pillow_image_is_told_with_the_remedy():
    with pytest.raises(ValueError, match=r"PIL Image: pass numpy.asarray\(image.convert\('L'\)\)"):
        create_extractor("orb")(Image.new("RGB", (4, 5)))


def test_features_know_what_made_their_descriptors(sift, booster):
    boosted = booster(sift, IMAGE.shape)
    assert (sift.model, boosted.model) == ("sift", "SIFT+Boost-F")
    assert boosted.select(np.arange(3)).model == "SIFT+Boost-F"
    assert booster(sift.select(slice(0)), IMAGE.shape).model == "SIFT+Boost-F"
    assert create_extractor("orb")(IMAGE).model == "orb"


def test_descriptors_of_two_models_are_not_matched(sift, booster):
    boosted = booster(sift, IMAGE.shape)
    with pytest.raises(ValueError, match="of sift .* of SIFT\\+Boost-F"):
        match(sift.with_descriptors(boosted.descriptors, "sift"), boosted)
    # What made them may be unknown.
    assert len(match(boosted, boosted.with_descriptors(boosted.descriptors, "")))
    with pytest.raises(ValueError, match=r"one kind, not float of 128 \(sift\) and binary of 256"):
        match(sift, create_extractor("orb")(IMAGE))


def test_an_array_in_place_of_features_is_told(sift, booster):
    with pytest.raises(ValueError, match="a must be Features, not an array of shape"):
        match(sift.descriptors, sift.descriptors)
    with pytest.raises(ValueError, match="b must be Features, not None"):
        match(sift, None)
    with pytest.raises(ValueError, match="features must be Features"):
        booster(sift.descriptors, IMAGE.shape)


def test_boosting_twice_is_told(sift, booster):
    boosted = booster(sift, IMAGE.shape)
    with pytest.raises(ValueError, match="not those of SIFT\\+Boost-F"):
        booster(boosted, IMAGE.shape)


def test_floats_in_place_of_bits_are_told():
    floats = Features(np.ones((1, 2)), *np.ones((3, 1)), np.ones((1, 256), np.float32))
    with pytest.raises(ValueError, match="takes binary descriptors of orb, not float"):
        Booster.from_pretrained("ORB+Boost-B", "cpu")(floats, (10, 10))


def test_an_image_shape_that_does_not_hold_the_keypoints_is_told(sift):
    with pytest.raises(ValueError, match=r"seems to be \(width, height\), so pass image.shape"):
        normalize_keypoints(sift, (640, 240))
    with pytest.raises(ValueError, match="of the image that they were found in"):
        normalize_keypoints(sift, (120, 320))
    with pytest.raises(ValueError, match="not an image: pass image.shape"):
        normalize_keypoints(sift, IMAGE)
    color = normalize_keypoints(sift, (240, 640, 3))
    np.testing.assert_array_equal(color, normalize_keypoints(sift, (240, 640)))


def test_a_transposed_camera_matrix_is_told(sift):
    matrix = np.array([[500.0, 0, 320], [0, 500, 120], [0, 0, 1]])
    with pytest.raises(ValueError, match="is it transposed"):
        normalize_keypoints(sift, IMAGE.shape, matrix.T)
    with pytest.raises(ValueError, match=r"\(4,\): give \[\[fx, 0, cx\]"):
        normalize_keypoints(sift, IMAGE.shape, [500, 500, 320, 120])


@pytest.mark.parametrize("name", ["keypoints", "scales", "angles", "scores", "descriptors"])
def test_features_with_nan_are_told_by_name(name, sift):
    arrays = {
        each: getattr(sift, each).copy()
        for each in ("keypoints", "scales", "angles", "scores", "descriptors")
    }
    arrays[name][3] = np.nan
    with pytest.raises(ValueError, match=f"{name} of 1 of {len(sift)} features are NaN"):
        Features(**arrays)
    arrays[name] = torch.from_numpy(getattr(sift, name))
    with pytest.raises(ValueError, match=f"pass {name}.detach"):
        Features(**arrays)


# Which exceptions are the user's


def caught(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_our_own_words_are_the_users(sift):
    assert user_message(caught(match, sift, None)).startswith("b must be Features")


def test_a_refusal_of_the_system_names_the_path_and_a_remedy(tmp_path):
    path = tmp_path / "missing"
    expected = f"{path}: No such file or directory: check the path"
    assert user_message(caught(path.read_text)) == expected
    assert "not a folder" in user_message(caught(tmp_path.read_text))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    error = caught(__import__, "h5py")
    assert user_message(error) == "the Python package h5py is not installed: pip install h5py"


def test_faults_within_our_code_are_not_the_users(sift):
    # Raised by NumPy's C code, so that the last frame of the traceback is a line of this package.
    within_numpy = caught(pair_distances, sift.descriptors, sift.descriptors[:, 1:])
    assert isinstance(within_numpy, ValueError) and user_message(within_numpy) is None
    assert user_message(caught(json.loads, "{")) is None
    assert user_message(caught(int, "x")) is None


def ends(monkeypatch, capsys, run):
    parser = argparse.ArgumentParser()
    parser.set_defaults(run=run)
    monkeypatch.setattr(cli, "_parser", lambda: parser)
    return cli.main([]), capsys.readouterr().err


def test_a_command_ends_with_one_line_or_its_traceback(monkeypatch, capsys, sift):
    status, said = ends(monkeypatch, capsys, lambda _: match(sift, None))
    assert status == 1 and said.startswith("feature-booster: b must be") and said.count("\n") == 1

    def interrupted(_):
        raise KeyboardInterrupt

    assert ends(monkeypatch, capsys, interrupted) == (130, "")
    with pytest.raises(ValueError, match="operands|broadcast|shape"):
        ends(monkeypatch, capsys, lambda _: pair_distances(np.zeros((2, 3)), np.zeros((2, 4))))


def test_a_closed_pipe_is_no_error():
    script = (
        "import argparse, sys; from feature_booster_ros import cli\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.set_defaults(run=lambda _: print('line\\n' * 100000))\n"
        "cli._parser = lambda: parser\n"
        "sys.exit(cli.main([]))"
    )
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" | head -1; echo ${PIPESTATUS[0]}', sys.executable, script],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == ["line", "141"] and done.stderr == ""
