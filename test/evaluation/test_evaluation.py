# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation: metrics by hand, and the runs of the command line on real images."""

import dataclasses
import itertools

import cv2
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.cli import main
from feature_booster_ros.evaluation.warped_photos import (
    evaluate_warped_pairs,
    turned_pairs,
    warped_pairs,
)
from feature_booster_ros.features import create_extractor
from feature_booster_ros.features.sift import SiftExtractor
from feature_booster_ros.methods import create_method, create_methods, describe_all


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "chelsea"):
        cv2.imwrite(
            str(folder / f"{name}.png"), cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2BGR)
        )
    return folder


def test_right_matches_are_counted_as_right(photos):
    pairs = warped_pairs(sorted(photos.iterdir()), create_extractor("sift", 400))
    assert len(pairs) == 3
    raw = evaluate_warped_pairs(pairs)
    assert raw.accuracy > 0.5 and raw.correct > 50

    def scrambled(features, shape):
        return features.select(np.random.default_rng(len(features)).permutation(len(features)))

    # Another order of the same features changes nothing; descriptors of other keypoints do.
    assert evaluate_warped_pairs(pairs, scrambled).correct == pytest.approx(raw.correct, abs=2)

    sides = itertools.cycle([0, 50])  # the photograph's features first, then the view's

    def shifted(features, shape):
        offset = np.float32(next(sides))
        return dataclasses.replace(features, keypoints=features.keypoints + offset)

    assert evaluate_warped_pairs(pairs, shifted).accuracy < 0.1


def test_turned_views_are_the_same_view_turned(photos):
    pairs = turned_pairs(sorted(photos.iterdir()), create_extractor("sift", 400))
    assert list(pairs) == [0, 90, 180]
    upright, left, half = (pairs[turn][0] for turn in pairs)
    height, width = upright.view_shape
    assert left.view_shape == (width, height) and half.view_shape == (height, width)
    # SIFT does not depend on the roll, so that wrong homographies would show.
    scores = [evaluate_warped_pairs(pairs[turn]) for turn in pairs]
    assert all(score.accuracy > 0.5 for score in scores)
    assert scores[1].correct == pytest.approx(scores[0].correct, rel=0.2)
    assert scores[2].correct == pytest.approx(scores[0].correct, rel=0.2)


# The margins are well below what the README reports, as these are few photographs.
@pytest.mark.parametrize(
    ("name", "gain"), [("SIFT+Boost-F", 1.02), ("SIFT+Boost-B", 0.98), ("ORB+Boost-B", 0.98)]
)
def test_the_shipped_weights_on_photos_they_have_not_seen(photos, name, gain):
    method = create_method(name, 1000, "cpu")
    pairs = [
        pair
        for seed in range(4)
        for pair in warped_pairs(sorted(photos.iterdir()), method.extractor, seed=seed)
    ]
    raw, boosted = evaluate_warped_pairs(pairs), evaluate_warped_pairs(pairs, method.describe)
    assert boosted.correct > gain * raw.correct


def test_methods_by_name_label_and_path(tmp_path):
    assert create_method("ORB", 10).booster is None
    assert create_method("mine=SIFT+Boost-F", 10, "cpu").name == "mine"
    root = create_method("rootsift", 50)
    features = root(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY))
    raw = root.extractor(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY))
    expected = np.sqrt(raw.descriptors / raw.descriptors.sum(1, keepdims=True))
    np.testing.assert_allclose(features.descriptors, expected, atol=1e-6)
    with pytest.raises(FileNotFoundError, match="no weights called 'surf'"):
        create_method("surf", 10)


def test_methods_of_one_detector_share_what_is_extracted(monkeypatch):
    extractions = []
    extract = SiftExtractor._extract

    def counted(self, *arguments):
        extractions.append(self)
        return extract(self, *arguments)

    monkeypatch.setattr(SiftExtractor, "_extract", counted)
    methods = create_methods(["sift", "rootsift", "orb"], 50)
    image = data.camera()
    described = describe_all(methods, image)
    assert len(extractions) == 1
    for features, method in zip(described, methods, strict=True):
        np.testing.assert_array_equal(features.descriptors, method(image).descriptors)
    with pytest.raises(ValueError, match="two methods are called 'sift': write LABEL=sift"):
        create_methods(["sift", "orb", "sift"], 50)


def test_an_extractor_of_ones_own_is_a_method_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "few_sift.py").write_text(
        "from feature_booster_ros.features.sift import SiftExtractor\n"
        "class FewSift(SiftExtractor):\n"
        "    def _extract(self, image, mask, limit):\n"
        "        return super()._extract(image, mask, 7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    methods = create_methods(["sift", "few_sift:FewSift", "few=few_sift:FewSift"], 50)
    assert [method.name for method in methods] == ["sift", "few_sift:FewSift", "few"]
    assert methods[1].extractor is methods[2].extractor
    counts = [len(features) for features in describe_all(methods, data.camera())]
    assert counts[0] == 50 and counts[1] == counts[2] <= 8
    with pytest.raises(ValueError, match="'few_sift:Many' cannot|no class 'Many'"):
        create_methods(["few_sift:Many"], 50)


def test_evaluate_photos(photos, capsys):
    arguments = ["evaluate", "photos", str(photos), "--holdout", "1", "--max-features", "200"]
    assert main([*arguments, "--methods", "sift", "ours=SIFT+Boost-F", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "3 warped photographs, at most 200 features"
    assert printed[3].startswith("| sift") and printed[4].startswith("| ours")
    raw, ours = ([cell.strip() for cell in line.split("|")] for line in printed[3:5])
    assert float(ours[4]) > 20  # correct matches
    ratio = 100 * (float(ours[4]) / float(raw[4]) - 1)
    assert raw[5] == "" and float(ours[5].split()[0]) == pytest.approx(ratio, abs=0.3)
    header = [cell.strip() for cell in printed[1].split("|")]
    correct, gain, accuracy = (header.index(f"± {of}") for of in ("correct", "vs first", "MMA@3"))
    assert raw[gain] == "" and 0 < float(ours[gain]) and 0 < float(ours[accuracy])
    assert 0 < float(ours[correct]) < float(ours[4])
    assert "MMA % within pixels" in printed
    begin = printed.index("Views without roll, turned by degrees") + 3
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in printed[begin : begin + 6]]
    assert rows == [
        [method, f"turned {turn}"] for turn in (0, 90, 180) for method in ("sift", "ours")
    ]
    assert not any(line.startswith("note:") for line in printed)


def test_evaluate_photos_says_which_photos_it_takes(photos, capsys):
    arguments = ["evaluate", "photos", str(photos), "--max-features", "200", "--methods", "orb"]
    assert main([*arguments, "--holdout", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 warped photographs")
    assert "note: 2 of the 3 photographs" in printed and "--holdout 1 takes all" in printed


def test_evaluate_photos_draws_views_by_the_seed(photos, capsys):
    arguments = ["evaluate", "photos", str(photos), "--holdout", "1", "--max-features", "200"]
    tables = []
    for seed in ([], ["--seed", "1"], ["--seed", "2"]):
        assert main([*arguments, "--methods", "sift", *seed]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["evaluate", "photos", "/nowhere"], "no folder of photographs at /nowhere"),
        (["evaluate", "photos", "/nowhere", "--seed", "-1"], "--seed is -1: it must be 0 or above"),
        (["evaluate", "photos", "/nowhere", "--holdout", "0"], "--holdout is 0: it must be 1 or"),
        (
            ["evaluate", "photos", "/nowhere", "--methods", "surf"],
            "nor one of the extractors (",
        ),
        (["evaluate", "sequence", "/nowhere"], "/nowhere"),
        (
            ["train", "--model", "X", "--data", "photos:/nowhere", "--output", "/tmp/x"],
            "no model is called 'X'",
        ),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(arguments, text, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("feature-booster: ") and text in error
