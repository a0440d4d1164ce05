# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Python files for RTAB-Map, called as PyDetector.cpp and PyMatcher.cpp call them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from feature_booster_ros.integrations.rtabmap import feature_booster_detector
from feature_booster_ros.matching import match
from feature_booster_ros.methods import create_method
from feature_booster_ros.rendering.sequence import RenderedSequence

# What RTAB-Map does in C++: append the folder, import by the bare name, call with plain numbers,
# wrap memory that is overwritten after the call, and read what comes back as plain C arrays.
HARNESS = """
import ctypes, importlib, os, sys
import cv2, numpy as np

def load(path):
    folder, name = os.path.split(path)
    sys.path.append(folder)
    return importlib.import_module(name.split(".")[0])

def borrowed(array):
    buffer = ctypes.create_string_buffer(array.tobytes(), array.nbytes)
    return np.frombuffer(buffer, array.dtype).reshape(array.shape), buffer

def as_c_reads(array, dtype, columns):
    assert type(array) is np.ndarray and array.dtype == dtype
    assert array.ndim == 2 and array.shape[1] == columns
    address = array.__array_interface__["data"][0]
    kind = ctypes.c_float if dtype == np.float32 else ctypes.c_int
    flat = (kind * array.size).from_address(address)
    return np.array(flat[:], dtype).reshape(-1, columns)

detector, matcher, *images, output = sys.argv[1:]
detector = load(detector)
detector.init(1)
found = []
for path in images:
    image, buffer = borrowed(cv2.imread(path, cv2.IMREAD_GRAYSCALE))
    keypoints, descriptors = detector.detect(image)
    ctypes.memset(buffer, 0, len(buffer))
    found.append((as_c_reads(keypoints, np.float32, 3), as_c_reads(descriptors, np.float32, 128)))
arguments, buffers = [], []
for column in (slice(0, 2), 2):
    for keypoints, _ in found:
        arguments.append(borrowed(np.ascontiguousarray(keypoints[:, column])))
arguments += [borrowed(descriptors) for _, descriptors in found]
matcher = load(matcher)
matcher.init(128, 0.95, 20, 1, "")
height, width = cv2.imread(images[0]).shape[:2]
pairs = matcher.match(*(argument for argument, _ in arguments), width, height)
np.savez(output, keypoints_a=found[0][0], keypoints_b=found[1][0], descriptors_a=found[0][1],
         descriptors_b=found[1][1], pairs=as_c_reads(pairs, np.int32, 2))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    flight = RenderedSequence(3, 4, 360, 270, rate=10.0)
    paths = [folder / f"{index}.png" for index in range(2)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), flight.image(index))
    return paths


def arguments() -> dict[str, str]:
    """What the documented command prints, by parameter of RTAB-Map."""
    command = [sys.executable, "-m", "feature_booster_ros.integrations.rtabmap"]
    words = shlex.split(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }


def run(images, output):
    given = arguments()
    assert (given["Kp/DetectorStrategy"], given["Vis/FeatureType"]) == ("15", "15")
    paths = [given["PyDetector/Path"], given["PyMatcher/Path"], *images, output]
    return subprocess.run(
        [sys.executable, "-c", HARNESS, *map(str, paths)],
        env={**os.environ, "FEATURE_BOOSTER_MAX_FEATURES": "300"},
        cwd=Path(output).parent,  # elsewhere than in the checkout, whose package is not built
        capture_output=True,
        text=True,
    )


def test_rtabmap_gets_the_boosted_features_and_their_matches(images, tmp_path):
    result = run(images, tmp_path / "found.npz")
    assert result.returncode == 0, result.stderr
    found = np.load(tmp_path / "found.npz")
    method = create_method("SIFT+Boost-F", 300)
    a, b = (method(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in images)
    np.testing.assert_array_equal(found["keypoints_a"], np.column_stack([a.keypoints, a.scores]))
    np.testing.assert_allclose(found["descriptors_b"], b.descriptors, atol=1e-5)
    matches = match(a, b)
    expected = matches.indices[1 - matches.distances**2 / 4 >= 0.95]
    assert {*map(tuple, found["pairs"])} == {*map(tuple, expected)}
    assert 50 < len(expected) < len(matches)


def test_an_image_without_features_gives_empty_arrays(tmp_path):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((120, 160), 128, np.uint8))
    result = run([blank, blank], tmp_path / "found.npz")
    assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "found.npz")["pairs"].shape == (0, 2)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("MODEL", "ORB+Boost-B", "binary descriptors"), ("MAX_FEATURES", "many", "must be a number")],
)
def test_what_rtabmap_cannot_take_is_refused(name, value, said, monkeypatch):
    monkeypatch.setenv(f"FEATURE_BOOSTER_{name}", value)
    with pytest.raises(ValueError, match=said):
        feature_booster_detector.init(1)
