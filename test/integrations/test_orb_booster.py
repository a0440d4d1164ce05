# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ORB boosted in C++, by docs/integrations/orb_booster.hpp, where its libraries are installed."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from skimage import data

from feature_booster_ros.booster import Booster
from feature_booster_ros.cli import main
from feature_booster_ros.features import create_extractor

HEADER = Path(__file__).parents[2] / "docs" / "integrations" / "orb_booster.hpp"
INCLUDE = "-I/usr/include/opencv4"  # the compiler looks in CPLUS_INCLUDE_PATH, too
# MODEL WIDTH HEIGHT COUNT, keypoints (x, y, size, angle) and descriptors on standard input.
PROGRAM = """
#include "orb_booster.hpp"
#include <cstdio>
int main(int, char ** arguments)
{
  const cv::Size size(std::atoi(arguments[2]), std::atoi(arguments[3]));
  std::vector<cv::KeyPoint> keypoints(std::atoi(arguments[4]));
  for (auto & keypoint : keypoints) {
    float v[4];
    if (fread(v, 4, 4, stdin) != 4) {return 1;}
    keypoint = cv::KeyPoint(v[0], v[1], v[2], v[3]);
  }
  cv::Mat descriptors(keypoints.size(), 32, CV_8U);
  if (fread(descriptors.data, 32, keypoints.size(), stdin) != keypoints.size()) {return 1;}
  OrbBooster(arguments[1]).boost(keypoints, size, descriptors);
  fwrite(descriptors.data, 32, keypoints.size(), stdout);
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Return the program that boosts with the header."""
    folder = tmp_path_factory.mktemp("orb_booster")
    needed = folder / "needed.cpp"
    needed.write_text("#include <onnxruntime_cxx_api.h>\n#include <opencv2/core.hpp>\n")
    check = ["c++", INCLUDE, "-std=c++17", "-fsyntax-only", needed]
    if shutil.which("c++") is None or subprocess.run(check, capture_output=True).returncode:
        pytest.skip(
            "needs c++, libopencv-dev, and ONNX Runtime's release: its include/ in "
            "CPLUS_INCLUDE_PATH"
        )
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "libonnxruntime.so.1").symlink_to(library)
    source, built = folder / "main.cpp", folder / "main"
    source.write_text(PROGRAM)
    command = [
        "c++", INCLUDE, f"-I{HEADER.parent}", "-std=c++17", "-Wall", "-Werror", source, "-o",
        built, library, "-lopencv_core", f"-Wl,-rpath,{folder}",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return built


def test_the_bits_are_those_in_python(program, tmp_path):
    model = tmp_path / "orb_boost_b.onnx"
    assert main(["export", "ORB+Boost-B", "--output", str(model)]) == 0
    image = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)[:400]
    raw = create_extractor("orb", 500)(image)
    boosted = Booster.from_pretrained("ORB+Boost-B", "cpu", engine="eager")(raw, image.shape)
    keypoints = np.column_stack([raw.keypoints, raw.scales * 31, np.rad2deg(raw.angles)])
    height, width = image.shape
    result = subprocess.run(
        [program, model, str(width), str(height), str(len(raw))],
        input=keypoints.astype(np.float32).tobytes() + raw.descriptors.tobytes(),
        capture_output=True,
        check=True,
    )
    found = np.frombuffer(result.stdout, np.uint8).reshape(-1, 32)
    bits, wanted = (np.unpackbits(each, axis=1) for each in (found, boosted.descriptors))
    assert found.shape == boosted.descriptors.shape
    assert (bits != wanted).mean() < 1e-3 < (bits != np.unpackbits(raw.descriptors, axis=1)).mean()
