# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables, pictures and a plot of the pipelines that the demo has recorded."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from feature_booster_ros.evaluation.frame_pairs import (
    FramePair,
    compare_matches,
    contact_sheet,
    pair_statistics,
    plot_pairs,
)
from feature_booster_ros.evaluation.odometry_report import plot_trajectories
from feature_booster_ros.evaluation.output import format_table
from feature_booster_ros.evaluation.trajectories import OdometryComparison

from .demo_odometry import odometry_rows
from .pipeline_recorder import PipelineRecord

_SHEET_IMAGES = 12


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Results of one pipeline.

    Attributes:
        label: Name in tables and pictures.
        record: Everything that it has published.
        all_pairs: Its frame pairs.
        pairs: Those that the other pipelines have too, on which they are compared.
    """

    label: str
    record: PipelineRecord
    all_pairs: Sequence[FramePair]
    pairs: Sequence[FramePair]


def report_demo(
    pipelines: Sequence[Pipeline],
    images: Mapping[int, np.ndarray],
    odometry: OdometryComparison | None,
    title: str,
    output: Path,
) -> None:
    """Print the tables, and write them, the pictures and the plot into a folder.

    Args:
        pipelines: Pipelines to compare, of at least one pair each.
        images: (H, W) uint8 by number of the frame, of the frames that were kept.
        odometry: Of the pipelines, in meters; None if there was none.
        title: Title of the plots.
        output: Existing folder.
    """
    matching = _matching_table(pipelines)
    print(f"\nMatching, mean of {len(pipelines[0].pairs)} frame pairs that all of them matched:")
    print(_format(matching))
    if pipelines[0].pairs[0].confirmed is not None:
        print("confirmed: within 3 px of where depth and pose put the point, in both frames")
    if odometry is not None:
        print("\nOdometry in meters, by measured depth, against the true way:")
        print(_format(odometry_rows(odometry)))
    work = _work_table(pipelines)
    print("\nWork, mean milliseconds of a frame while all nodes share this machine:")
    print(_format(work))
    left_out = sum(len(pipeline.all_pairs) - len(pipeline.pairs) for pipeline in pipelines)
    if left_out:
        print(
            f"{left_out} pairs are left out above, as a frame of theirs was dropped by another "
            "pipeline (play slower with --rate to see them)"
        )
    _write_csv(output / "matching.csv", matching)
    _write_csv(output / "work.csv", work)
    _write_csv(output / "pairs.csv", _pairs_table(pipelines))
    written = ["matching.csv", "work.csv", "pairs.csv"]
    if odometry is not None:
        _write_csv(output / "odometry.csv", odometry_rows(odometry))
        written.append("odometry.csv")
    written += _write_pictures(pipelines, images, output)
    try:
        plot_pairs(output / "pairs.png", {p.label: p.pairs for p in pipelines}, title)
        written.append("pairs.png")
        if odometry is not None:
            plot_trajectories(output / "trajectory.png", odometry, title)
            written.append("trajectory.png")
    except ImportError:
        print("no plot, as matplotlib is not installed: pip install matplotlib")
    print(f"\nwritten to {output}: {', '.join(written)}")


def _format(rows: Sequence[Mapping[str, object]]) -> str:
    return format_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


def _matching_table(pipelines: Sequence[Pipeline]) -> list[dict[str, object]]:
    rows = []
    for pipeline in pipelines:
        statistics = pair_statistics(pipeline.pairs)
        row: dict[str, object] = {
            "descriptors": pipeline.label,
            "features": f"{statistics.features:.0f}",
            "matches": f"{statistics.matches:.1f}",
            "inliers": f"{statistics.inliers:.1f}",
            "fewest inliers": statistics.fewest_inliers,
        }
        for key, share in (
            ("of matches", statistics.precision),
            ("of inliers", statistics.inlier_precision),
        ):
            if statistics.confirmed is not None and share is not None:
                row["confirmed"] = f"{statistics.confirmed:.1f}"
                row[key] = f"{100 * share:.1f} %"
        rows.append(row)
    return rows


def _work_table(pipelines: Sequence[Pipeline]) -> list[dict[str, object]]:
    rows = []
    for pipeline in pipelines:
        record = pipeline.record
        row: dict[str, object] = {"descriptors": pipeline.label}
        for event in ("received", "processed", "dropped"):
            row[event] = record.counts.get(("booster_node", event), "?")
        for node, stage in (
            ("booster_node", "extract"),
            ("booster_node", "boost"),
            ("matcher_node", "match"),
            ("matcher_node", "verify"),
        ):
            mean = record.milliseconds(node, stage)
            row[stage] = "?" if math.isnan(mean) else f"{mean:.1f}"
        row["device"] = record.settings.get(("booster_node", "device"), "?")
        rows.append(row)
    return rows


def _pairs_table(pipelines: Sequence[Pipeline]) -> list[dict[str, object]]:
    return [
        {
            "descriptors": pipeline.label,
            "query": pair.query,
            "reference": pair.reference,
            "features": pair.features,
            "matches": len(pair),
            "inliers": int(pair.inliers.sum()),
            "confirmed": "" if pair.confirmed is None else int(pair.confirmed.sum()),
        }
        for pipeline in pipelines
        for pair in pipeline.pairs
    ]


def _write_pictures(
    pipelines: Sequence[Pipeline], images: Mapping[int, np.ndarray], output: Path
) -> list[str]:
    """Write three pairs, chosen by the right matches of the first pipeline, and some frames."""
    written = []
    drawable = [
        i
        for i, pair in enumerate(pipelines[0].pairs)
        if pair.query in images and pair.reference in images
    ]
    drawable.sort(key=lambda i: _right_matches(pipelines[0].pairs[i]))
    if drawable:
        chosen = {"hardest": 0, "middling": len(drawable) // 2, "easiest": len(drawable) - 1}
        for name, rank in chosen.items():
            pairs = {p.label: p.pairs[drawable[rank]] for p in pipelines}
            pair = next(iter(pairs.values()))
            picture = compare_matches(pairs, images[pair.query], images[pair.reference])
            written.append(f"matches_{name}.png")
            _write_picture(output / written[-1], picture)
    if images:
        frames = sorted(images)
        sample = np.linspace(0, len(frames) - 1, min(_SHEET_IMAGES, len(frames))).astype(int)
        written.append("sequence.png")
        sheet = contact_sheet([images[frames[i]] for i in sample])
        _write_picture(output / written[-1], sheet)
    return written


def _write_picture(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path} cannot be written: is the disk full?")


def _right_matches(pair: FramePair) -> int:
    marks = pair.inliers if pair.confirmed is None else pair.confirmed
    return int(marks.sum())


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
