# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the steps of training, batched and in a plain loop over pairs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..booster import FeatureBooster
from ..booster.booster import resolve_device
from ..features.extractor import extractor_class
from .components import make_batch, make_config, make_context
from .datasets.batches import PairBatch
from .datasets.mixture import open_mixture
from .initialization import start_near_identity
from .losses import pairwise_distances
from .objective import boost_batch, training_objective
from .settings import TrainingSettings


@dataclass(frozen=True)
class StepTiming:
    """Times of steps, forward and backward, of two implementations that take turns.

    Attributes:
        pairs: Image pairs of a step.
        ours: Times of the batched implementation with FastAP's histogram in closed form [s].
        pair_by_pair: Times of a loop over the pairs, with the histogram as it is defined [s].
        losses: Losses of both in the first step, which are equal but for rounding.
    """

    pairs: int
    ours: Sequence[float]
    pair_by_pair: Sequence[float]
    losses: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Median time of the loop over that of the batched implementation."""
        return float(np.median(self.pair_by_pair) / np.median(self.ours))

    def __str__(self) -> str:
        lines = [
            f"{name:13}{np.median(seconds):8.3f} s a step {self.pairs / np.median(seconds):8.1f} "
            "pairs/s"
            for name, seconds in (("ours", self.ours), ("pair by pair", self.pair_by_pair))
        ]
        return "\n".join([*lines, f"ratio {self.ratio:.2f} over {len(self.ours)} steps of each"])


def time_steps(settings: TrainingSettings, steps: int = 5) -> StepTiming:
    """Time steps of a run on its device, after one step of each implementation to warm up.

    The time to draw the pairs, which both share, is left out.

    Args:
        settings: Settings of a run with the loss fastap.
        steps: Steps to time of each implementation.

    Raises:
        FileNotFoundError, ValueError: As :func:`.trainer.train`, or ``steps`` is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device, config = resolve_device(settings.device), make_config(settings)
    torch.manual_seed(settings.seed)
    network = FeatureBooster(config)
    start_near_identity(network)
    network.to(device).train()
    mixture = open_mixture(
        settings.data, make_context(settings, config), settings.seed, settings.features
    )
    ways = (_batched, _pair_by_pair)
    seconds: tuple[list[float], list[float]] = [], []
    losses: list[float] = []
    for step in range(steps + 1):
        pairs = mixture.draw_step(step, range(settings.batch))
        batch = make_batch(pairs, settings, config, device)
        for way, taken in zip(ways, seconds, strict=True):
            loss, elapsed = _time(way, network, batch, settings)
            if step == 0:
                losses.append(loss)
            else:
                taken.append(elapsed)
    return StepTiming(settings.batch, *seconds, (losses[0], losses[1]))


def _time(
    way: Callable[[FeatureBooster, PairBatch, TrainingSettings], Tensor],
    network: FeatureBooster,
    batch: PairBatch,
    settings: TrainingSettings,
) -> tuple[float, float]:
    network.zero_grad(set_to_none=True)
    started = time.perf_counter()
    loss = way(network, batch, settings)
    loss.backward()
    value = loss.item()
    if batch.descriptors.is_cuda:
        torch.cuda.synchronize(batch.descriptors.device)
    return value, time.perf_counter() - started


def _batched(network: FeatureBooster, batch: PairBatch, settings: TrainingSettings) -> Tensor:
    return training_objective(network, batch, settings).loss


def _pair_by_pair(network: FeatureBooster, batch: PairBatch, settings: TrainingSettings) -> Tensor:
    """Boost each image of each pair by itself, and count every query's histogram bin by bin."""
    binary = network.config.binary
    terms: tuple[list[Tensor], list[Tensor]] = [], []
    _, boost_weight, _ = settings.loss_weights
    for index in range(batch.positive.shape[0]):
        views = batch.pairs[:, index].tolist()
        images = []
        for view in views:
            image = dataclasses.replace(
                batch,
                descriptors=batch.descriptors[view : view + 1],
                keypoints=batch.keypoints[view : view + 1],
                padding=batch.padding[view : view + 1],
            )
            images.append(boost_batch(network, image, settings)[0])
        distances, largest = pairwise_distances(images[0], images[1], binary)
        raw, raw_largest = pairwise_distances(
            batch.descriptors[views[0]],
            batch.descriptors[views[1]],
            extractor_class(network.config.detector).is_binary,
        )
        labels = batch.positive[index], batch.negative[index]
        for back, kept in enumerate(terms):
            positive, negative, d, raw_d = (t.T if back else t for t in (*labels, distances, raw))
            ap = _fast_ap_by_bins(d, positive, negative, largest, settings.bins)
            with torch.no_grad():
                raw_ap = _fast_ap_by_bins(raw_d, positive, negative, raw_largest, settings.bins)
            boost = (raw_ap / ap.clamp_min(1e-3) - 1).clamp_min(0)
            kept.append((1 - ap + boost_weight * boost)[positive.any(-1)])
    return torch.stack([torch.cat(kept).mean() for kept in terms]).mean()


def _fast_ap_by_bins(
    distances: Tensor, positive: Tensor, negative: Tensor, largest: float, bins: int
) -> Tensor:
    """Return the average precision by equation 8 of FastAP as it is written."""
    width = largest / bins
    of_positive, of_all = [], []
    for edge in range(bins + 1):
        pulse = (1 - (distances - edge * width).abs() / width).clamp_min(0)
        of_positive.append((pulse * positive).sum(-1))
        of_all.append((pulse * (positive | negative)).sum(-1))
    histogram = torch.stack(of_positive, -1)
    summed, summed_positive = torch.stack(of_all, -1).cumsum(-1), histogram.cumsum(-1)
    precision = summed_positive / summed.clamp_min(torch.finfo(summed.dtype).eps)
    return (histogram * precision).sum(-1) / positive.sum(-1).clamp_min(1)
