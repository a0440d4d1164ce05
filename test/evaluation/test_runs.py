# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The evaluation's runs, as the command line starts them, on small data sets made here."""

import argparse
import json
import re
import sys

import cv2
import numpy as np
import pytest
from records import BagWriter
from skimage import data

from feature_booster_ros.camera import Camera
from feature_booster_ros.evaluation.command_line import add_runs
from feature_booster_ros.evaluation.report import evaluation_text
from feature_booster_ros.evaluation.runs import (
    run_homography,
    run_hpatches,
    run_pose,
    run_sequence,
)
from feature_booster_ros.methods import create_methods
from feature_booster_ros.sources import open_source
from feature_booster_ros.sources.calibration import write_camera

SIZE = (256, 240)  # width, height
VIEWS = [
    np.array([[1 - 0.03 * k, -0.04 * k, 10 * k], [0.05 * k, 1, -4 * k], [1e-4 * k, 5e-5 * k, 1]])
    for k in range(1, 6)
]


@pytest.fixture(scope="module")
def hpatches(tmp_path_factory):
    """Two sequences in HPatches' layout: a photograph as a plane, seen from aside; and darkened."""
    folder = tmp_path_factory.mktemp("hpatches")
    for name, photo in (("v_astronaut", data.astronaut()), ("i_coffee", data.coffee())):
        (folder / name).mkdir()
        image = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), SIZE)
        cv2.imwrite(str(folder / name / "1.ppm"), image)
        for number, view in enumerate(VIEWS, start=2):
            homography = view if name[0] == "v" else np.eye(3)
            seen = cv2.warpPerspective(image, homography, SIZE)
            if name[0] == "i":
                seen = cv2.convertScaleAbs(seen, alpha=1 - 0.1 * number)
            cv2.imwrite(str(folder / name / f"{number}.ppm"), seen)
            np.savetxt(folder / name / f"H_1_{number}", homography)
    return folder


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """Five frames of the rendered flight in KITTI's layout, with intrinsics and poses."""
    folder = tmp_path_factory.mktemp("drive") / "00"
    (folder / "image_0").mkdir(parents=True)
    with open_source("rendered:frames=5,width=320,height=240,rate=2.0") as source:
        frames = list(source)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / "image_0" / f"{number:06}.png"), frame.image)
    np.savetxt(folder / "times.txt", [frame.stamp for frame in frames])
    np.savetxt(folder / "poses.txt", [frame.pose[:3].ravel() for frame in frames])
    projection = np.column_stack([frames[0].camera.matrix, np.zeros(3)]).ravel()
    (folder / "calib.txt").write_text("P0: " + " ".join(map(str, projection)) + "\n")
    return folder


def evaluate(*arguments):
    """Runs ``feature-booster evaluate`` with these arguments."""
    parser = argparse.ArgumentParser()
    add_runs(parser)
    options = parser.parse_args([*map(str, arguments), "--device", "cpu"])
    options.run(options)


def table(text, title):
    """The rows of the table below that title, as dictionaries."""
    lines = text[text.index(title) :].splitlines()[1:]
    header, _, *rows = (
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in lines[: next((i for i, line in enumerate(lines) if not line), None)]
        if line.startswith("|")
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_hpatches_by_what_changes(hpatches):
    sift, orb = run_hpatches(hpatches, create_methods(["sift", "orb"], 400)).scores
    for score in (sift, orb):
        assert score.pairs == 10
        matching = score.matching
        assert list(matching) == ["overall", "illumination", "viewpoint"]
        parts = np.array([matching["illumination"].curve, matching["viewpoint"].curve])
        np.testing.assert_allclose(matching["overall"].curve, parts.mean(axis=0))
        assert (np.diff(parts) >= 0).all()
        assert matching["illumination"].accuracy > 0.75 and matching["viewpoint"].accuracy > 0.55
        assert score.homography["overall"].accuracy[5] > 0.8
        assert score.homography["illumination"].auc[3] > 0.7
    assert sift.homography["viewpoint"].median_error < 1


def test_a_wrong_homography_is_seen(hpatches, tmp_path):
    folder = hpatches / "v_astronaut"
    methods = create_methods(["sift"], 400)
    (right,) = run_homography(folder / "1.ppm", folder / "4.ppm", folder / "H_1_4", methods).scores
    np.savetxt(tmp_path / "H", [[1, 0, 40], [0, 1, 30], [0, 0, 1]] @ np.loadtxt(folder / "H_1_4"))
    (wrong,) = run_homography(folder / "1.ppm", folder / "4.ppm", tmp_path / "H", methods).scores
    assert right.matching["overall"].accuracy > 0.5 and right.homography["overall"].accuracy[3] == 1
    assert wrong.matching["overall"].curve[-1] < 0.2
    # The corners are off by the shift, or a little more where perspective enlarges it.
    assert 40 < wrong.homography["overall"].median_error < 70


def test_no_matches_are_said_to_give_no_homography(hpatches, tmp_path):
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((60, 80), 128, np.uint8))
    folder = hpatches / "v_astronaut"
    evaluation = run_homography(
        folder / "1.ppm", tmp_path / "gray.png", folder / "H_1_2", create_methods(["sift"], 50)
    )
    (row,) = table(evaluation_text(evaluation), evaluation.title)
    assert (row["matches"], row["H error px"], row["no H"]) == ("0.0", "n/a", "1")


def test_the_pose_is_right_however_the_images_are_turned(drive, tmp_path):
    """A second image that is stored on its side, cut so that its principal point is off the middle:
    whatever the turns that the list asks for, they are applied to image, intrinsics and pose alike.
    """
    first = cv2.imread(str(drive / "image_0" / "000000.png"), cv2.IMREAD_GRAYSCALE)
    second = cv2.imread(str(drive / "image_0" / "000002.png"), cv2.IMREAD_GRAYSCALE)[:, 50:]
    cv2.imwrite(str(tmp_path / "a.png"), first)
    cv2.imwrite(str(tmp_path / "b.png"), np.rot90(second, -1))
    with open_source(str(drive)) as source:
        frames = list(source)
    (fx, _, cx), (_, fy, cy), _ = matrix = frames[0].camera.matrix
    # Clockwise, pixel (x, y) comes to (height - 1 - y, x).
    sideways = np.array([[fy, 0, second.shape[0] - 1 - cy], [0, fx, cx - 50], [0, 0, 1]])
    clockwise = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    motion = clockwise @ np.linalg.inv(frames[2].pose) @ frames[0].pose
    numbers = " ".join(map(str, [*matrix.ravel(), *sideways.ravel(), *motion.ravel()]))
    listing = tmp_path / "pairs.txt"
    listing.write_text(
        "".join(f"a.png b.png {i} {j} {numbers}\n" for i in (0, 1) for j in range(4))
    )
    methods = create_methods(["sift"], 700)
    evaluation = run_pose(listing, tmp_path, methods)
    pose = evaluation.scores[0].pose
    assert (pose.pairs, pose.failures) == (8, 0)
    assert pose.accuracy[5] == 1 and pose.auc[5] > 0.5
    (shrunk,) = run_pose(listing, tmp_path, methods, longest_side=250).scores
    assert shrunk.features < evaluation.scores[0].features and shrunk.pose.accuracy[10] > 0.8
    listing.write_text(f"a.png b.png 0 1 {numbers}\n".replace(str(fx), str(3 * fx)))
    (wrong,) = run_pose(listing, tmp_path, methods).scores
    assert wrong.pose is not None and wrong.pose.accuracy[5] == 0


def test_a_sequence_with_poses_is_judged_by_them(drive):
    evaluations = run_sequence(drive, create_methods(["sift", "rootsift"], 700), [1, 2])
    assert [evaluation.name for evaluation in evaluations] == ["gap 1", "gap 2"]
    for gap, evaluation in enumerate(evaluations, start=1):
        assert evaluation.notes == ()
        for score in evaluation.scores:
            assert score.pairs == score.pose.pairs == 5 - gap
            assert score.inliers > 50 and score.pose.auc[20] > 0.6
            assert set(score.milliseconds) == {"extract", "boost", "match", "verify"}
        raw, root = evaluation.scores
        assert raw.milliseconds["extract"] == root.milliseconds["extract"] > 0
        assert raw.matches != root.matches


@pytest.mark.parametrize("kind", ["distorted", "rectified", "cropped"])
def test_a_bag_gives_what_the_folder_gives_that_it_was_made_of(drive, tmp_path, kind):
    images = [cv2.imread(str(path), 0) for path in sorted((drive / "image_0").iterdir())]
    matrix, projection = np.array([[228.0, 0, 159.5], [0, 228, 119.5], [0, 0, 1]]), np.eye(3, 4)
    coefficients = [-0.1, 0.01, 0.001, 0.0, 0.0]
    camera = Camera(320, 240, matrix, coefficients)
    info = {"width": 320, "height": 240, "k": matrix.ravel(), "d": np.array(coefficients)}
    topic = "/left/image_raw"
    if kind == "rectified":
        topic, projection[:, :3] = "/left/image_rect", matrix
        info["k"] = np.diag([100.0, 100, 1]).ravel()
        camera = Camera(320, 240, matrix)
    if kind == "cropped":
        images = [np.ascontiguousarray(image[20:220, 40:300]) for image in images]
        info["roi"] = (40, 20, 200, 260, False)
        camera = Camera(260, 200, matrix - [[0, 0, 40], [0, 0, 20], [0, 0, 0]], coefficients)
    (tmp_path / "images").mkdir()
    write_camera(camera, tmp_path / "camera.yaml")
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        for number, image in enumerate(images):
            cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
            stamp_ns = 1_000_000_000 + number * 100_000_000
            bag.camera_info("/left/camera_info", stamp_ns, p=projection.ravel(), **info)
            bag.image(topic, stamp_ns, image)
    methods = create_methods(["sift"], 500)
    (of_bag,) = run_sequence(tmp_path / "drive", methods, [1])
    (of_folder,) = run_sequence(
        f"{tmp_path / 'images'},camera={tmp_path / 'camera.yaml'}", methods, [1]
    )
    for field in ("pairs", "features", "matches", "inliers"):
        assert getattr(of_bag.scores[0], field) == getattr(of_folder.scores[0], field)
    assert of_bag.scores[0].inliers > 20


@pytest.mark.parametrize("wide_pixels", ["stretch", "full_range"])
def test_a_sequence_of_16_bits(drive, tmp_path, wide_pixels, capsys):
    """As TUM-VI has it: with the full range, the features are those of 8 bits."""
    for path in sorted((drive / "image_0").iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257
        cv2.imwrite(str(tmp_path / path.name), image)
    evaluate("sequence", f"folder:{tmp_path}", "--gaps", 1, "--methods", "sift",
             "--wide-pixels", wide_pixels)  # fmt: skip
    wide = capsys.readouterr().out
    evaluate("sequence", f"folder:{drive / 'image_0'}", "--gaps", 1, "--methods", "sift")
    features, *_ = re.findall(r"\| sift .*?(\d+)", capsys.readouterr().out)
    found, *_ = re.findall(r"\| sift .*?(\d+)", wide)
    assert found == features if wide_pixels == "full_range" else int(found) > 0


def test_without_ground_truth_there_is_no_pose_auc(drive):
    methods = create_methods(["orb"], 300)
    images = f"folder:{drive / 'image_0'}"
    for source, why in ((images, "intrinsics"), (f"{images},camera=228,228,159.5,119.5", "poses")):
        (evaluation,) = run_sequence(source, methods, [2])
        assert evaluation.scores[0].inliers > 20 and evaluation.scores[0].pose is None
        assert why in evaluation.notes[0]
        (row,) = table(evaluation_text(evaluation), evaluation.title)
        assert row["AUC@5 %"] == row["AUC@20 %"] == row["no pose"] == "n/a"


@pytest.mark.parametrize(
    ("gaps", "error"),
    [([0], "at least 1"), ([2, 2], "different"), ([1, 5], "too few frames for a pair 5 frames")],
)
def test_gaps_that_cannot_be(drive, gaps, error):
    with pytest.raises(ValueError, match=error):
        run_sequence(drive, create_methods(["orb"], 50), gaps)


def test_all_in_one_run_with_a_record(hpatches, drive, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), data.camera())
    folder = hpatches / "i_coffee"
    pair = [folder / "1.ppm", folder / "2.ppm", folder / "H_1_2"]
    output = tmp_path / "new" / "record"
    evaluate(
        "all", "--photos", tmp_path, "--homography", *pair, "--homography", *pair, "--sequence",
        f"folder:{drive / 'image_0'}", "--gaps", 1, 3, "--output", output, "--max-features", 300,
        "--methods", "sift", "ours=SIFT+Boost-B", "orb",
    )  # fmt: skip
    printed = capsys.readouterr().out
    names = ["photos", "1-2", "1-2 2", "gap 1", "gap 3"]
    summary = table(printed, "Summary")
    assert [row["method"] for row in summary] == ["sift", "ours", "orb"]
    assert {column.split(":")[0] for column in summary[0]} == {"method", *names}
    assert summary[1]["gap 3: AUC@5 %"] == "n/a"
    assert summary[0]["photos: vs first"] == summary[2]["photos: vs first"] == ""
    assert re.fullmatch(r"[+-]\d+\.\d %", summary[1]["photos: vs first"])

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    record = json.loads((output / "results.json").read_text(), parse_constant=refuse)
    assert [evaluation["name"] for evaluation in record["evaluations"]] == names
    assert record["settings"]["methods"] == ["sift", "ours=SIFT+Boost-B", "orb"]
    scores = [evaluation["scores"] for evaluation in record["evaluations"]]
    correct = [row["photos: correct"] for row in summary]
    assert [f"{score['matching']['overall']['correct']:.1f}" for score in scores[0]] == correct
    assert scores[3][1]["method"] == "ours" and scores[3][1]["pose"] is None
    assert "Summary" in (output / "tables.md").read_text()
    plots = sorted(path.name for path in output.glob("*.png"))
    assert plots == ["mma_1-2.png", "mma_1-2_2.png", "mma_photos.png"]
    assert cv2.imread(str(output / "mma_photos.png")).std() > 10


def test_poses_are_plotted(drive, tmp_path):
    evaluate(
        "sequence", drive, "--gaps", 1, "--methods", "orb", "--output", tmp_path,
        "--max-features", 300,
    )  # fmt: skip
    assert cv2.imread(str(tmp_path / "pose_auc.png")).std() > 10
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["evaluations"][0]["scores"][0]["pose"]["pairs"] == 4


def test_what_cannot_be_done_is_said_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="nothing to evaluate on"):
        evaluate("all", "--methods", "orb")
    with pytest.raises(ValueError, match="--pose PAIRS and --images FOLDER go together"):
        evaluate("all", "--pose", "pairs.txt", "--methods", "orb")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file: give a folder"):
        evaluate("photos", "/nowhere", "--output", tmp_path / "file", "--methods", "orb")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"pip install '\.\[plots\]'"):
        evaluate("photos", "/nowhere", "--output", tmp_path, "--methods", "orb")
