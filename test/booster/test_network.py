# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network: shapes, switches, padding, and the authors' own outputs where their weights are at
hand.
"""

import dataclasses

import numpy as np
import pytest
import torch
from records import shared

from feature_booster_ros.booster import FeatureBooster, ModelConfig, load_checkpoint, load_models

MODELS = load_models()


def inputs(config: ModelConfig, *shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    descriptors = torch.randn(*shape, config.descriptor_dim, generator=generator)
    keypoints = torch.randn(*shape, config.keypoint_dim, generator=generator)
    return torch.nn.functional.normalize(descriptors, dim=-1), keypoints


def test_every_published_model_is_in_the_table():
    assert set(MODELS) == {
        "SIFT+Boost-F", "SIFT+Boost-B", "ORB+Boost-B", "SuperPoint+Boost-F", "SuperPoint+Boost-B",
        "ALIKE+Boost-F", "ALIKE+Boost-B",
    }  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_each_model_gives_what_its_configuration_says(name):
    config = MODELS[name]
    network = FeatureBooster(config).eval()
    with torch.no_grad():
        boosted = network(*inputs(config, 33))
    assert boosted.shape == (33, config.output_dim)
    if config.l2_normalization:
        torch.testing.assert_close(boosted.norm(dim=-1), torch.ones(33))
    if config.last_activation == "tanh":
        assert boosted.abs().max() <= 1 and boosted.min() < 0


@pytest.mark.parametrize("name", ["SIFT+Boost-F", "SIFT+Boost-B"])
def test_the_authors_checkpoints_give_their_outputs(name):
    official = shared("official")
    golden = np.load(official / "golden.npz")
    network = load_checkpoint(official / f"{name}.pth")
    with torch.no_grad():
        boosted = network(
            torch.from_numpy(golden["descriptors"]),
            torch.from_numpy(golden["normalized_keypoints"]),
        )
    np.testing.assert_allclose(boosted.numpy(), golden[f"out_{name}"], atol=1e-5)


VARIANTS = {
    "plain": {},
    "no keypoint encoder": {"use_kenc": False},
    "no cross-boosting": {"use_cross": False},
    "multi-head attention": {"use_mha": True},
    "no descriptor encoder": {"descriptor_encoder": ()},
    "sigmoid": {"last_activation": "sigmoid"},
    "relu": {"last_activation": "relu"},
}


def variant(name: str) -> FeatureBooster:
    torch.manual_seed(0)
    return FeatureBooster(dataclasses.replace(MODELS["SIFT+Boost-F"], **VARIANTS[name])).eval()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_any_number_of_features_batched_or_not(name, count):
    network = variant(name)
    descriptors, keypoints = inputs(network.config, 3, count)
    with torch.no_grad():
        batched = network(descriptors, keypoints)
        single = torch.stack([network(d, k) for d, k in zip(descriptors, keypoints, strict=True)])
    assert batched.shape == (3, count, 128)
    assert torch.isfinite(batched).all()
    torch.testing.assert_close(batched, single, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_padding_changes_nothing(name):
    network = variant(name)
    descriptors, keypoints = inputs(network.config, 40)
    padded = [torch.cat([t, 100 * torch.ones(24, t.shape[1])]) for t in (descriptors, keypoints)]
    mask = torch.arange(64) >= 40
    with torch.no_grad():
        torch.testing.assert_close(
            network(*padded, mask)[:40], network(descriptors, keypoints), atol=1e-6, rtol=1e-5
        )
        nothing = network(*padded, torch.ones(64, dtype=torch.bool))
    assert torch.isfinite(nothing).all()


def test_padding_leaves_gradients_finite():
    network = variant("plain").train()
    descriptors, keypoints = inputs(network.config, 2, 10)
    mask = torch.tensor([[False] * 6 + [True] * 4, [True] * 10])
    network(descriptors, keypoints, mask)[0, :6].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("name", ["plain", "multi-head attention"])
def test_the_order_of_features_does_not_matter_but_their_company_does(name):
    network = variant(name)
    descriptors, keypoints = inputs(network.config, 30)
    order = torch.randperm(30)
    with torch.no_grad():
        boosted = network(descriptors, keypoints)
        torch.testing.assert_close(
            network(descriptors[order], keypoints[order]), boosted[order], atol=1e-5, rtol=1e-5
        )
        assert (network(descriptors[:15], keypoints[:15]) - boosted[:15]).abs().max() > 1e-3


def test_without_cross_boosting_the_company_does_not_matter():
    network = variant("no cross-boosting")
    descriptors, keypoints = inputs(network.config, 30)
    with torch.no_grad():
        torch.testing.assert_close(
            network(descriptors[:15], keypoints[:15]), network(descriptors, keypoints)[:15]
        )


def test_attention_free_attention_is_the_papers_equation():
    """Equation 5 written out, feature by feature and channel by channel."""
    layer = variant("plain").attn_proj.layers[0].attn.double()
    x = torch.randn(7, 128, dtype=torch.float64)
    with torch.no_grad():
        query, key, value = layer.query(x), layer.key(x), layer.value(x)
        expected = torch.empty_like(x)
        for i in range(7):
            for c in range(128):
                weights = torch.exp(key[:, c])
                average = (weights * value[:, c]).sum() / weights.sum()
                expected[i, c] = torch.sigmoid(query[i, c]) * average
        expected = layer.layer_norm(layer.proj(expected) + x)
        torch.testing.assert_close(layer(x), expected)


def test_dropout_is_of_training_alone():
    torch.manual_seed(0)
    network = FeatureBooster(MODELS["SIFT+Boost-F"], dropout=0.3)
    data = inputs(network.config, 20)
    with torch.no_grad():
        assert not torch.equal(network.train()(*data), network(*data))
        assert torch.equal(network.eval()(*data), network(*data))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"last_activation": "gelu"}, "last_activation must be one of none, relu, sigmoid, tanh"),
        ({"keypoint_dim": 5}, "keypoint_dim must be 3"),
        ({"output_dim": 250, "binary": True}, "output_dim must be a multiple of 8"),
        ({"use_mha": True, "attention_heads": 3}, "attention_heads must be a divisor"),
        ({"keypoint_encoder": "32"}, "keypoint_encoder must be a list"),
        ({"use_kenc": "no"}, "use_kenc must be true or false"),
    ],
)
def test_a_wrong_configuration_names_model_and_field(change, text):
    entry = {**MODELS["SIFT+Boost-F"].to_dict(), **change}
    with pytest.raises(ValueError, match=f"'mine': {text}"):
        ModelConfig.from_dict("mine", entry)


def test_a_table_with_a_wrong_key_is_refused(tmp_path):
    table = tmp_path / "models.yaml"
    table.write_text("mine: {detector: sift, layers: 3}")
    with pytest.raises(ValueError, match="unknown key 'layers'"):
        load_models(table)
    table.write_text("mine: {detector: sift}")
    with pytest.raises(ValueError, match="key 'keypoint_dim' is missing"):
        load_models(table)
    table.write_text("mine: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_models(table)
