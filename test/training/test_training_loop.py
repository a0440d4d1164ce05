# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training runs: what they leave, that they go on where they ended, alone and together."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import wait_for
from safetensors import safe_open
from training_runs import (
    ShiftedPairs,
    ShiftedSpecification,
    logged_losses,
    read_log,
    shifted_pair,
    small_settings,
    write_photos,
)

from feature_booster_ros.booster import Booster, FeatureBooster, load_checkpoint
from feature_booster_ros.features import Features
from feature_booster_ros.training.bits import MOMENT_BATCHES
from feature_booster_ros.training.components import (
    learning_rate_factor,
    make_average,
    make_optimizer,
)
from feature_booster_ros.training.datasets import ViewGroup
from feature_booster_ros.training.initialization import start_near_identity
from feature_booster_ros.training.settings import read_settings
from feature_booster_ros.training.step_timing import time_steps
from feature_booster_ros.training.trainer import train
from feature_booster_ros.training.validation import Validation, score_pairs

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def state(output: Path) -> dict:
    return torch.load(output / "run.pt", weights_only=True)["state"]


def assert_equal_weights(a: dict, b: dict) -> None:
    for part in ("network", "average"):
        assert (a[part] is None) == (b[part] is None)
        for name, tensor in (a[part] or {}).items():
            assert torch.equal(tensor, b[part][name]), name


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("name", ["SIFT+Boost-F", "SIFT+Boost-B", "ORB+Boost-B"])
def test_a_run_on_photographs_leaves_usable_weights(photos, cache, tmp_path, name):
    settings = read_settings(
        None,
        {
            "model": name,
            "data": f"photos:{photos},views=3,features=100,longest_side=256,holdout=5",
            "cache": cache,
            "output": str(tmp_path / "run"),
            "steps": 6,
            "batch": 4,
            "features": 64,
            "warmup": 3,
            "validate_every": 4,
            "log_every": 4,
            "device": "cpu",
            "threads": 1,
        },
    )
    path = train(settings)
    booster = Booster.from_pretrained(path, "cpu")
    assert booster.name == name
    entries = read_log(tmp_path / "run")
    validated = [entry["step"] for entry in entries if "validation" in entry]
    assert validated == [0, 4, 6]
    assert list(entries[0]["validation"]) == [f"photos:{photos.name}"]
    trained = [entry for entry in entries if "loss" in entry]
    assert [entry["step"] for entry in trained] == [4, 6]
    assert all(np.isfinite(entry["loss"]) and 0 < entry["raw_ap"] < 1 for entry in trained)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["draws"] == "24" and "--steps 6 --batch 4" in metadata["training"]
    assert {"raw", "boosted"} == set(json.loads(metadata["validation"]))
    assert str(photos) not in str(metadata)
    # The weights have moved, and the descriptors with them.
    torch.manual_seed(settings.seed)
    start = FeatureBooster(booster.config)
    start_near_identity(start)
    moved = (start.final_proj.weight - booster.network.final_proj.weight).abs().max()
    assert moved > 1e-3


def test_the_loss_falls(tmp_path):
    train(small_settings(tmp_path, steps=14, warmup=0, lr=3e-3, decay="none", start="random"))
    losses = logged_losses(tmp_path)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:2])


def test_the_reward_grows(tmp_path):
    train(
        small_settings(
            tmp_path, steps=14, warmup=0, lr=3e-3, decay="none", start="random", loss="reward"
        )
    )
    losses = logged_losses(tmp_path)
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1


INTERRUPT: dict[str, int] = {}
"""Draws that are left until Ctrl-C."""


class InterruptedPairs(ShiftedPairs):
    def draw(self, rng):
        if INTERRUPT:
            INTERRUPT["left"] -= 1
            if INTERRUPT["left"] == 0:
                INTERRUPT.clear()
                os.kill(os.getpid(), signal.SIGINT)
        return super().draw(rng)


@dataclass(frozen=True)
class InterruptedSpecification(ShiftedSpecification):
    kind = "interrupted"

    def open_training(self, context):
        return InterruptedPairs()


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "dropout": 0.2},
        {"optimizer": "sgd", "decay": "linear"},
        {"model": "SIFT+Boost-B", "loss": "gce", "temperature": 12.5, "weight_decay": 0.01},
    ],
)
def test_ctrl_c_writes_a_checkpoint_and_resume_continues_exactly(tmp_path, caplog, changes):
    changes = {"data": (InterruptedSpecification(),), **changes}
    train(small_settings(tmp_path / "whole", **changes))
    INTERRUPT["left"] = 10  # within the third step of four pairs
    if changes.get("loss") == "gce":  # the moments of the start's outputs are measured first
        INTERRUPT["left"] += 4 * MOMENT_BATCHES
    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background
    caplog.set_level("INFO")
    with pytest.raises(KeyboardInterrupt):
        train(small_settings(tmp_path / "halves", **changes))
    assert f"--config {tmp_path / 'halves' / 'settings.yaml'} --resume" in caplog.text
    assert state(tmp_path / "halves")["step"] == 3
    assert signal.getsignal(signal.SIGINT) is before
    train(small_settings(tmp_path / "halves", resume=True, **changes))
    assert_equal_weights(state(tmp_path / "whole"), state(tmp_path / "halves"))
    assert logged_losses(tmp_path / "whole") == logged_losses(tmp_path / "halves")


def test_three_steps_and_three_more_are_six_with_a_constant_rate(tmp_path):
    train(small_settings(tmp_path / "whole", decay="none"))
    train(small_settings(tmp_path / "halves", decay="none", steps=3))
    path = train(small_settings(tmp_path / "halves", decay="none", steps=6, resume=True))
    assert_equal_weights(state(tmp_path / "whole"), state(tmp_path / "halves"))
    with safe_open(path, "pt") as file:
        assert file.metadata()["draws"] == "24"


def test_a_run_with_other_settings_is_not_resumed(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(small_settings(tmp_path, resume=True))
    train(small_settings(tmp_path, steps=1))
    with pytest.raises(ValueError, match="lr was 0.001 and is 0.01; batch|batch.*; lr was 0.001"):
        train(small_settings(tmp_path, steps=2, lr=0.01, batch=8, resume=True))
    with pytest.raises(ValueError, match="holds a run already: continue it with --resume"):
        train(small_settings(tmp_path, steps=2))
    (tmp_path / "run.pt").write_bytes((tmp_path / "run.pt").read_bytes()[:1000])
    with pytest.raises(ValueError, match="truncated, or no checkpoint of a run"):
        train(small_settings(tmp_path, steps=2, resume=True))


SCRIPT = """
import logging, sys
from feature_booster_ros.training.settings import read_settings
from feature_booster_ros.training.trainer import train
train(read_settings(sys.argv[1]))
"""


def test_two_processes_train_as_one(photos, cache, tmp_path):
    data = f"photos:{photos},views=3,features=100,longest_side=256,holdout=5"
    common = {"cache": cache, "batch": 5, "steps": 4, "fastap_weight": 1.0, "reward_weight": 0.5}
    settings = {
        count: dataclasses.replace(
            read_settings(None, {"model": "SIFT+Boost-F", "data": data, "output": output}),
            **{**common, "warmup": 1, "lr": 2e-3, "log_every": 1, "features": 64, "threads": 1},
        )
        for count, output in ((1, str(tmp_path / "one")), (2, str(tmp_path / "two")))
    }
    train(settings[1])
    (tmp_path / "train.py").write_text(SCRIPT)
    settings[2].save(tmp_path / "settings.yaml")
    command = "-m torch.distributed.run --standalone --nproc_per_node=2".split()
    finished = subprocess.run(
        [sys.executable, *command, str(tmp_path / "train.py"), str(tmp_path / "settings.yaml")],
        cwd=PACKAGE_FOLDER,
        env={**os.environ, "PYTHONPATH": str(PACKAGE_FOLDER), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    one, two = (logged_losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 4 and max(one) - min(one) > 1e-3
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)
    a, b = (state(tmp_path / name)["network"] for name in ("one", "two"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=0)


def test_sigterm_to_all_processes_writes_a_checkpoint(photos, cache, tmp_path):
    data = f"photos:{photos},views=3,features=100,longest_side=256,holdout=5"
    settings = read_settings(
        None, {"model": "ORB+Boost-B", "data": data, "output": str(tmp_path / "run")}
    )
    settings = dataclasses.replace(
        settings, cache=cache, batch=2, steps=10_000, features=64, threads=1, workers=1, log_every=1
    )
    settings.save(tmp_path / "settings.yaml")
    # A worker is spawned: it imports the script.
    (tmp_path / "train.py").write_text(
        SCRIPT.replace("train(", 'if __name__ == "__main__": train(')
    )
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "train.py"), str(tmp_path / "settings.yaml")],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_FOLDER), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "run" / "log.jsonl"
    wait_for(lambda: log.is_file() and '"loss"' in log.read_text(), "step of the training")
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert "DataLoader" not in errors
    assert state(tmp_path / "run")["step"] >= 1


def test_weights_that_diverge_are_told(tmp_path):
    with pytest.raises(ValueError, match="no longer finite at step .*: lower lr"):
        train(small_settings(tmp_path, lr=1e9, warmup=0, log_every=3))


def test_a_finished_run_says_so(tmp_path, caplog):
    train(small_settings(tmp_path, steps=1))
    caplog.set_level("INFO")
    train(small_settings(tmp_path, steps=1, resume=True))
    assert f"all 1 steps of the run in {tmp_path} are done" in caplog.text


class BrokenPairs(ShiftedPairs):
    """Of every four draws one comes to nothing, one fails and one has no correspondences."""

    def draw(self, rng):
        kind = rng.integers(4)
        pair = super().draw(rng)
        if kind == 0:
            return None
        if kind == 1:
            raise OSError("the disk is gone")
        if kind == 2:
            there, back = (np.full_like(at, np.inf) for at in pair.seen_at[0])
            return dataclasses.replace(pair, seen_at=((there, back),))
        return pair


@dataclass(frozen=True)
class BrokenSpecification(ShiftedSpecification):
    kind = "broken"

    def open_training(self, context):
        return BrokenPairs()

    def open_validation(self, context):
        return None


def test_what_is_broken_is_counted_and_not_fatal(tmp_path, caplog):
    data = (BrokenSpecification("a"), ShiftedSpecification("b"))
    train(small_settings(tmp_path, data=data))
    entries = [entry for entry in read_log(tmp_path) if "loss" in entry]
    skipped = sum(entry["skipped"]["broken:a"] for entry in entries)
    # About twelve pairs come from it, each after three draws in vain.
    assert 10 < skipped < 100
    assert all(entry["skipped"]["shifted:b"] == 0 for entry in entries)
    assert state(tmp_path)["skipped"] == [skipped, 0]
    assert caplog.text.count("the disk is gone") == 1


def test_without_tensorboard_a_line_says_so(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    caplog.set_level("INFO")
    train(small_settings(tmp_path, steps=1))
    assert caplog.text.count("pip install '.[train]'") == 1
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_gets_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(small_settings(tmp_path, steps=3))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    assert [event.step for event in events.Scalars("validation/shifted:/correct")] == [0, 3]


def test_switches_reach_the_weights(tmp_path):
    settings = small_settings(
        tmp_path, steps=1, network={"use_kenc": False, "use_mha": True}, dropout=0.1
    )
    network = load_checkpoint(train(settings))
    assert network.kenc is None and network.config.use_mha and not network.config.use_kenc
    settings = small_settings(tmp_path / "b", steps=1, network={"use_cross": False})
    assert load_checkpoint(train(settings)).attn_proj is None


def test_the_saved_configuration_is_taken_back(tmp_path):
    settings = read_settings(
        None, {"model": "SIFT+Boost-F", "data": "photos:p,views=3", "output": "o", "lr": "1e-4"}
    )
    settings.save(tmp_path / "settings.yaml")
    assert read_settings(tmp_path / "settings.yaml") == settings
    changed = read_settings(tmp_path / "settings.yaml", {"steps": "7", "decay": "none"})
    assert (changed.steps, changed.decay, changed.lr) == (7, "none", 1e-4)


@pytest.mark.parametrize(
    ("decay", "half", "last"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("none", 1.0, 1.0)]
)
def test_the_learning_rate_warms_up_and_decays(tmp_path, decay, half, last):
    settings = small_settings(tmp_path, warmup=100, decay=decay)
    factors = [learning_rate_factor(step, 1000, settings) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01) and factors[99] == pytest.approx(1)
    assert factors[550] == pytest.approx(half, abs=0.01)
    assert factors[1000] == pytest.approx(last)
    assert np.all(np.diff(factors[100:]) <= 0)
    raised = dataclasses.replace(settings, final_lr=0.2)
    expected = 0.2 if decay != "none" else 1
    assert learning_rate_factor(1000, 1000, raised) == pytest.approx(expected)


def test_every_optimizer_takes_a_step_downhill(tmp_path):
    for name in ("adamw", "adam", "sgd"):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 1)
        optimizer = make_optimizer(layer, small_settings(tmp_path, optimizer=name))
        losses = []
        for _ in range(5):
            loss = layer(torch.ones(1, 3)).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], name


def test_float16_is_for_gpus(tmp_path):
    settings = small_settings(tmp_path, precision="fp16")
    with pytest.raises(ValueError, match="fp16 is for CUDA"):
        train(settings)


def test_the_moving_average_follows_slowly():
    layer = torch.nn.Linear(1, 1)
    average = make_average(layer, 0.9)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1)

    def moved() -> float:
        return (average.module.weight - before).item()

    average.update_parameters(layer)  # in the first step it forgets fast
    assert moved() == pytest.approx(9 / 11)
    average.n_averaged += 1000
    average.update_parameters(layer)
    assert moved() == pytest.approx(1 - 0.9 * 2 / 11)


# Validation


def test_the_score_of_pairs_counts_what_is_known():
    keypoints = np.array([[10.0, 10], [50, 50], [90, 90]], np.float32)
    ones = np.ones(3, np.float32)
    features = Features(keypoints, ones, ones, ones, np.eye(3, 128, dtype=np.float32))
    seen_at = np.pad(keypoints + np.float32([[2, 2], [3, 3], [np.nan, np.nan]]), [(0, 0), (0, 1)])
    pair = ViewGroup((features, features), ((100, 100), (100, 100)), ((seen_at, seen_at),))
    score = score_pairs([pair])
    # One within 3 pixels, one 4.2 away, one of which nothing is known.
    assert (score.features, score.matches, score.correct, score.accuracy) == (3, 2, 1, 0.5)
    hidden = dataclasses.replace(pair, seen_at=((np.full_like(seen_at, np.inf), seen_at),))
    assert score_pairs([hidden]).accuracy == 0 and score_pairs([hidden]).matches == 3


def test_the_best_weights_have_most_correct_matches_but_no_less_accuracy():
    raw = score_pairs([shifted_pair(np.random.default_rng(0))])

    def standing(correct: float, accuracy: float) -> float | None:
        boosted = dataclasses.replace(
            raw, correct=raw.correct * correct, accuracy=raw.accuracy + accuracy
        )
        return Validation({"a": raw}, {"a": boosted}).standing()

    assert standing(1.2, 0.0) > standing(1.1, 0.01) > standing(1.0, 0.02)
    assert standing(1.5, -0.01) is None
    assert Validation({}, {}).standing() is None


def test_best_weights_are_kept_beside_the_newest(tmp_path):
    train(small_settings(tmp_path, validate_every=3, start="identity"))
    validations = [e["validation"]["shifted:"] for e in read_log(tmp_path) if "validation" in e]
    ratios = [v["correct_ratio"] for v in validations if v["accuracy"] >= v["accuracy_raw"]]
    best = tmp_path / "SIFT+Boost-F.best.safetensors"
    assert best.is_file() == bool(ratios)
    assert state(tmp_path)["best"] == (max(ratios) if ratios else -np.inf)


def test_the_timed_implementations_have_the_same_loss(tmp_path):
    result = time_steps(small_settings(tmp_path, batch=3), steps=2)
    assert result.losses[0] == pytest.approx(result.losses[1], rel=1e-3)
    assert len(result.ours) == len(result.pair_by_pair) == 2
    assert f"ratio {result.ratio:.2f}" in str(result)
