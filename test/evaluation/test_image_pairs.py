# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files that evaluations are read from: homographies, HPatches, pairs with poses."""

import cv2
import numpy as np
import pytest

from feature_booster_ros.evaluation.image_pairs import (
    read_homography,
    read_hpatches,
    read_pair,
    read_pose_pairs,
)

H = np.array([[0.76, -0.3, 225.67], [0.33, 1.01, -77], [3.5e-4, -1.4e-5, 1]])


def make_sequence(folder, suffix=".ppm"):
    folder.mkdir(parents=True)
    for number in range(1, 7):
        cv2.imwrite(str(folder / f"{number}{suffix}"), np.full((8, 9, 3), number, np.uint8))
        if number > 1:
            np.savetxt(folder / f"H_1_{number}", H * [number, 1, 1])


def test_hpatches_is_read_as_it_is_laid_out(tmp_path):
    make_sequence(tmp_path / "v_wall")
    make_sequence(tmp_path / "i_lamp", ".png")
    make_sequence(tmp_path / "v_talent")
    (tmp_path / "readme").mkdir()
    (tmp_path / "v_notes.txt").touch()
    sets, left_out = read_hpatches(tmp_path)
    assert [(images.name, images.subset) for images in sets] == [
        ("i_lamp", "illumination"),
        ("v_wall", "viewpoint"),
    ]
    assert left_out == ["v_talent"]
    assert sets[1].reference == tmp_path / "v_wall" / "1.ppm"
    assert [path.name for path, _ in sets[0].targets] == [f"{n}.png" for n in range(2, 7)]
    for number, (_, homography) in enumerate(sets[1].targets, start=2):
        np.testing.assert_allclose(homography, H * [number, 1, 1])
    assert len(read_hpatches(tmp_path, every_sequence=True)[0]) == 3


def test_what_is_not_hpatches_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder at /nowhere"):
        read_hpatches("/nowhere")
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="is not HPatches: it has no folder i_NAME or v_NAME"):
        read_hpatches(tmp_path)
    make_sequence(tmp_path / "v_wall")
    (tmp_path / "v_wall" / "4.ppm").unlink()
    with pytest.raises(FileNotFoundError, match=r"v_wall has no image 4\.ppm"):
        read_hpatches(tmp_path)
    make_sequence(tmp_path / "i_lamp")
    (tmp_path / "i_lamp" / "H_1_3").unlink()
    with pytest.raises(FileNotFoundError, match="H_1_3 does not exist"):
        read_hpatches(tmp_path)
    (tmp_path / "i_lamp" / "H_1_3").write_text("1 2 3\n4 5\n7 8 9\n")
    with pytest.raises(ValueError, match="H_1_3, line 2: 2 values, expected 3"):
        read_hpatches(tmp_path)
    (tmp_path / "i_a").mkdir()
    (tmp_path / "i_a" / "ref.png").touch()
    with pytest.raises(FileNotFoundError, match="release of patches"):
        read_hpatches(tmp_path)


@pytest.mark.parametrize("name", ["H.txt", "H1to3p", "H.xml", "H.yml"])
def test_a_homography_is_read_from_text_and_from_opencv(tmp_path, name):
    path = tmp_path / name
    if path.suffix in (".xml", ".yml"):
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("H13", H)
        storage.release()
    else:
        np.savetxt(path, H)
    np.testing.assert_allclose(read_homography(path), H)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("H.txt", "1 0 0\n0 1 0\n"),
        ("H.txt", "1 0 0\n0 1 0\n1 1 0\n"),
        ("H.xml", "<html>"),
        ("H.yml", "%YAML:1.0\n---\nK: 3\n"),
    ],
)
def test_what_is_no_homography_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name} is not a homography"):
        read_homography(tmp_path / name)


def test_a_pair_names_what_is_missing(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(FileNotFoundError, match=r"b\.png does not exist"):
        read_pair(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "H")
    with pytest.raises(FileNotFoundError, match="homography .*H does not exist"):
        read_pair(tmp_path / "a.png", tmp_path / "a.png", tmp_path / "H")


def pose_line(first="a.png", second="s/b.png", turns="0 3", matrix=None, motion=None):
    matrix = np.array([[500, 0, 320], [0, 510, 240], [0, 0, 1]]) if matrix is None else matrix
    motion = np.eye(4) if motion is None else motion
    numbers = [*matrix.ravel(), *(2 * matrix.ravel() - [*[0] * 8, 1]), *motion.ravel()]
    return " ".join([first, second, turns, *map(str, numbers)])


def test_pose_pairs_are_read(tmp_path):
    (tmp_path / "s").mkdir()
    for name in ("a.png", "s/b.png"):
        (tmp_path / name).touch()
    motion = np.eye(4)
    motion[:3, 3] = 1, 2, 3
    listing = tmp_path / "pairs.txt"
    listing.write_text("# a comment\n" + pose_line(motion=motion) + "\n\n")
    (pair,) = read_pose_pairs(listing, tmp_path)
    assert pair.images == (tmp_path / "a.png", tmp_path / "s" / "b.png")
    assert pair.turns == (0, 3)
    assert pair.camera_matrices[0][1].tolist() == [0, 510, 240]
    assert pair.camera_matrices[1][0].tolist() == [1000, 0, 640]
    np.testing.assert_array_equal(pair.motion, motion)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "lists no pairs"),
        ("a.png a.png", "line 1: 2 values, expected 38.*no pose to compare"),
        (pose_line("a.png", "a.png", turns="0 4"), "line 1: turns 0 and 4 must be"),
        (pose_line("a.png", "a.png", motion=np.diag([2.0, 2, 2, 1])), "not a rigid motion"),
        (pose_line("a.png", "a.png", matrix=np.zeros((3, 3))), "focal lengths above 0"),
        (pose_line("a.png", "a.png").replace("510", "many"), "line 1: could not convert"),
    ],
)
def test_a_wrong_line_of_pairs_is_named(tmp_path, text, error):
    (tmp_path / "a.png").touch()
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(ValueError, match=error):
        read_pose_pairs(tmp_path / "pairs.txt", tmp_path)


def test_missing_images_of_pairs_are_named(tmp_path):
    (tmp_path / "pairs.txt").write_text(pose_line())
    with pytest.raises(FileNotFoundError, match=r"2 images of .* the first is .*a\.png"):
        read_pose_pairs(tmp_path / "pairs.txt", tmp_path)
    with pytest.raises(FileNotFoundError, match="pairs file /nowhere does not exist"):
        read_pose_pairs("/nowhere", tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder of images at /nowhere"):
        read_pose_pairs(tmp_path / "pairs.txt", "/nowhere")
