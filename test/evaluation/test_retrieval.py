# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recall of vocabularies on places that are seen twice."""

import json

import cv2
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.cli import main
from feature_booster_ros.retrieval import train_vocabulary, write_vocabulary
from feature_booster_ros.retrieval.training_images import extract_binary

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        photo = cv2.resize(cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2GRAY), (400, 300))
        cv2.imwrite(str(folder / f"{name}.png"), photo)
    return folder


@pytest.fixture(scope="module")
def vocabulary(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "orb.txt.gz"
    write_vocabulary(train_vocabulary(extract_binary([str(photos)], "orb", 500), 5, 3), path)
    return path


def write_drive(folder, photos, second_round):
    """Write a KITTI sequence that passes four places, and passes them again in another order."""
    (folder / "image_0").mkdir(parents=True)
    places = [*range(len(PHOTOS)), *second_round]
    poses = []
    for number, place in enumerate(places):
        image = cv2.imread(str(photos / f"{PHOTOS[place]}.png"), cv2.IMREAD_GRAYSCALE)
        moved = np.roll(image, 7 * (number >= len(PHOTOS)), axis=1)
        cv2.imwrite(str(folder / "image_0" / f"{number:06}.png"), moved)
        x = 10.0 * place + 0.5 * (number >= len(PHOTOS))
        poses.append(f"1 0 0 {x} 0 1 0 0 0 0 1 0")
    (folder / "poses.txt").write_text("\n".join(poses) + "\n")
    (folder / "times.txt").write_text("\n".join(map(str, range(len(places)))) + "\n")
    (folder / "calib.txt").write_text("P0: 300 0 200 0 0 300 150 0 0 0 1 0\n")
    return folder


def recall(printed):
    header, _, row = ([cell.strip() for cell in line.split("|")] for line in printed.splitlines())
    return [float(row[header.index(f"recall@{rank} %")]) for rank in (1, 5)], int(row[4])


def test_places_that_are_seen_again(photos, vocabulary, tmp_path, capsys):
    drive = write_drive(tmp_path / "drive", photos, (2, 0, 3, 1))
    arguments = ["evaluate", "retrieval", str(drive), "--methods", "orb", "--min-gap", "2"]
    arguments += ["--vocabularies", str(vocabulary), "--max-features", "500"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert recall(printed.rpartition("\nwritten")[0]) == ([100.0, 100.0], 8)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["scores"][0]["ranks"] == [0] * 8

    # With poses that are not those of the images, what looks alike is wrong.
    poses = (drive / "poses.txt").read_text().splitlines()
    (drive / "poses.txt").write_text("\n".join(poses[:4] + poses[:3:-1]) + "\n")
    assert main(arguments) == 0
    (first, _), queries = recall(capsys.readouterr().out.strip())
    assert first < 50 and queries == 8

    assert main([*arguments, "--max-distance", "0.1"]) != 0
    assert "raise --max-distance or --max-angle" in capsys.readouterr().err


def test_warped_photographs(photos, vocabulary, capsys):
    arguments = ["evaluate", "retrieval", str(photos), "--methods", "orb", "--warped"]
    assert main([*arguments, "--holdout", "1", "--vocabularies", str(vocabulary)]) == 0
    (first, among_five), queries = recall(capsys.readouterr().out.strip())
    assert first >= 75 and among_five == 100 and queries == 4


def test_wrong_arguments_are_named(photos, vocabulary, capsys):
    arguments = ["evaluate", "retrieval", str(photos), "--vocabularies", str(vocabulary)]
    assert main(arguments) != 0
    assert "names 1 for 2 methods (orb ORB+Boost-B)" in capsys.readouterr().err
    assert main([*arguments, "--methods", "orb"]) != 0
    assert "or --warped for a folder of photographs" in capsys.readouterr().err
