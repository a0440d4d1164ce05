# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depths of features, and the errors of wrong ones."""

import numpy as np
import pytest

from feature_booster_ros.features import Features

NONE = Features.empty(128, binary=False)
UNKNOWN = np.float32(np.nan)


def three_features():
    ones = np.ones(3, np.float32)
    rows = np.eye(3, 128, dtype=np.float32)
    return Features(np.zeros((3, 2), np.float32), ones, ones, ones, rows)


def test_depths_go_with_their_features():
    depths = np.float32([1.0, UNKNOWN, 3.0])
    features = three_features().with_depths(depths, 0.01 * depths)
    kept = features.select(np.array([2, 1])).with_descriptors(
        np.eye(2, 64, dtype=np.float32), "other"
    )
    np.testing.assert_array_equal(kept.depths, np.float32([3.0, UNKNOWN]))
    np.testing.assert_array_equal(kept.depth_sigmas, np.float32([0.03, UNKNOWN]))


def test_features_without_depths_stay_so():
    assert three_features().select(slice(2)).depths is None
    assert NONE.with_depths(*2 * [np.zeros(0, np.float32)]).select(slice(0)).depths is not None


@pytest.mark.parametrize(
    ("depths", "sigmas", "message"),
    [
        ([1, 2], [1, 1, 1], r"depths must have shape \(3,\) as there are 3 keypoints, not \(2,\)"),
        ([1, 2, 3], [1, 1], r"depth_sigmas must have shape \(3,\)"),
        ([1, 0, 3], [1, 1, 1], "depths of 1 of 3 features are not positive: set unknown"),
        ([1, np.inf, 3], [1, 1, 1], "depths of 1 of 3"),
        ([1, 2, 3], [1, UNKNOWN, -1], "depth_sigmas of 2 of 3"),
        (None, [1, 1, 1], "must be given together"),
        ([1, 2, 3], None, "must be given together"),
    ],
)
def test_wrong_depths_are_named(depths, sigmas, message):
    def rows(values):
        return None if values is None else np.float32(values)

    with pytest.raises(ValueError, match=message):
        three_features().with_depths(rows(depths), rows(sigmas))


def test_depths_are_arrays_of_floats():
    with pytest.raises(ValueError, match="depths must be an array of floats, not a list"):
        three_features().with_depths([1.0, 2.0, 3.0], np.ones(3, np.float32))
