#!/usr/bin/env python3
# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw README.md's picture: raw matches above boosted ones, judged by ground truth.

The two frames are of the demo's rendered flight, 0.4 s apart, and chosen for the large gain. Of all
matches, 80 are drawn, chosen evenly. The shares of all pairs of frames 0.2 and 0.4 s apart are
printed for comparison.
"""

from pathlib import Path

import cv2
import numpy as np

from feature_booster_ros.booster import Booster
from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.matching import match
from feature_booster_ros.matching.drawing import draw_matches, tile
from feature_booster_ros.rendering.sequence import RenderedSequence

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "matches.jpg"
MODEL = "SIFT+Boost-F"
REFERENCE, QUERY = 38, 40
LINES = 80


def match_and_confirm(
    sequence: RenderedSequence, features: list[Features], query: int, reference: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return matched pixels (M, 2) of query and reference, and whether each pair is right (M,)."""
    matches = match(features[query], features[reference])
    query_points = features[query].keypoints[matches.indices[:, 0]]
    reference_points = features[reference].keypoints[matches.indices[:, 1]]
    right = sequence.confirm(query, reference, query_points, reference_points)
    return query_points, reference_points, right


def main() -> None:
    """Draw the picture and print the shares."""
    sequence = RenderedSequence(color=True)
    extractor, booster = create_extractor("sift", 1000), Booster.from_pretrained(MODEL, "cpu")
    images = [sequence.image(index) for index in range(sequence.length)]
    raw = [extractor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)) for image in images]
    boosted = [booster(features, images[0].shape[:2]) for features in raw]
    panels = []
    for name, features in (("SIFT", raw), (MODEL, boosted)):
        query_points, reference_points, right = match_and_confirm(
            sequence, features, QUERY, REFERENCE
        )
        panels.append(
            draw_matches(
                images[QUERY],
                images[REFERENCE],
                query_points,
                reference_points,
                right,
                caption=name,
                max_lines=LINES,
                noun="right",
            )
        )
        pairs = [(i + step, i) for step in (1, 2) for i in range(sequence.length - step)]
        judged = np.concatenate([match_and_confirm(sequence, features, *pair)[2] for pair in pairs])
        print(f"{name}: {judged.sum()} of {len(judged)} right ({100 * judged.mean():.1f} %)")
    cv2.imwrite(str(PICTURE), tile(panels, columns=1), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
