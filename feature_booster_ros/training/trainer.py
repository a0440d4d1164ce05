# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import torch
from tqdm import tqdm

from ..booster import Booster, FeatureBooster, load_models, read_metadata, save_checkpoint
from ..booster.booster import resolve_device
from ..booster.descriptors import network_input
from ..evaluation.metrics import MatchingScore
from ..evaluation.warped_photos import WarpedPair, evaluate_warped_pairs, warped_pairs
from ..features import create_extractor
from ..photos import find_photos, split_photos
from .datasets.batches import PairBatch
from .datasets.mixture import pair_batches
from .datasets.photo_views import PhotoViews, ViewSettings, default_workers
from .initialization import start_from_checkpoint, start_near_identity
from .losses import (
    booster_loss,
    descriptor_distances,
    fast_ap,
    straight_through_signs,
)
from .settings import TrainingSettings

logger = logging.getLogger(__name__)

VALIDATION_PHOTOS = 40
VALIDATION_FEATURES = 1024


def train(settings: TrainingSettings) -> Path:
    """Trains a booster on pairs of warped photographs.

    Writes ``OUTPUT/MODEL.safetensors`` at the start and at every validation, the settings as JSON,
    and a line a validation to ``OUTPUT/log.jsonl``.

    Returns:
        The path of the weights.

    Raises:
        FileNotFoundError: no photographs there.
        ValueError: the model is not in the table, its feature is not one we extract, or a setting
            is wrong.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    device = resolve_device(settings.device)
    network = _network(settings)
    output = Path(settings.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "settings.json").write_text(json.dumps(dataclasses.asdict(settings), indent=1))
    training, held_out = split_photos(find_photos(settings.photos), settings.holdout)
    store = PhotoViews.open(
        training,
        ViewSettings(
            detector=network.config.detector,
            views=settings.views,
            features=settings.view_features,
            distribution=settings.distribution,
        ),
        Path(settings.cache or output / "cache"),
        settings.threads or default_workers(),
    )
    validation = warped_pairs(
        held_out[:VALIDATION_PHOTOS], create_extractor(network.config.detector, VALIDATION_FEATURES)
    )
    raw_score = evaluate_warped_pairs(validation)
    logger.info("raw: %s", raw_score)
    batches = pair_batches(
        store,
        settings.batch,
        settings.features,
        network.config.keypoint_dim,
        settings.seed,
        device,
    )
    _start(network, settings, batches)
    network.to(device).train()
    weights = output / f"{network.config.name}.safetensors"
    started = time.monotonic()

    def record(step: int, loss: float | None) -> None:
        score, elapsed = _validate(network, validation), time.monotonic() - started
        _log(output, step, elapsed, loss, raw_score, score)
        metadata = _metadata(settings, len(store), step, elapsed, raw_score, score)
        save_checkpoint(network, weights, metadata, torch.float16)

    record(0, None)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, settings)
    )
    progress = tqdm(range(1, settings.steps + 1), "train", mininterval=2.0)
    for step in progress:
        loss, ap, raw_ap = training_step(network, next(batches), settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}", ap=f"{ap:.3f}", raw=f"{raw_ap:.3f}")
        if step % settings.validate_every == 0 or step == settings.steps:
            record(step, loss.item())
    return weights


def training_step(
    network: FeatureBooster, batch: PairBatch, settings: TrainingSettings
) -> tuple[torch.Tensor, float, float]:
    """The loss of a batch, both directions, with the mean AP of the boosted and of the raw
    descriptors.
    """
    config = network.config
    inputs = network_input(batch.descriptors, config)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        boosted = network(inputs, batch.keypoints, batch.padding)
    boosted = boosted.float()
    if config.binary:
        boosted = straight_through_signs(boosted)
    elif config.l2_normalization:
        boosted = torch.nn.functional.normalize(boosted, dim=-1)
    distances, largest = descriptor_distances(boosted[0], boosted[1], config.binary)
    with torch.no_grad():
        raw_distances, raw_largest = descriptor_distances(
            *batch.descriptors, config.detector == "orb"
        )
    losses, aps, raw_aps = [], [], []
    for back in (False, True):
        positive, negative, d, raw_d = (
            t.transpose(-1, -2) if back else t
            for t in (batch.positive, batch.negative, distances, raw_distances)
        )
        ap = fast_ap(d, positive, negative, largest, settings.bins)
        with torch.no_grad():
            raw_ap = fast_ap(raw_d, positive, negative, raw_largest, settings.bins)
        valid = positive.any(-1)
        losses.append(booster_loss(ap, raw_ap, valid, settings.boost_weight))
        aps.append(ap[valid].mean().item())
        raw_aps.append(raw_ap[valid].mean().item())
    return (losses[0] + losses[1]) / 2, sum(aps) / 2, sum(raw_aps) / 2


def learning_rate_factor(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up to 1, then half a cosine down to 0 at the last step."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _network(settings: TrainingSettings) -> FeatureBooster:
    models = load_models()
    if settings.model not in models:
        raise ValueError(
            f"no model is called {settings.model!r} in models.yaml; there are {', '.join(models)}"
        )
    config = models[settings.model]
    if settings.descriptor_transform:
        config = dataclasses.replace(config, descriptor_transform=settings.descriptor_transform)
    return FeatureBooster(config)


def _start(
    network: FeatureBooster, settings: TrainingSettings, batches: Iterator[PairBatch]
) -> None:
    if settings.start == "identity":
        start_near_identity(network)
    elif settings.start != "random":
        fresh = start_from_checkpoint(network, settings.start, batches)
        logger.info("started from %s; new: %s", settings.start, ", ".join(fresh) or "nothing")


def _validate(network: FeatureBooster, validation: list[WarpedPair]) -> MatchingScore:
    copy = FeatureBooster(network.config)
    copy.load_state_dict(network.state_dict())
    return evaluate_warped_pairs(validation, Booster(copy, device="cpu"))


def _log(
    output: Path,
    step: int,
    seconds: float,
    loss: float | None,
    raw: MatchingScore,
    score: MatchingScore,
) -> None:
    entry = {
        "step": step,
        "seconds": round(seconds),
        "loss": None if loss is None else round(loss, 4),
        "correct": round(score.correct, 1),
        "correct_ratio": round(score.correct / raw.correct, 4),
        "accuracy": round(score.accuracy, 4),
        "accuracy_raw": round(raw.accuracy, 4),
    }
    with (output / "log.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")
    tqdm.write(json.dumps(entry))


def _metadata(
    settings: TrainingSettings,
    photos: int,
    step: int,
    seconds: float,
    raw: MatchingScore,
    score: MatchingScore,
) -> dict[str, str]:
    """What the header of a weights file says of its origin."""
    before = {}
    if settings.start not in ("identity", "random"):
        origin = read_metadata(settings.start)
        before = {key: origin[key] for key in ("training", "pairs", "before") if key in origin}
    return {
        "training": settings.command(),
        "before": json.dumps(before),
        "data": f"{photos} photographs, {settings.views} warped views each, any two paired",
        "pairs": str(step * settings.batch),
        "seconds": str(round(seconds)),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "validation": json.dumps(
            {"raw": dataclasses.asdict(raw), "boosted": dataclasses.asdict(score)}
        ),
    }
