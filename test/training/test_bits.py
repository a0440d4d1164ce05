# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batch normalization before the signs, and its place in the weights that are saved."""

import dataclasses

import pytest
import torch

from feature_booster_ros.booster import FeatureBooster, load_models
from feature_booster_ros.training.bits import (
    HARD_SHARE,
    fold_normalization,
    normalize_outputs,
    ramped_signs,
)
from feature_booster_ros.training.datasets.batches import PairBatch


@pytest.fixture
def batch() -> PairBatch:
    generator = torch.Generator().manual_seed(0)
    descriptors = (torch.rand(4, 50, 256, generator=generator) < 0.3).float() * 2 - 1
    keypoints = torch.rand(4, 50, 4, generator=generator)
    padding = torch.zeros(4, 50, dtype=torch.bool)
    padding[1, 20:] = True
    labels = torch.eye(50, dtype=torch.bool).expand(2, 50, 50)
    return PairBatch(
        descriptors, keypoints, padding, torch.tensor([[0, 2], [1, 3]]), labels, ~labels
    )


@torch.no_grad()
def test_the_saved_layer_has_the_normalization_of_the_batch(batch):
    torch.manual_seed(0)
    config = dataclasses.replace(load_models()["ORB+Boost-B"], last_activation="none")
    network = FeatureBooster(config).eval()
    present = ~batch.padding
    expected = normalize_outputs(
        network(batch.descriptors, batch.keypoints, batch.padding), batch.padding
    )[present]
    torch.testing.assert_close(expected.mean(0), torch.zeros(256), atol=1e-4, rtol=0)
    torch.testing.assert_close(expected.var(0), torch.ones(256), atol=0.05, rtol=0)
    fold_normalization(network, [batch])
    folded = network(batch.descriptors, batch.keypoints, batch.padding)[present]
    torch.testing.assert_close(folded, expected, atol=1e-3, rtol=1e-3)


def test_signs_become_hard_and_keep_a_gradient():
    outputs = torch.linspace(-2, 2, 9, requires_grad=True)
    values = [ramped_signs(outputs, progress) for progress in (0.0, 0.5, 1 - HARD_SHARE, 1.0)]
    assert (values[0].abs() <= values[1].abs()).all() and values[1].abs().max() < 1
    assert values[2].abs().tolist() == [1.0] * 9 and torch.equal(values[2], values[3])
    (gradient,) = torch.autograd.grad(values[3].sum(), outputs)
    torch.testing.assert_close(gradient, 3 * (1 - torch.tanh(3 * outputs.detach()).square()))
