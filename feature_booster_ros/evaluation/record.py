# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves in a folder: JSON, tables and plots."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .benchmark import Benchmark
from .plots import plot_matching_accuracy, plot_pose_auc
from .tables import benchmark_text, summary_text


def write_record(
    folder: Path, benchmarks: Sequence[Benchmark], settings: dict[str, Any]
) -> list[Path]:
    """Write ``results.json``, ``tables.md``, ``mma_NAME.png`` of every benchmark with a known
    homography, and ``pose_auc.png`` where there are known poses.

    Args:
        folder: made where it does not exist.
        benchmarks: at least one.
        settings: of the run, for the record.

    Returns:
        The paths of the files.

    Raises:
        ValueError: matplotlib is not installed; JSON and tables are there by then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, tables = folder / "results.json", folder / "tables.md"
    results.write_text(json.dumps(results_json(benchmarks, settings), indent=1) + "\n")
    texts = [*map(benchmark_text, benchmarks), summary_text(benchmarks)]
    tables.write_text("\n\n".join(texts) + "\n")
    written = [results, tables]
    for benchmark in benchmarks:
        if any(score.matching for score in benchmark.scores):
            path = folder / f"mma_{benchmark.name.replace(' ', '_')}.png"
            plot_matching_accuracy(path, benchmark)
            written.append(path)
    judged = [b for b in benchmarks if any(score.pose for score in b.scores)]
    if judged:
        plot_pose_auc(folder / "pose_auc.png", judged)
        written.append(folder / "pose_auc.png")
    return written


def results_json(benchmarks: Sequence[Benchmark], settings: dict[str, Any]) -> dict[str, Any]:
    """All numbers, ready for JSON: what cannot be computed or is infinite is null."""
    return {
        "settings": settings,
        "benchmarks": [_finite(dataclasses.asdict(benchmark)) for benchmark in benchmarks],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
