# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .benchmark import OVERALL, Benchmark, MethodScore, Ratio, correct_against_first
from .homography import CORNER_THRESHOLDS
from .metrics import MMA_THRESHOLDS, EstimationScore, bootstrap_error
from .relative_pose import POSE_THRESHOLDS
from .sequence import STAGES
from .table import format_table

UNKNOWN = "n/a"
"""In place of a number that cannot be computed."""

Columns = dict[str, str]


def benchmark_text(benchmark: Benchmark) -> str:
    """Title, tables in Markdown and notes."""
    rows = _main_rows(benchmark)
    parts = [f"{benchmark.title}\n{format_table(list(rows[0]), [list(r.values()) for r in rows])}"]
    if any(score.matching for score in benchmark.scores):
        parts.append(f"MMA % within pixels\n{_curves(benchmark)}")
    if any(len(score.homography) > 1 for score in benchmark.scores):
        parts.append(f"Homographies within pixels of mean corner error\n{_subsets(benchmark)}")
    text = "\n\n".join(parts)
    return "\n".join([text, *(f"note: {note}" for note in benchmark.notes)])


def summary_text(benchmarks: Sequence[Benchmark]) -> str:
    """One table of all benchmarks: a row a method, and of each benchmark what it is about."""
    rows = []
    for number, score in enumerate(benchmarks[0].scores):
        columns = {"method": score.method}
        for benchmark in benchmarks:
            for name, cell in _headline(benchmark, number).items():
                columns[f"{benchmark.name}: {name}"] = cell
        rows.append(columns)
    return f"Summary\n{format_table(list(rows[0]), [list(row.values()) for row in rows])}"


def _headline(benchmark: Benchmark, number: int) -> Columns:
    score = benchmark.scores[number]
    if benchmark.kind == "photos":
        return _matching_columns(score, correct_against_first(benchmark)[number])
    if benchmark.kind == "homography":
        accurate = score.homography[OVERALL].accuracy[3]
        ratio = correct_against_first(benchmark)[number]
        return {**_matching_columns(score, ratio), "H@3 %": percent(accurate)}
    return {"inliers": decimal(score.inliers), **_auc_columns(score.pose, POSE_THRESHOLDS)}


def _main_rows(benchmark: Benchmark) -> list[Columns]:
    rows = []
    for score, ratio in zip(benchmark.scores, correct_against_first(benchmark), strict=True):
        columns = {
            "method": score.method,
            "features": decimal(score.features, 0),
            "matches": decimal(score.matches),
        }
        if benchmark.kind in ("photos", "homography"):
            columns |= _matching_columns(score, ratio)
            columns["distinct"] = decimal(score.matching[OVERALL].distinct)
        if benchmark.kind == "photos":
            columns |= _matching_errors(score, ratio)
        if benchmark.kind == "homography":
            columns |= _homography_columns(score.homography[OVERALL])
        if benchmark.kind in ("sequence", "pose"):
            columns |= _pose_columns(score)
        if benchmark.kind == "sequence":
            columns |= {f"{stage} ms": decimal(score.milliseconds[stage]) for stage in STAGES}
        rows.append(columns)
    return rows


def _matching_columns(score: MethodScore, ratio: Ratio | None) -> Columns:
    matching = score.matching[OVERALL]
    return {
        "correct": decimal(matching.correct),
        "vs first": "" if ratio is None else f"{100 * (ratio.value - 1):+.1f} %",
        "MMA@3 %": percent(matching.accuracy),
    }


def _matching_errors(score: MethodScore, ratio: Ratio | None) -> Columns:
    """Standard errors over the photographs, each of which is in one pair."""
    matching = score.matching[OVERALL]
    return {
        "± correct": decimal(bootstrap_error(matching.pair_correct)),
        "± vs first": "" if ratio is None else percent(ratio.error),
        "± MMA@3": percent(bootstrap_error(matching.pair_accuracy)),
    }


def _homography_columns(score: EstimationScore) -> Columns:
    return {
        "H error px": decimal(score.median_error, 2),
        **{f"H@{limit} %": percent(score.accuracy[limit]) for limit in CORNER_THRESHOLDS},
        **{f"AUC@{limit} %": percent(score.auc[limit]) for limit in CORNER_THRESHOLDS},
        "no H": str(score.failures),
    }


def _pose_columns(score: MethodScore) -> Columns:
    share = score.inliers / score.matches if score.matches else None
    return {
        "inliers": decimal(score.inliers),
        "inlier %": percent(share),
        **_auc_columns(score.pose, POSE_THRESHOLDS),
        "error deg": decimal(score.pose and score.pose.median_error, 2),
        "no pose": str(score.pose.failures) if score.pose else UNKNOWN,
    }


def _auc_columns(score: EstimationScore | None, thresholds: Sequence[int]) -> Columns:
    return {f"AUC@{limit} %": percent(score and score.auc[limit]) for limit in thresholds}


def _curves(benchmark: Benchmark) -> str:
    rows = [
        [score.method, subset, *(percent(share) for share in matching.curve)]
        for score in benchmark.scores
        for subset, matching in score.matching.items()
    ]
    return format_table(["method", "subset", *map(str, MMA_THRESHOLDS)], rows)


def _subsets(benchmark: Benchmark) -> str:
    rows = [
        {"method": score.method, "subset": subset, **_homography_columns(homography)}
        for score in benchmark.scores
        for subset, homography in score.homography.items()
    ]
    return format_table(list(rows[0]), [list(row.values()) for row in rows])


def decimal(number: float | None, digits: int = 1) -> str:
    """The number rounded, or that there is none: unknown, or infinite."""
    return f"{number:.{digits}f}" if number is not None and math.isfinite(number) else UNKNOWN


def percent(share: float | None) -> str:
    """A share in percent, or that it is not known."""
    return decimal(None if share is None else 100 * share)
