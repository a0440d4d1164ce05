# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluations as tables, JSON and plots."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .homography import CORNER_THRESHOLDS
from .metrics import (
    MMA_THRESHOLDS,
    OVERALL,
    EstimationScore,
    Evaluation,
    MethodScore,
    Ratio,
    bootstrap_error,
    correct_against_first,
)
from .output import add_title, format_table, new_figure
from .relative_pose import POSE_THRESHOLDS
from .sequence import STAGES

UNKNOWN = "n/a"
"""Text in place of a number that cannot be computed."""

Columns = dict[str, str]


def evaluation_text(evaluation: Evaluation) -> str:
    """Format an evaluation: title, tables in Markdown and notes."""
    rows = _main_rows(evaluation)
    parts = [f"{evaluation.title}\n{format_table(list(rows[0]), [list(r.values()) for r in rows])}"]
    if any(score.matching for score in evaluation.scores):
        parts.append(f"MMA % within pixels\n{_curves(evaluation)}")
    if evaluation.kind == "photos":
        parts.append(f"Views without roll, turned by degrees\n{_turned(evaluation)}")
    if any(len(score.homography) > 1 for score in evaluation.scores):
        parts.append(f"Homographies within pixels of mean corner error\n{_subsets(evaluation)}")
    text = "\n\n".join(parts)
    return "\n".join([text, *(f"note: {note}" for note in evaluation.notes)])


def summary_text(evaluations: Sequence[Evaluation]) -> str:
    """Format one table of all evaluations, with a row per method and the main columns of each."""
    rows = []
    for number, score in enumerate(evaluations[0].scores):
        columns = {"method": score.method}
        for evaluation in evaluations:
            for name, cell in _headline(evaluation, number).items():
                columns[f"{evaluation.name}: {name}"] = cell
        rows.append(columns)
    return f"Summary\n{format_table(list(rows[0]), [list(row.values()) for row in rows])}"


def _headline(evaluation: Evaluation, number: int) -> Columns:
    score = evaluation.scores[number]
    if evaluation.kind == "photos":
        return _matching_columns(score, correct_against_first(evaluation)[number])
    if evaluation.kind == "homography":
        accurate = score.homography[OVERALL].accuracy[3]
        ratio = correct_against_first(evaluation)[number]
        return {**_matching_columns(score, ratio), "H@3 %": percent(accurate)}
    return {"inliers": decimal(score.inliers), **_auc_columns(score.pose, POSE_THRESHOLDS)}


def _main_rows(evaluation: Evaluation) -> list[Columns]:
    rows = []
    for score, ratio in zip(evaluation.scores, correct_against_first(evaluation), strict=True):
        columns = {
            "method": score.method,
            "features": decimal(score.features, 0),
            "matches": decimal(score.matches),
        }
        if evaluation.kind in ("photos", "homography"):
            columns |= _matching_columns(score, ratio)
            columns["distinct"] = decimal(score.matching[OVERALL].distinct)
        if evaluation.kind == "photos":
            columns |= _matching_errors(score, ratio)
        if evaluation.kind == "homography":
            columns |= _homography_columns(score.homography[OVERALL])
        if evaluation.kind in ("sequence", "pose"):
            columns |= _pose_columns(score)
        if evaluation.kind == "sequence":
            columns |= {f"{stage} ms": decimal(score.milliseconds[stage]) for stage in STAGES}
        rows.append(columns)
    return rows


def _matching_columns(score: MethodScore, ratio: Ratio | None, subset: str = OVERALL) -> Columns:
    matching = score.matching[subset]
    return {
        "correct": decimal(matching.correct),
        "vs first": "" if ratio is None else f"{100 * (ratio.value - 1):+.1f} %",
        "MMA@3 %": percent(matching.accuracy),
    }


def _matching_errors(score: MethodScore, ratio: Ratio | None) -> Columns:
    """Return the standard errors over the photographs, each of which is in one pair."""
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
    share = score.inliers / score.matches if score.matches and score.inliers is not None else None
    return {
        "inliers": decimal(score.inliers),
        "inlier %": percent(share),
        **_auc_columns(score.pose, POSE_THRESHOLDS),
        "error deg": decimal(score.pose.median_error if score.pose else None, 2),
        "no pose": str(score.pose.failures) if score.pose else UNKNOWN,
    }


def _auc_columns(score: EstimationScore | None, thresholds: Sequence[int]) -> Columns:
    return {f"AUC@{limit} %": percent(score.auc[limit] if score else None) for limit in thresholds}


def _curves(evaluation: Evaluation) -> str:
    rows = [
        [score.method, subset, *(percent(share) for share in matching.curve)]
        for score in evaluation.scores
        for subset, matching in score.matching.items()
    ]
    return format_table(["method", "subset", *map(str, MMA_THRESHOLDS)], rows)


def _subsets(evaluation: Evaluation) -> str:
    rows = [
        {"method": score.method, "subset": subset, **_homography_columns(homography)}
        for score in evaluation.scores
        for subset, homography in score.homography.items()
    ]
    return format_table(list(rows[0]), [list(row.values()) for row in rows])


def _turned(evaluation: Evaluation) -> str:
    rows = []
    for subset in evaluation.scores[0].matching:
        if subset == OVERALL:
            continue
        ratios = correct_against_first(evaluation, subset)
        rows += [
            {"method": score.method, "subset": subset, **_matching_columns(score, ratio, subset)}
            for score, ratio in zip(evaluation.scores, ratios, strict=True)
        ]
    return format_table(list(rows[0]), [list(row.values()) for row in rows])


def decimal(number: float | None, digits: int = 1) -> str:
    """Return the number rounded, or ``UNKNOWN`` for None and what is not finite."""
    return f"{number:.{digits}f}" if number is not None and math.isfinite(number) else UNKNOWN


def percent(share: float | None) -> str:
    """Return a share in percent, or ``UNKNOWN``."""
    return decimal(None if share is None else 100 * share)


def write_evaluations(
    folder: Path, evaluations: Sequence[Evaluation], settings: dict[str, Any]
) -> list[Path]:
    """Write evaluations as JSON, tables and plots.

    Files: ``results.json``, ``tables.md``, ``mma_NAME.png`` of every evaluation with known
    homographies, and ``pose_auc.png`` if there are known poses.

    Args:
        folder: Created if it does not exist.
        evaluations: At least one.
        settings: Settings of the run, to be kept with the results.

    Returns:
        The paths of the files.

    Raises:
        ValueError: matplotlib is not installed; JSON and tables are written by then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, tables = folder / "results.json", folder / "tables.md"
    results.write_text(json.dumps(results_json(evaluations, settings), indent=1) + "\n")
    texts = [*map(evaluation_text, evaluations), summary_text(evaluations)]
    tables.write_text("\n\n".join(texts) + "\n")
    written = [results, tables]
    for evaluation in evaluations:
        if any(score.matching for score in evaluation.scores):
            path = folder / f"mma_{evaluation.name.replace(' ', '_')}.png"
            plot_matching_accuracy(path, evaluation)
            written.append(path)
    judged = [b for b in evaluations if any(score.pose for score in b.scores)]
    if judged:
        plot_pose_auc(folder / "pose_auc.png", judged)
        written.append(folder / "pose_auc.png")
    return written


def results_json(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> dict[str, Any]:
    """Return all numbers for JSON; what cannot be computed or is infinite is null."""
    return {
        "settings": settings,
        "evaluations": [_finite(dataclasses.asdict(evaluation)) for evaluation in evaluations],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_DASHES = ("-", "--", "-.", ":")


def plot_matching_accuracy(path: Path, evaluation: Evaluation) -> None:
    """Plot every method's mean matching accuracy over the pixels, one panel per subset (PNG)."""
    subsets = list(evaluation.scores[0].matching)
    figure = new_figure(2.5 + 3.6 * len(subsets), 4.2)
    dashes = _dash_of_detectors(evaluation)
    for axes, subset in zip(
        figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0], subsets, strict=True
    ):
        for score in evaluation.scores:
            curve = [100 * share for share in score.matching[subset].curve]
            axes.plot(MMA_THRESHOLDS, curve, dashes[score.detector], label=score.method)
        axes.set_title(subset, fontsize=9)
        axes.set_xlabel("threshold in pixels")
        axes.set_xticks(MMA_THRESHOLDS)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean matching accuracy in %")
    figure.axes[0].set_ylim(0, 100)
    figure.axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    add_title(figure, evaluation.title)
    figure.savefig(path, dpi=120)


def plot_pose_auc(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Plot every method's pose AUC at each threshold as bars, one panel per evaluation (PNG).

    A method without a number has the label n/a and no bar.
    """
    figure = new_figure(8, 0.8 + 2.8 * len(evaluations))
    for axes, evaluation in zip(
        figure.subplots(len(evaluations), 1, squeeze=False)[:, 0], evaluations, strict=True
    ):
        width = 0.85 / len(evaluation.scores)
        for number, score in enumerate(evaluation.scores):
            places = [group + number * width for group in range(len(POSE_THRESHOLDS))]
            shares = [score.pose.auc[limit] if score.pose else None for limit in POSE_THRESHOLDS]
            bars = axes.bar(
                places, [100 * (share or 0) for share in shares], width, label=score.method
            )
            labels = ["n/a" if share is None else f"{100 * share:.0f}" for share in shares]
            axes.bar_label(bars, labels, fontsize=7)
        middle = (len(evaluation.scores) - 1) * width / 2
        axes.set_xticks(
            [group + middle for group in range(len(POSE_THRESHOLDS))],
            [f"AUC@{limit} degrees" for limit in POSE_THRESHOLDS],
        )
        axes.set_ylim(0, 105)
        axes.set_ylabel("pose AUC in %")
        axes.set_title(evaluation.title, fontsize=8)
        axes.grid(alpha=0.3, axis="y")
    figure.axes[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.savefig(path, dpi=120)


def _dash_of_detectors(evaluation: Evaluation) -> dict[str, str]:
    """Return a line style for each detector: methods of one detector share their keypoints."""
    detectors = dict.fromkeys(score.detector for score in evaluation.scores)
    return {name: _DASHES[number % len(_DASHES)] for number, name in enumerate(detectors)}
