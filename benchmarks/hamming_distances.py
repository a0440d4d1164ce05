# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure the Hamming distances of right and wrong matches, and thresholds for ORB-SLAM.

    python3 benchmarks/hamming_distances.py PHOTOS SEQUENCE

The thresholds of boosted ORB are those that keep the share of right matches that ORB-SLAM's 50
(TH_LOW) and 100 (TH_HIGH) keep of raw ORB.

TH_LOW is for matches without a guess of the pose: mutual nearest neighbors of photographs and
warped views of them (every tenth photograph, as `feature-booster evaluate photos` takes), right
within 3 pixels of their place, and of frames of a sequence with poses, 1 and 8 frames apart, right
within 1.5 pixels of the epipolar line, by chance too. Wrong ones are more than 10 pixels off.

TH_HIGH is for the nearest candidate around a predicted pixel: of a photograph's feature those in
the view of about the right scale, right within 3 pixels, wrong between 10 and 40.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from feature_booster_ros.evaluation.homography import transfer_errors
from feature_booster_ros.evaluation.output import format_table
from feature_booster_ros.evaluation.warped_photos import warped_pairs
from feature_booster_ros.features import Features
from feature_booster_ros.matching import match
from feature_booster_ros.methods import Method, create_methods
from feature_booster_ros.photos import find_photos, split_photos, warp_points
from feature_booster_ros.pixels import to_gray
from feature_booster_ros.sources import Frame, open_source

TH_LOW, TH_HIGH = 50, 100  # Of ORB-SLAM, for raw ORB [bits].
GAPS = (1, 8)  # Distances of the two frames of a pair [frames].
EVERY = 3  # One in so many frames begins a pair.
PHOTO_ERROR, EPIPOLAR_ERROR = 3.0, 1.5  # Largest error of a right match [px].
WRONG_ERROR = 10.0  # Least error of a wrong match [px].
WINDOW = 40.0  # Radius around a predicted pixel [px].
SCALE_RATIO = 1.3  # Largest ratio of a candidate's scale and the predicted one.

Distances = tuple[np.ndarray, np.ndarray]  # Of right and of wrong matches [bits].


def main() -> None:
    """Measure raw and boosted ORB and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", help="folder of photographs")
    parser.add_argument("sequence", help="sequence with poses, such as a KITTI folder")
    parser.add_argument("--model", default="ORB+Boost-B", help="model or weights file")
    parser.add_argument("--max-features", type=int, default=1000)
    options = parser.parse_args()
    methods = create_methods(["orb", options.model], options.max_features, "cpu")
    photos = split_photos(find_photos(options.photos), 10)[1]
    anywhere, in_window = measure_photos(photos, methods)
    rows = table_rows("photographs, TH_LOW", anywhere, TH_LOW)
    for name, measured in measure_sequence(options.sequence, methods).items():
        rows += table_rows(f"{name}, TH_LOW", measured, TH_LOW)
    rows += table_rows("photographs, TH_HIGH", in_window, TH_HIGH)
    header = ["matches", "", "right", "wrong", "threshold", "of right kept", "of wrong kept"]
    print(format_table(header, rows))


def measure_photos(
    photos: list[Path], methods: list[Method]
) -> tuple[list[Distances], list[Distances]]:
    """Return for each method the distances of matches anywhere, and of those in a window."""
    anywhere: list[list[Distances]] = [[] for _ in methods]
    in_window: list[list[Distances]] = [[] for _ in methods]
    for pair in warped_pairs(photos, methods[0].extractor):
        for number, method in enumerate(methods):
            a = method.describe(pair.photo, pair.photo_shape)
            b = method.describe(pair.view, pair.view_shape)
            points_a, points_b, distances = matched_points(a, b)
            errors = transfer_errors(points_a, points_b, pair.homography)
            anywhere[number].append(split(distances, errors, PHOTO_ERROR))
            in_window[number].append(nearest_in_window(a, b, pair.homography))
    return merged(anywhere), merged(in_window)


def measure_sequence(path: str, methods: list[Method]) -> dict[str, list[Distances]]:
    """Return by gap and for each method the distances of matches of frames."""
    name = Path(path).name
    found: dict[int, list[list[Distances]]] = {gap: [[] for _ in methods] for gap in GAPS}
    described: list[tuple[Frame, list[Features]]] = []
    with open_source(path) as source:
        for frame in source:
            image = to_gray(frame.image)
            raw = methods[0].extractor(image)
            described.append((frame, [method.describe(raw, image.shape) for method in methods]))
            for gap in GAPS:
                if len(described) > gap and len(described) % EVERY == 0:
                    before, references = described[-1 - gap]
                    for each, a, b in zip(found[gap], described[-1][1], references, strict=True):
                        points_a, points_b, distances = matched_points(a, b)
                        errors = epipolar_errors(frame, before, points_a, points_b)
                        each.append(split(distances, errors, EPIPOLAR_ERROR))
    return {
        f"{name}, {gap} frame{'s' if gap > 1 else ''} apart": merged(each)
        for gap, each in found.items()
    }


def matched_points(a: Features, b: Features) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels (M, 2) of both and the distances (M,) of mutual nearest neighbors."""
    matches = match(a, b)
    first, second = matches.indices.T
    return a.keypoints[first], b.keypoints[second], matches.distances


def nearest_in_window(a: Features, b: Features, homography: np.ndarray) -> Distances:
    """Return the distances of the nearest right and wrong candidates of each feature of ``a``."""
    places = warp_points(a.keypoints, homography)
    corners = [warp_points(a.keypoints + step, homography) - places for step in np.eye(2)]
    scales = a.scales * np.sqrt(np.abs(np.linalg.det(np.stack(corners, axis=1))))
    errors = np.linalg.norm(places[:, None] - b.keypoints, axis=2)
    ratios = np.abs(np.log(b.scales / scales[:, None]))
    bits_a, bits_b = (np.unpackbits(each.descriptors, axis=1).astype(np.float32) for each in (a, b))
    distances = bits_a.sum(axis=1)[:, None] + bits_b.sum(axis=1) - 2 * bits_a @ bits_b.T
    distances[(ratios > np.log(SCALE_RATIO)) | ~(errors <= WINDOW)] = np.inf
    right = np.where(errors <= PHOTO_ERROR, distances, np.inf).min(axis=1)
    wrong = np.where(errors > WRONG_ERROR, distances, np.inf).min(axis=1)
    return right[np.isfinite(right)], wrong[np.isfinite(wrong)]


def split(distances: np.ndarray, errors: np.ndarray, largest_right: float) -> Distances:
    """Return the distances of the right and of the wrong matches; errors that are NaN are wrong."""
    return distances[errors <= largest_right], distances[~(errors <= WRONG_ERROR)]


def merged(found: list[list[Distances]]) -> list[Distances]:
    """Return for each method the distances of all pairs of images."""
    return [
        (np.concatenate([right for right, _ in each]), np.concatenate([wrong for _, wrong in each]))
        for each in found
    ]


def epipolar_errors(
    frame: Frame, before: Frame, points: np.ndarray, points_before: np.ndarray
) -> np.ndarray:
    """Return the distances (M,) of pixels from the epipolar lines of those before [px]."""
    motion = np.linalg.inv(frame.pose) @ before.pose
    (a, b, c), rotation = motion[:3, 3], motion[:3, :3]
    essential = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]]) @ rotation
    inverse = np.linalg.inv(frame.camera.matrix)
    ones = np.ones((len(points), 1))
    pixels = np.hstack([frame.camera.undistort(points), ones])
    pixels_before = np.hstack([before.camera.undistort(points_before), ones])
    lines = pixels_before @ (inverse.T @ essential @ inverse).T
    return np.abs((lines * pixels).sum(axis=1)) / np.linalg.norm(lines[:, :2], axis=1)


def table_rows(name: str, measured: list[Distances], raw_threshold: int) -> list[list[str]]:
    """Return the rows of raw and of boosted ORB, with a threshold that keeps as many."""
    raw, boosted = measured
    kept = float((raw[0] <= raw_threshold).mean())
    threshold = int(np.ceil(np.quantile(boosted[0], kept)))
    return [row(name, "ORB", raw, raw_threshold), row("", "boosted", boosted, threshold)]


def row(name: str, method: str, distances: Distances, threshold: int) -> list[str]:
    """Return a row of the table: medians, and what a threshold [bits] keeps."""
    medians = [f"{np.median(each):.0f}" for each in distances]
    kept = [f"{100 * (each <= threshold).mean():.1f} %" for each in distances]
    return [name, method, *medians, str(threshold), *kept]


if __name__ == "__main__":
    main()
