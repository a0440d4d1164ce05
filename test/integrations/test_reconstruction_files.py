# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features and matches for hloc and COLMAP, read as those programs read them."""

import cv2
import h5py
import numpy as np
import pycolmap
import pytest
from skimage import data

from feature_booster_ros.cli import main
from feature_booster_ros.integrations.extraction import extract_folder
from feature_booster_ros.integrations.hloc import FeatureFile
from feature_booster_ros.integrations.pairs import choose_pairs
from feature_booster_ros.matching import match
from feature_booster_ros.methods import create_method
from feature_booster_ros.pixels import read_gray
from feature_booster_ros.rendering.camera_paths import CameraPath, Waypoint
from feature_booster_ros.rendering.sequence import RenderedSequence

ASIDE = CameraPath([Waypoint(0.0, (-1.0, 0.0, 0.5), yaw=4), Waypoint(2.0, (1.0, 0.1, 0.5), yaw=-4)])
NAMES = ["left/view 1.png", "left/view 2.png", "view_3.png", "view_4.png"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four views of a hall from left to right, two of them in a folder of the folder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "left").mkdir()
    flight = RenderedSequence(3, 4, 360, 270, horizontal_fov=60.0, rate=2.0, noise=1.0, path=ASIDE)
    for index, name in enumerate(NAMES):
        cv2.imwrite(str(folder / name), flight.image(index))
    return folder


@pytest.fixture(scope="module")
def extracted(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.h5"
    options = ["--max-features", "800", "--longest-side", "300", "--device", "cpu"]
    assert main(["extract", str(images), "-o", str(path), *options]) == 0
    return path


def test_features_have_hloc_s_layout(images, extracted):
    with h5py.File(extracted, "r") as file:
        group = file[NAMES[0]]
        count = len(group["keypoints"])
        assert 100 < count <= 800
        assert group["descriptors"].shape == (128, count)
        assert group["scores"].shape == (count,)
        assert group["image_size"][()].tolist() == [360, 270]
        # In pixels of the file, though extracted from a smaller image.
        assert group["keypoints"][:, 0].max() > 310
    assert FeatureFile(extracted).names() == sorted(NAMES)


def test_keypoints_of_a_shrunk_image_lie_where_those_of_the_image_do(images, tmp_path):
    large = cv2.resize(read_gray(images / NAMES[2]), None, fx=2, fy=2)
    (tmp_path / "large").mkdir()
    cv2.imwrite(str(tmp_path / "large" / "a.png"), large)
    extract_folder(tmp_path / "large", tmp_path / "f.h5", "sift", 500, longest_side=360)
    found = FeatureFile(tmp_path / "f.h5").read("a.png")
    direct = create_method("sift", 4000)(large)
    pairs = match(found, direct, ratio=0.6).indices
    offsets = found.keypoints[pairs[:, 0]] - direct.keypoints[pairs[:, 1]]
    assert len(pairs) > 100 and np.abs(np.median(offsets, axis=0)).max() < 0.1


def test_an_interrupted_extraction_goes_on(images, extracted, tmp_path):
    path = tmp_path / "features.h5"
    path.write_bytes(extracted.read_bytes())
    with h5py.File(path, "a") as file:
        del file[NAMES[3]]
        del file[NAMES[1]]["image_size"]  # as if the process had ended while it wrote
        file[NAMES[0]].attrs["untouched"] = True
    assert FeatureFile(path).names() == [NAMES[0], NAMES[2]]
    assert extract_folder(images, path, max_features=800, longest_side=300, device="cpu") == 4
    with h5py.File(path, "r") as file, h5py.File(extracted, "r") as whole:
        assert file[NAMES[0]].attrs["untouched"]
        for name in NAMES:
            assert np.array_equal(file[name]["descriptors"], whole[name]["descriptors"])
    with pytest.raises(ValueError, match="SIFT.Boost-F, not of orb"):
        extract_folder(images, path, "orb")


def read_as_hloc_does(path, pair):
    with h5py.File(path, "r") as file:
        targets, scores = (file[pair][name][()] for name in ("matches0", "matching_scores0"))
    assert targets.dtype == np.int16
    matched = np.flatnonzero(targets != -1)
    return np.stack([matched, targets[matched]], -1), scores[matched]


def test_matches_have_hloc_s_layout_and_are_those_of_the_features(extracted, tmp_path):
    output = tmp_path / "matches.h5"
    command = ["match", str(extracted), "-o", str(output), "--ratio", "0.9", "--device", "cpu"]
    assert main([*command, "--pairs", "sequential:1"]) == 0
    with h5py.File(output, "r") as file:
        assert len(file["left-view 1.png"]) == 1  # its one pair
    pairs, scores = read_as_hloc_does(output, "left-view 1.png/left-view 2.png")
    file = FeatureFile(extracted)
    a, b = file.read(NAMES[0]), file.read(NAMES[1])
    expected = match(a, b, ratio=0.9)
    assert {*map(tuple, pairs)} == {*map(tuple, expected.indices)} and len(pairs) > 50
    cosine = np.sum(a.descriptors[pairs[:, 0]] * b.descriptors[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(scores, (1 + cosine) / 2, atol=2e-3)

    before = output.stat().st_mtime_ns
    assert main([*command, "--pairs", "sequential:1"]) == 0
    assert output.stat().st_mtime_ns == before
    assert main(command) == 0  # the three pairs that were not neighbors
    read_as_hloc_does(output, "left-view 1.png/view_4.png")


def test_binary_descriptors_match_as_floats(images, tmp_path):
    path = tmp_path / "orb.h5"
    extract_folder(images, path, "ORB+Boost-B", 400, device="cpu")
    with h5py.File(path, "r") as file:
        rows = [file[name]["descriptors"][()].T.astype(np.float32) for name in NAMES[2:]]
    np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1, atol=1e-3)
    similarity = rows[0] @ rows[1].T
    file = FeatureFile(path)
    a, b = file.read(NAMES[2]), file.read(NAMES[3])
    assert a.is_binary and a.model == "ORB+Boost-B"
    direct = create_method("ORB+Boost-B", 400, "cpu")(read_gray(images / NAMES[2]))
    assert np.array_equal(a.descriptors, direct.descriptors)
    found = match(a, b)
    best = similarity.max(axis=1)[found.indices[:, 0]]
    np.testing.assert_allclose(best, 1 - 2 * found.distances / 256, atol=1e-3)


def test_features_of_hloc_itself_can_be_matched(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(30, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        for name, order in (("a.jpg", np.arange(30)), ("b.jpg", np.arange(30)[::-1])):
            group = file.create_group(name)
            group["keypoints"] = random.uniform(0, 100, (30, 2)).astype(np.float16)
            group["descriptors"] = rows[order].T.astype(np.float16)
            group["image_size"] = np.array([100, 100])
    output = tmp_path / "matches.h5"
    assert main(["match", str(tmp_path / "theirs.h5"), "-o", str(output)]) == 0
    pairs, scores = read_as_hloc_does(output, "a.jpg/b.jpg")
    assert np.array_equal(pairs[:, 1], 29 - pairs[:, 0]) and len(pairs) == 30
    assert scores.min() > 0.99


def test_colmap_maps_the_database(images, extracted, tmp_path):
    database = tmp_path / "database.db"
    command = ["match", str(extracted), "-o", str(database), "--images", str(images)]
    assert main([*command, "--device", "cpu", "--pairs", "sequential:1"]) == 0
    assert main([*command, "--device", "cpu"]) == 0  # adds the other pairs
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = 3
    (tmp_path / "sparse").mkdir()
    models = pycolmap.incremental_mapping(
        str(database), str(images), str(tmp_path / "sparse"), options
    )
    model = max(models.values(), key=lambda each: each.num_reg_images())
    assert {image.name for image in model.images.values()} == set(NAMES)
    assert model.num_points3D() > 50 and model.compute_mean_reprojection_error() < 1.0


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("exhaustive", ["ab", "ac", "ad", "bc", "bd", "cd"]),
        ("sequential:2", ["ab", "ac", "bc", "bd", "cd"]),
        ("FILE", ["ca", "bd"]),
    ],
)
def test_pairs(choice, expected, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("# query reference\nc a\n\na c\nb d\nb d\n")
    pairs = choose_pairs(str(path) if choice == "FILE" else choice, "abcd")
    assert ["".join(pair) for pair in pairs] == expected


def test_pairs_are_retrieved_by_what_is_in_the_images(images, tmp_path):
    photo = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
    for name, image in (("b", photo), ("d", cv2.resize(photo, None, fx=0.9, fy=0.9))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    for name, view in (("a", "view_3"), ("c", "view_4")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), read_gray(images / f"{view}.png"))
    names = ["a.png", "b.png", "c.png", "d.png"]
    pairs = choose_pairs("retrieved:1", names, tmp_path, "cpu")
    assert pairs == [("a.png", "c.png"), ("b.png", "d.png")]
    assert len(choose_pairs("retrieved", names, tmp_path, "cpu")) > 2
    with pytest.raises(ValueError, match="give --images"):
        choose_pairs("retrieved", names)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("nearest", "no file nearest"),
        ("sequential:0", "N at least 1"),
        ("retrieved:0", "N at least 1"),
        ("a b c\n", "line 1"),
        ("a b\nb z\n", "line 2.* of z"),
    ],
)
def test_pairs_that_cannot_be_read_are_named(choice, said, tmp_path):
    if "\n" in choice:
        (tmp_path / "pairs.txt").write_text(choice)
        choice = str(tmp_path / "pairs.txt")
    with pytest.raises(ValueError, match=said):
        choose_pairs(choice, "abcd")


def test_two_images_become_a_picture_with_a_row_a_method(images, tmp_path, capsys):
    picture = tmp_path / "new" / "matches.png"
    pair = [str(images / NAMES[0]), str(images / NAMES[2])]
    methods = ["--methods", "orb", "ORB+Boost-B"]
    assert main(["match", *pair, "-o", str(picture), *methods, "--device", "cpu"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("orb: ") and said[1].startswith("ORB+Boost-B: ")
    height, width, _ = cv2.imread(str(picture)).shape
    assert 2 * 270 <= height < 2 * 280 and width > 2 * 360  # with a gap between the rows


@pytest.mark.parametrize(
    ("inputs", "output", "said"),
    [
        (2, "matches.txt", "matches.png"),
        (3, "matches.png", "two images or one file"),
        (1, "matches.png", "takes two images"),
        (1, "database.db", "--images"),
    ],
)
def test_outputs_that_do_not_fit_are_named(inputs, output, said, images, tmp_path, capsys):
    given = [str(images / NAMES[0])] * inputs
    assert main(["match", *given, "-o", str(tmp_path / output)]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / output).exists()


def test_what_cannot_be_written_leaves_the_files_as_they_were(extracted, tmp_path, capsys):
    before = extracted.read_bytes()
    assert main(["match", str(extracted), "-o", str(extracted)]) == 1
    assert "give another output" in capsys.readouterr().err
    assert extracted.read_bytes() == before
    database = tmp_path / "d.db"
    (tmp_path / "other").mkdir()
    images = ["--images", str(tmp_path / "other")]
    assert main(["match", str(extracted), "-o", str(database), *images]) == 1
    assert "could not import" in capsys.readouterr().err
    assert not database.exists()


def test_a_longest_side_of_no_pixels_is_refused(images, tmp_path, capsys):
    options = ["-o", str(tmp_path / "f.h5"), "--longest-side", "0"]
    assert main(["extract", str(images), *options]) == 1
    assert "longest_side must be at least 1, not 0" in capsys.readouterr().err


def test_a_file_without_features_is_named(tmp_path, capsys):
    (tmp_path / "empty.h5").write_bytes(b"no HDF5")
    for name in ("empty.h5", "missing.h5"):
        assert main(["match", str(tmp_path / name), "-o", str(tmp_path / "m.h5")]) == 1
        assert f"{name} " in capsys.readouterr().err
