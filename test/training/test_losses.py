# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Losses against their definitions."""

import dataclasses

import numpy as np
import pytest
import torch
from training_runs import shifted_pair, small_settings

from feature_booster_ros.booster import FeatureBooster, load_models
from feature_booster_ros.booster.descriptors import pack_signs
from feature_booster_ros.training.datasets.batches import collate
from feature_booster_ros.training.initialization import start_near_identity
from feature_booster_ros.training.losses import (
    GCE_POWER,
    booster_loss,
    fast_ap,
    generalized_cross_entropy,
    matching_reward,
    pairwise_distances,
    soft_signs,
    straight_through_signs,
)
from feature_booster_ros.training.objective import label_counts, training_objective


def fast_ap_by_definition(distances, positive, negative, largest, bins=10):
    """Equation 8 of FastAP with every histogram bin written out."""
    units = distances * bins / largest
    pulse = (1 - (units[..., None] - torch.arange(bins + 1)).abs()).clamp_min(0)
    of_positive = (pulse * positive[..., None]).sum(-2)
    of_all = (pulse * (positive | negative)[..., None]).sum(-2)
    summed_positive, summed = of_positive.cumsum(-1), of_all.cumsum(-1)
    terms = torch.where(summed > 0, of_positive * summed_positive / summed.clamp_min(1e-12), 0.0)
    return (terms.sum(-1) / positive.sum(-1).clamp_min(1)).clamp(max=1)


def test_fast_ap_and_its_gradient_are_the_definitions():
    generator = torch.Generator().manual_seed(0)
    distances = 4 * torch.rand(2, 6, 50, generator=generator, dtype=torch.float64)
    distances.requires_grad_(True)
    positive = torch.rand(2, 6, 50, generator=generator) < 0.1
    negative = ~positive & (torch.rand(2, 6, 50, generator=generator) < 0.9)
    ours = fast_ap(distances, positive, negative, 4.0)
    definition = fast_ap_by_definition(distances, positive, negative, 4.0)
    torch.testing.assert_close(ours, definition)
    gradients = [torch.autograd.grad(ap.sum(), distances)[0] for ap in (ours, definition)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)


def test_fast_ap_of_a_perfect_and_of_a_hopeless_ranking():
    positive = torch.tensor([[True, False, False, False]])
    first = fast_ap(torch.tensor([[0.0, 3.0, 3.0, 3.0]]), positive, ~positive, 4.0)
    last = fast_ap(torch.tensor([[4.0, 0.0, 0.0, 0.0]]), positive, ~positive, 4.0)
    assert first.item() == pytest.approx(1.0)
    assert last.item() == pytest.approx(0.25)


def test_distances_are_squared_l2_and_hamming():
    a, b = (torch.nn.functional.normalize(torch.randn(5, 16), dim=-1) for _ in range(2))
    distances, largest = pairwise_distances(a, b, binary=False)
    torch.testing.assert_close(distances, torch.cdist(a, b).square(), atol=1e-5, rtol=1e-5)
    assert largest == 4
    distances, largest = pairwise_distances(a.sign(), b.sign(), binary=True)
    packed = [pack_signs(rows.numpy()) for rows in (a, b)]
    expected = np.unpackbits(packed[0][:, None] ^ packed[1][None], axis=2).sum(2)
    np.testing.assert_array_equal(distances.numpy(), expected)
    assert largest == 16


def test_binarization_passes_the_gradient_straight_through():
    x = torch.tensor([-0.3, 0.0, 0.7], requires_grad=True)
    signs = straight_through_signs(x)
    assert signs.tolist() == [-1, 1, 1]
    (signs * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1, 2, 3]


def test_soft_signs_come_near_signs_and_turn_where_they_are_near():
    x = torch.tensor([-0.9, -0.01, 0.01, 0.9], requires_grad=True)
    soft = soft_signs(x, 5.0)
    assert torch.equal(soft.sign(), x.sign())
    assert soft.abs()[[0, 3]].min() > 0.99
    soft.sum().backward()
    np.testing.assert_allclose(x.grad, 5 * (1 - np.tanh(5 * x.detach().numpy()) ** 2), rtol=1e-5)
    assert x.grad[1] > 100 * x.grad[0]


def test_the_boost_loss_punishes_only_what_got_worse():
    valid = torch.tensor([True, True, False])
    better = booster_loss(torch.tensor([0.5, 1.0, 0.0]), torch.tensor([0.4, 0.9, 1.0]), valid, 10.0)
    assert better.item() == pytest.approx(0.25)
    worse = booster_loss(torch.tensor([0.5, 1.0, 0.0]), torch.tensor([1.0, 0.9, 1.0]), valid, 10.0)
    assert worse.item() == pytest.approx(0.25 + 10 * 0.5)


def test_queries_of_other_processes_divide_the_loss():
    ap, raw = torch.tensor([0.5, 1.0, 0.0]), torch.tensor([0.4, 0.9, 1.0])
    valid = torch.tensor([True, True, False])
    loss = booster_loss(ap, raw, valid, 10.0, 2.0, torch.tensor(4.0))
    assert loss.item() == pytest.approx(2.0 * 0.5 / 4)
    nothing = torch.zeros(3, dtype=torch.bool)
    assert booster_loss(ap, raw, nothing, 10.0).item() == 0


def test_the_reward_is_the_expected_one_of_matching():
    # Two features an image; the first of each are alike and a positive, the second are far from
    # all, and a negative of all. A third is padding, alike to everything.
    distances = torch.tensor([[[0.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]]])
    positive = torch.zeros(1, 3, 3, dtype=torch.bool)
    positive[0, 0, 0] = True
    negative = torch.zeros(1, 3, 3, dtype=torch.bool)
    negative[0, :2, :2] = ~positive[0, :2, :2]
    padding = torch.tensor([[[False, False, True]], [[False, False, True]]])
    temperature, wrong_weight = 1.5, 0.25
    present = torch.exp(-temperature * distances[0, :2, :2])
    picked = (present / present.sum(0)) * (present / present.sum(1, keepdim=True))
    expected = picked[0, 0] - wrong_weight * (picked.sum() - picked[0, 0])
    arguments = positive, negative, padding, temperature, wrong_weight
    reward = matching_reward(distances, 4.0, *arguments)
    torch.testing.assert_close(reward, expected[None])
    # Hamming distances are taken on the same scale.
    torch.testing.assert_close(matching_reward(64 * distances, 256.0, *arguments), reward)
    # A pair of nothing but padding is finite, and so is its gradient.
    distances.requires_grad_(True)
    empty = matching_reward(
        distances, 4.0, positive & False, negative & False, padding | True, 1, 1
    )
    assert empty.item() == 0
    empty.sum().backward()
    assert torch.isfinite(distances.grad).all()


def test_the_reward_of_a_perfect_matching_is_one():
    positive = torch.eye(5, dtype=torch.bool)[None]
    padding = torch.zeros(2, 1, 5, dtype=torch.bool)
    distances = torch.where(positive, 0.0, 4.0)
    reward = matching_reward(distances, 4.0, positive, ~positive, padding, 20.0, 0.25)
    assert reward.item() == pytest.approx(1.0)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    pairs = [shifted_pair(rng, count) for count in (40, 20, 30)]
    return collate(pairs, 4, torch.device("cpu"))


@pytest.mark.parametrize("loss", ["fastap", "reward", "gce"])
def test_shares_of_the_loss_sum_up_to_the_whole(batch, tmp_path, loss):
    network = FeatureBooster(load_models()["SIFT+Boost-F"])
    start_near_identity(network)
    settings = small_settings(tmp_path, loss=loss)
    counts = label_counts(batch)
    whole = training_objective(network, batch, settings)
    parts = []
    for rows in (slice(0, 3, 2), slice(1, 3, 2)):
        part = dataclasses.replace(
            batch,
            pairs=batch.pairs[:, rows],
            positive=batch.positive[rows],
            negative=batch.negative[rows],
        )
        parts.append(training_objective(network, part, settings, counts))
    torch.testing.assert_close(sum(part.loss for part in parts), whole.loss, atol=1e-6, rtol=1e-5)
    for name, value in whole.logged.items():
        total = sum(part.logged[name] for part in parts)
        torch.testing.assert_close(total, value, atol=1e-6, rtol=1e-5)


def test_bfloat16_gives_nearly_the_same_loss(batch, tmp_path):
    torch.manual_seed(0)
    network = FeatureBooster(load_models()["SIFT+Boost-F"])
    start_near_identity(network)
    losses = [
        training_objective(network, batch, small_settings(tmp_path, precision=precision)).loss
        for precision in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    torch.testing.assert_close(*losses, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("loss", ["fastap", "reward"])
def test_a_binary_network_descends_by_soft_signs(batch, tmp_path, loss):
    """The gradient is true, so a short way down it is down; and steep ones are the signs."""
    torch.manual_seed(0)
    network = FeatureBooster(load_models()["SIFT+Boost-B"])
    start_near_identity(network)

    def objective(gain: float) -> torch.Tensor:
        settings = small_settings(tmp_path, model="SIFT+Boost-B", loss=loss, soft_signs=gain)
        return training_objective(network, batch, settings).loss

    signs = objective(0.0)
    assert signs.item() == pytest.approx(objective(1e6).item(), rel=1e-3)
    before = objective(3.0)
    assert abs(before.item() - signs.item()) > 1e-3
    before.backward()
    slope = sum(weights.grad.square().sum() for weights in network.parameters()).item()
    with torch.no_grad():
        for weights in network.parameters():
            weights -= 1e-3 / slope * weights.grad
    assert before.item() - objective(3.0).item() == pytest.approx(1e-3, rel=0.2)


def test_the_generalized_cross_entropy_has_the_gradient_of_its_definition():
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.nn.functional.normalize(torch.rand(2, n, 3, generator=generator), dim=-1).double()
        for n in (6, 7)
    )
    first.requires_grad_(True)
    second.requires_grad_(True)
    positive = torch.zeros(2, 6, 7, dtype=torch.bool)
    positive[0, range(5), range(5)] = positive[1, 2, 3] = True
    negative = ~positive & (torch.rand(2, 6, 7, generator=generator) < 0.8)
    negative[1, 5] = False  # a row of padding
    loss, wrong, probability = generalized_cross_entropy(
        first, second, positive, negative, 5.0, 0.3
    )
    gradients = torch.autograd.grad(loss, (first, second))
    logits = (5 * first @ second.mT).masked_fill(~(positive | negative), -1e3)
    p = torch.softmax(logits, -1) * torch.softmax(logits, -2)
    right = p[positive]
    expected = ((1 - right**GCE_POWER) / GCE_POWER).sum() / 6 + 0.3 * p[negative].sum() / 6
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, (first, second)))
    torch.testing.assert_close(wrong, p[negative].sum() / 6)
    torch.testing.assert_close(probability, right.mean())
