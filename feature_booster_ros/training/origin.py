# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the header of a weights file says of its origin."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone

from ..booster import read_metadata
from ..evaluation.metrics import MatchingScore
from .datasets.mixture import PairMixture
from .settings import TrainingSettings
from .validation import Validation


def origin(
    settings: TrainingSettings,
    mixture: PairMixture,
    step: int,
    seconds: float,
    validation: Validation,
) -> dict[str, str]:
    """How weights came about: the command, and what it started from; the data; pairs and seconds
    so far; the scores. Nothing of it tells of the machine's folders.
    """
    before = {}
    if settings.start not in ("identity", "random"):
        metadata = read_metadata(settings.start)
        before = {key: metadata[key] for key in ("training", "pairs", "before") if key in metadata}
    sources = zip(mixture.names, mixture.sources, strict=True)
    scores = {
        part: {name: _means(score) for name, score in of_source.items()}
        for part, of_source in (("raw", validation.raw), ("boosted", validation.boosted))
    }
    return {
        "training": settings.command(),
        "before": json.dumps(before),
        "data": ", ".join(f"{name} ({len(source)} pairs an epoch)" for name, source in sources),
        "pairs": str(step * settings.batch),
        "seconds": str(round(seconds)),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "validation": json.dumps(scores),
    }


def _means(score: MatchingScore) -> dict[str, object]:
    """The score without what is of single pairs, which would fill a header."""
    fields = dataclasses.asdict(score)
    return {key: value for key, value in fields.items() if not key.startswith("pair_")}
