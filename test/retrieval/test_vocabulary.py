# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vocabularies of binary descriptors: the tree, the words, DBoW2's text, and queries."""

import cv2
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.booster import Booster
from feature_booster_ros.cli import main
from feature_booster_ros.features import create_extractor
from feature_booster_ros.retrieval import (
    BagOfWords,
    ImageIndex,
    Vocabulary,
    read_vocabulary,
    similarity,
    train_vocabulary,
    write_vocabulary,
)
from feature_booster_ros.retrieval.vocabulary_training import _cluster

orb = create_extractor("orb", 300)
RANDOM = np.random.default_rng(1)


def photographs() -> list[np.ndarray]:
    """Four gray photographs of scikit-image, (240, 320) uint8."""
    images = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "camera")]
    grays = [image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
             for image in images]  # fmt: skip
    return [cv2.resize(gray, (320, 240), interpolation=cv2.INTER_AREA) for gray in grays]


def bits(count: int, length: int = 32) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, length), np.uint8)


def flipped(rows: np.ndarray, share: float) -> np.ndarray:
    """The rows with some of their bits changed."""
    noise = RANDOM.random((len(rows), 8 * rows.shape[1])) < share
    return rows ^ np.packbits(noise, axis=1)


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.unpackbits(a[:, None] ^ b, axis=2).sum(axis=2)


@pytest.fixture(scope="module")
def images():
    return [orb(image).descriptors for image in photographs()]


@pytest.fixture(scope="module")
def vocabulary(images):
    return train_vocabulary(images, branching=5, depth=3)


def test_medians_are_the_centers_of_what_was_drawn_around_them():
    centers = bits(6)
    rows = np.concatenate([flipped(np.repeat(center[None], 80, 0), 0.1) for center in centers])
    medians, labels = _cluster(rows, 6, np.random.default_rng(0))
    distances = hamming(centers, medians)
    assert sorted(distances.argmin(axis=1)) == list(range(6))
    assert distances.min(axis=1).max() <= 2
    assert len(labels) == len(rows) and np.bincount(labels).tolist() == [80] * 6


def test_each_row_of_a_tree_is_nearest_among_its_siblings(vocabulary, images):
    assert vocabulary.branching == 5 and 60 < len(vocabulary) <= 125
    rows = np.concatenate(images)
    words = vocabulary.words(rows)
    for row, word in zip(rows[::50], words[::50], strict=True):
        node = vocabulary.leaves[word]
        while node:
            siblings = np.flatnonzero(vocabulary.parents == vocabulary.parents[node])
            distances = hamming(row[None], vocabulary.descriptors[siblings])[0]
            assert distances[list(siblings).index(node)] == distances.min()
            node = vocabulary.parents[node]


def test_weights_are_inverse_document_frequencies(vocabulary, images):
    words = [set(vocabulary.words(rows).tolist()) for rows in images]
    weights = vocabulary.weights[vocabulary.leaves]
    for word in range(0, len(vocabulary), 7):
        seen = sum(word in each for each in words)
        assert weights[word] == pytest.approx(np.log(len(images) / seen) if seen else 0)
    inner = np.setdiff1d(np.arange(len(vocabulary.parents)), vocabulary.leaves)
    assert not vocabulary.weights[inner].any()


def test_training_again_gives_the_same(vocabulary, images):
    again = train_vocabulary(images, branching=5, depth=3)
    np.testing.assert_array_equal(again.descriptors, vocabulary.descriptors)
    np.testing.assert_array_equal(again.parents, vocabulary.parents)


def test_text_is_dbow2_s(vocabulary, tmp_path):
    path = tmp_path / "vocabulary.txt"
    write_vocabulary(vocabulary, path)
    lines = path.read_text().split("\n")
    assert lines[0].split() == ["5", "3", "0", "0"]
    assert len(lines) == len(vocabulary.parents)  # and no line behind, which would be a node
    children = {int(line.split()[0]) for line in lines[1:]}
    for node, line in enumerate(lines[1:], 1):
        parent, is_leaf, *row = line.split()
        assert int(parent) < node and len(row) == 33
        assert (is_leaf == "1") == (node not in children)
        assert [int(byte) for byte in row[:-1]] == vocabulary.descriptors[node].tolist()
        assert float(row[-1]) == pytest.approx(vocabulary.weights[node])


@pytest.mark.parametrize("name", ["vocabulary.txt", "vocabulary.txt.gz"])
def test_what_is_written_is_read(vocabulary, images, name, tmp_path):
    write_vocabulary(vocabulary, tmp_path / name)
    read = read_vocabulary(tmp_path / name)
    np.testing.assert_array_equal(read.words(images[0]), vocabulary.words(images[0]))
    np.testing.assert_allclose(read.weights, vocabulary.weights, rtol=1e-8)


def test_similarity_is_the_l1_score():
    a = BagOfWords(np.array([1, 3, 4]), np.array([0.5, 0.3, 0.2]))
    b = BagOfWords(np.array([0, 3, 4]), np.array([0.25, 0.5, 0.25]))
    full_a, full_b = np.array([0, 0.5, 0, 0.3, 0.2]), np.array([0.25, 0, 0, 0.5, 0.25])
    assert similarity(a, b) == pytest.approx(1 - np.abs(full_a - full_b).sum() / 2)
    assert similarity(a, a) == pytest.approx(1)
    assert similarity(a, BagOfWords(np.array([7]), np.array([1.0]))) == 0


def test_a_turned_photograph_is_found_among_the_others(vocabulary):
    index = ImageIndex()
    described = [vocabulary.describe(orb(image)) for image in photographs()]
    assert [index.add(each) for each in described] == list(range(len(described)))
    for number, image in enumerate(photographs()):
        height, width = image.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 20, 0.9)
        query = vocabulary.describe(orb(cv2.warpAffine(image, turn, (width, height))))
        found, scores = index.query(query, 3)
        assert found[0] == number
        expected = sorted((similarity(query, each) for each in described), reverse=True)
        np.testing.assert_allclose(scores, expected[: len(scores)])


def test_no_words_are_no_images(vocabulary):
    nothing = BagOfWords(np.zeros(0, np.int64), np.zeros(0))
    index = ImageIndex()
    assert len(index.query(nothing, 3)[0]) == 0
    index.add(nothing)
    assert len(index) == 1 and len(index.query(nothing, 3)[0]) == 0


def test_the_command_trains_on_a_folder(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(photographs()):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), image)
    path = tmp_path / "out" / "small.txt"
    command = ["vocabulary", str(tmp_path / "photos"), "-o", str(path), "--device", "cpu"]
    assert main([*command, "-k", "4", "-L", "2", "--max-features", "200"]) == 0
    assert "words of 4 images" in capsys.readouterr().out
    assert len(read_vocabulary(path)) == 16
    assert main([*command, "--method", "sift"]) == 1
    assert "needs binary descriptors" in capsys.readouterr().err
    for wrong, said in ((["-k", "1"], "at least 2"), (["-o", str(tmp_path)], "is a folder")):
        assert main([*command, *wrong]) == 1
        error = capsys.readouterr().err
        assert said in error and "features:" not in error  # before any image is read


def test_the_shipped_vocabulary_is_one_of_the_shipped_weights():
    vocabulary, booster = read_vocabulary("ORB+Boost-B"), Booster.from_pretrained("ORB+Boost-B")

    def distance_to_words(features):
        words = vocabulary.words(features.descriptors)
        medians = vocabulary.descriptors[vocabulary.leaves[words]]
        return np.unpackbits(medians ^ features.descriptors, axis=1).sum(1).mean()

    # New weights need a new vocabulary: their descriptors would be as far from these words as
    # raw ones are.
    for image in photographs():
        raw = orb(image)
        assert distance_to_words(booster(raw, image.shape)) < 0.95 * distance_to_words(raw)
    assert len(vocabulary) == 10_000


def test_what_is_no_vocabulary_is_refused(vocabulary, images, tmp_path):
    path = tmp_path / "wrong.txt"
    for text, said in (
        ("", "no vocabulary"),
        ("10 4 0 0\n0 1 words", "no vocabulary"),
        ("2 1 1 0\n" + "\n".join(["0 1 " + "7 " * 32 + "1"] * 2), "L1"),
        ("2 1 0 0\n" + "\n".join(["5 1 " + "7 " * 32 + "1"] * 2), "parents"),
        ("2 1 0 0\n" + "\n".join(["0 1 " + "7 " * 32 + "1"] * 3), "more than 2 children"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_vocabulary(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        read_vocabulary(tmp_path / "missing.txt")
    with pytest.raises(ValueError, match="shape"):
        vocabulary.words(bits(3, 16))
    with pytest.raises(ValueError, match="too few"):
        train_vocabulary([bits(5)], branching=10)
    with pytest.raises(ValueError, match="a weight of each"):
        Vocabulary(2, 1, np.array([-1, 0]), bits(3), np.zeros(2))
