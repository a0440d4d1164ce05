# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The runs of ``feature-booster evaluate``: from paths to evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..features import Extractor
from ..methods import Method
from ..photos import find_photos, split_photos
from ..progress import Progress
from ..sources import open_source
from .homography import evaluate_homography_sets
from .image_pairs import read_hpatches, read_pair, read_pose_pairs
from .metrics import OVERALL, Evaluation, MethodScore
from .relative_pose import evaluate_pose_pairs
from .sequence import evaluate_sequence
from .warped_photos import WarpedPair, evaluate_warped_pairs, turned_pairs, warped_pairs


def run_photos(
    folder: str | Path, methods: Sequence[Method], holdout: int, seed: int = 1
) -> Evaluation:
    """Evaluate methods on warped photographs.

    Args:
        folder: Folder of photographs.
        methods: Methods to compare.
        holdout: Take every n-th photograph only, those that ``train`` with the same number holds
            out; 1 for all.
        seed: Seed of the views, at least 0.

    Raises:
        ValueError: The seed is below 0, or ``holdout`` below 1.
    """
    for name, value, least in (("holdout", holdout, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"--{name} is {value}: it must be {least} or above")
    found = find_photos(folder)
    photos = split_photos(found, holdout)[1]
    by_extractor: dict[Extractor, dict[str, list[WarpedPair]]] = {}
    scores = []
    for method in methods:
        extractor = method.extractor
        if extractor not in by_extractor:
            turned = turned_pairs(photos, extractor, seed)
            by_extractor[extractor] = {OVERALL: warped_pairs(photos, extractor, seed=seed)} | {
                f"turned {turn}": pairs for turn, pairs in turned.items()
            }
        matching = {
            subset: evaluate_warped_pairs(
                Progress(pairs, f"match ({method.name}, {subset})"), method.describe
            )
            for subset, pairs in by_extractor[extractor].items()
        }
        scores.append(
            MethodScore(
                method=method.name,
                detector=extractor.name,
                pairs=len(by_extractor[extractor][OVERALL]),
                features=matching[OVERALL].features,
                matches=matching[OVERALL].matches,
                matching=matching,
            )
        )
    notes = []
    if len(photos) < len(found):
        notes.append(
            f"{len(photos)} of the {len(found)} photographs in {folder}: those that training holds "
            f"out (--holdout {holdout}); --holdout 1 takes all"
        )
    if unread := len(photos) - scores[0].pairs:
        notes.append(f"{unread} photographs could not be read and are left out")
    title = f"{scores[0].pairs} warped photographs, {_cap(methods)}"
    return Evaluation("photos", "photos", title, tuple(scores), tuple(notes))


def run_sequence(
    uri: str | Path,
    methods: Sequence[Method],
    gaps: Sequence[int],
    wide_pixels: str = "stretch",
) -> list[Evaluation]:
    """Evaluate methods on pairs of frames of a sequence, one evaluation for each gap.

    Args:
        uri: The sequence, as for :func:`open_source`.
        methods: Methods to compare.
        gaps: Distances of the two frames of a pair, in frames.
        wide_pixels: As for :func:`evaluate_sequence`.
    """
    with open_source(uri) as source:
        by_gap = evaluate_sequence(source, methods, gaps, wide_pixels)
        skipped, has_camera = len(source.skipped), source.camera is not None
    notes = [f"{skipped} frames could not be used and are skipped"] if skipped else []
    evaluations = []
    for gap, scores in by_gap.items():
        title = f"{scores[0].pairs} pairs {gap} frames apart of {uri}, {_cap(methods)}"
        pose_notes = _pose_notes(scores[0], has_camera)
        evaluations.append(
            Evaluation("sequence", f"gap {gap}", title, tuple(scores), (*notes, *pose_notes))
        )
    return evaluations


def _pose_notes(score: MethodScore, has_camera: bool) -> list[str]:
    judged = score.pose.pairs if score.pose else 0
    if not has_camera:
        return ["no pose AUC: the source does not know its intrinsics (SOURCE,camera=fx,fy,cx,cy)"]
    if not judged:
        return ["no pose AUC: no pair with ground-truth poses and a motion between them"]
    if judged < score.pairs:
        return [
            f"pose AUC of {judged} of the {score.pairs} pairs: the others have no ground truth, or "
            "no motion between them"
        ]
    return []


def run_hpatches(
    folder: str | Path, methods: Sequence[Method], every_sequence: bool = False
) -> Evaluation:
    """Evaluate methods on HPatches; arguments as for :func:`read_hpatches`."""
    sets, left_out = read_hpatches(folder, every_sequence)
    scores = evaluate_homography_sets(sets, methods)
    kinds = [images.subset for images in sets]
    title = (
        f"HPatches, {len(sets)} sequences ({kinds.count('illumination')} illumination, "
        f"{kinds.count('viewpoint')} viewpoint), {_cap(methods)}"
    )
    notes = []
    if left_out:
        notes.append(f"left out for their size, as in D2-Net's protocol: {', '.join(left_out)}")
    return Evaluation("homography", "hpatches", title, tuple(scores), tuple(notes))


def run_homography(
    first: str | Path, second: str | Path, homography: str | Path, methods: Sequence[Method]
) -> Evaluation:
    """Evaluate methods on one pair of images; arguments as for :func:`read_pair`."""
    images = read_pair(first, second, homography)
    scores = evaluate_homography_sets([images], methods)
    title = f"{first} and {second}, {_cap(methods)}"
    return Evaluation("homography", images.name, title, tuple(scores))


def run_pose(
    pairs_file: str | Path,
    images: str | Path,
    methods: Sequence[Method],
    longest_side: int | None = None,
) -> Evaluation:
    """Evaluate methods on pairs with known relative pose.

    Args:
        pairs_file: List of the pairs, as for :func:`read_pose_pairs`.
        images: Folder of the images.
        methods: Methods to compare.
        longest_side: As for :func:`evaluate_pose_pairs`.
    """
    pairs = read_pose_pairs(pairs_file, images)
    scores = evaluate_pose_pairs(pairs, methods, longest_side)
    title = f"{len(pairs)} pairs of {pairs_file}, {_cap(methods)}"
    notes = _pose_notes(scores[0], has_camera=True)
    return Evaluation("pose", "pose", title, tuple(scores), tuple(notes))


def _cap(methods: Sequence[Method]) -> str:
    return f"at most {methods[0].extractor.max_features} features"
