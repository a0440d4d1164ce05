# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ``feature-booster`` command, from its arguments to files."""

import json

import cv2
import h5py
import pytest
from skimage import data

import feature_booster_ros
from feature_booster_ros.cli import main


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "chelsea", "coffee", "camera"):
        image = getattr(data, name)()
        gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(gray, (240, 180)))
    return folder


def test_render_then_train_on_it_by_a_file_of_settings(tmp_path, photos, capsys):
    rendered, run = tmp_path / "rendered.h5", tmp_path / "run"
    sizes = ["--scenes", "1", "--views", "4", "--width", "240", "--height", "180"]
    command = ["render-views", str(rendered), "--photos", str(photos), "--holdout", "4", *sizes]
    assert main(command) == 0
    assert h5py.File(rendered)["scenes"]

    settings = tmp_path / "run.yaml"
    settings.write_text(
        f"model: SIFT+Boost-F\noutput: {run}\nsteps: 9\nbatch: 2\nfeatures: 64\nthreads: 1\n"
        f"data:\n  - {{kind: photos, path: {photos}, views: 2, holdout: 4}}\n"
        f"  - {{kind: posed, path: {rendered}}}\n"
    )
    # The command line wins over the file.
    assert main(["train", "--config", str(settings), "--steps", "2", "--log-every", "1"]) == 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2]
    assert (run / "SIFT+Boost-F.safetensors").is_file()

    capsys.readouterr()
    assert main(["train", "--config", str(settings)]) == 1  # the run is there already
    assert "--resume" in capsys.readouterr().err
    assert main(["benchmark-training", "--config", str(settings), "--timed-steps", "1"]) == 0
    assert "ratio" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["render-views", "out.h5", "--photos", "EMPTY"], "EMPTY"),
        (["render-views", "out.h5", "--detector", "surf"], "surf"),
        (["reconstruct", "EMPTY", "out"], "EMPTY"),
        (["prepare-megadepth", "EMPTY", "out"], "EMPTY"),
        (["extract-megadepth", "no_list.txt", "EMPTY", "EMPTY", "out.h5"], "no_list.txt"),
        (["train", "--config", "no_file.yaml"], "no_file.yaml"),
        (["train", "--model", "SIFT+Boost-F", "--output", "run"], "data"),
        (["match", "a.png", "b.png", "-o", "out.png", "--pairs", "sequential"], "--pairs"),
        (["match", "f.h5", "-o", "out.db", "--max-features", "9"], "--max-features"),
    ],
)
def test_bad_input_is_named_in_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("feature-booster: ") and said in error[-1]
    assert not (tmp_path / "out.h5").exists()


def test_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"feature-booster {feature_booster_ros.__version__}\n"
