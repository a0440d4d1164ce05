# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print RTAB-Map's arguments for boosted features."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ARGUMENTS = {
    "Kp/DetectorStrategy": "15",  # PyDetector, for the words of loop closures
    "Vis/FeatureType": "15",  # PyDetector, for the matches of loop closures and odometry
    "PyDetector/Path": str(FOLDER / "feature_booster_detector.py"),
    "Vis/CorNNType": "6",  # PyMatcher
    "PyMatcher/Path": str(FOLDER / "feature_booster_matcher.py"),
}

if __name__ == "__main__":
    print(" ".join(f"--{name} {value}" for name, value in ARGUMENTS.items()))
