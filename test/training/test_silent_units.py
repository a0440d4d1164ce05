# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoder units that no feature makes fire are set to zero, and nothing changes."""

import pytest
import torch
from training_runs import small_settings

from feature_booster_ros.booster import FeatureBooster, load_checkpoint, load_models, read_metadata
from feature_booster_ros.booster.pruning import without_dead_units
from feature_booster_ros.training.datasets.batches import PairBatch
from feature_booster_ros.training.initialization import silence_units
from feature_booster_ros.training.trainer import train

CONFIG = load_models()["SIFT+Boost-F"]


def batch_of(count: int, seed: int) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    descriptors = torch.rand(2, count, 128, generator=generator)
    keypoints = torch.rand(2, count, 4, generator=generator)
    pairs = torch.eye(count, dtype=torch.bool)[None]
    padding = torch.zeros(2, count, dtype=torch.bool)
    padding[:, -5:] = True
    return PairBatch(
        torch.nn.functional.normalize(descriptors, dim=-1),
        keypoints,
        padding,
        torch.tensor([[0], [1]]),
        pairs,
        ~pairs,
    )


@torch.no_grad()
def test_only_units_that_never_fire_are_silenced():
    torch.manual_seed(0)
    network = FeatureBooster(CONFIG).eval()
    batches = [batch_of(60, 1), batch_of(60, 2)]
    first = network.denc.encoder[0]
    first.bias[:50] = -100.0
    # Just one feature, of the second batch, makes this one fire.
    wanted = batches[1].descriptors[0, 7]
    first.weight[3] = 1e3 * wanted
    others = torch.cat([batch.descriptors.flatten(0, 1) for batch in batches]) @ first.weight[3]
    first.bias[3] = -(others.topk(2).values.sum() / 2)
    # And this one a keypoint that no photograph here has.
    encoder = network.kenc.encoder[0]
    encoder.weight[5] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    encoder.bias[5] = -1.5
    encoder.bias[6] = -1e4
    before = [network(b.descriptors[0], b.keypoints[0], b.padding[0]) for b in batches]
    silenced = silence_units(network, batches)
    after = [network(b.descriptors[0], b.keypoints[0], b.padding[0]) for b in batches]
    for one, other, batch in zip(before, after, batches, strict=True):
        kept = ~batch.padding[0]
        torch.testing.assert_close(one[kept], other[kept], atol=1e-6, rtol=0)
    assert silenced >= 50
    gone = ~first.weight.any(dim=1)
    assert gone[:3].all() and gone[4:50].all() and not gone[3]
    assert encoder.weight[5].any() and not encoder.weight[6].any()
    assert not network.denc.encoder[2].weight[:, :3].any()
    widths = without_dead_units(network).denc.encoder[0].out_features
    assert widths == 256 - int(gone.sum())


def test_a_run_can_start_without_them(tmp_path):
    train(small_settings(tmp_path, start="SIFT+Boost-F", silence_units=True, steps=0))
    path = tmp_path / "SIFT+Boost-F.safetensors"
    assert "--silence-units" in read_metadata(path)["training"]
    given, kept = (load_checkpoint(each).denc.encoder[0].weight for each in ("SIFT+Boost-F", path))
    # Those of the shipped model that were silenced stay so.
    assert not kept[~given.any(dim=1)].any() and kept.any()


@pytest.mark.parametrize("name", ["SIFT+Boost-F", "SIFT+Boost-B"])
def test_the_shipped_encoders_are_small(name):
    pruned = without_dead_units(load_checkpoint(name))
    assert pruned.denc.encoder[2].out_features < 16 and pruned.kenc.encoder[6].out_features < 64
