# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a run's folder: log, checkpoint, and what the weights' header says of the run."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from ..booster import read_metadata
from ..booster.checkpoint import load_saved
from ..errors import install_extra
from ..evaluation.metrics import MatchingScore
from ..progress import Progress
from .datasets.mixture import PairMixture
from .settings import TrainingSettings
from .validation import Validation

logger = logging.getLogger(__name__)


MAY_DIFFER = frozenset(
    (
        "models cache output resume steps epochs validate_every log_every device threads workers"
    ).split()
)
"""Settings whose values a resumed run may change."""
CHECKPOINT_VERSION = 2
"""Version of the checkpoint file."""


class RunLog:
    """The log of a run: ``log.jsonl`` and, where TensorBoard is installed, ``tensorboard/``.

    Args:
        folder: Folder of the run.
        step: Last step that is done; lines of later steps, from an interrupted run, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / "log.jsonl"
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step] if step else []
        self._path.write_text("".join(line + "\n" for line in kept))
        self._board = _summary_writer(folder / "tensorboard", step)

    def write(self, entry: Mapping[str, Any], show: bool = False) -> None:
        """Append a line.

        Args:
            entry: Values by name, among them ``step``.
            show: Whether the line is printed too.
        """
        line = json.dumps(entry)
        with self._path.open("a") as file:
            file.write(line + "\n")
        if show:
            Progress.write(line)
        if self._board is not None:
            for name, number in _numbers(entry):
                self._board.add_scalar(name, number, entry["step"])
            self._board.flush()

    def close(self) -> None:
        """Close the file of TensorBoard."""
        if self._board is not None:
            self._board.close()

    def _lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.is_file() else []


def _numbers(entry: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            yield prefix + name, value


def _summary_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("no TensorBoard curves without tensorboard: %s", install_extra("train"))
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def save_run(path: Path, settings: TrainingSettings, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: File to write.
        settings: Settings of the run.
        state: Tensors, numbers, text and containers of these.
    """
    partial = path.with_name(path.name + ".partial")
    torch.save(
        {"version": CHECKPOINT_VERSION, "settings": settings.to_dict(), "state": state}, partial
    )
    os.replace(partial, path)


def load_run(path: Path, settings: TrainingSettings) -> dict[str, Any]:
    """Return the state that :func:`save_run` wrote, on the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or the run had other settings, which the message names.
    """
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: there is no {path}")
    saved = load_saved(path, "checkpoint of a run")
    try:
        version, before, state = saved["version"], saved["settings"], saved["state"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no checkpoint of a run") from error
    if version != CHECKPOINT_VERSION:
        raise ValueError(f"{path} is of version {version}, not {CHECKPOINT_VERSION}: train again")
    now = settings.to_dict()
    changed = [
        f"{name} was {before.get(name)!r} and is {now[name]!r}"
        for name in now
        if name not in MAY_DIFFER and before.get(name) != now[name]
    ]
    if changed:
        raise ValueError(
            f"{path} is of a run with other settings: {'; '.join(changed)}; resume with those it "
            f"had (--config {path.with_name('settings.yaml')}), or start a run in another folder"
        )
    return state


def describe_origin(
    settings: TrainingSettings,
    mixture: PairMixture,
    step: int,
    seconds: float,
    validation: Validation,
) -> dict[str, str]:
    """Return what the header of a weights file says of the run that made it.

    It names the command, the weights that it started from, the data, the draws and seconds so far,
    and the scores, without folders of this machine.

    Args:
        settings: Settings of the run.
        mixture: Its data.
        step: Steps that are done.
        seconds: Time that they took [s].
        validation: Scores of the weights.
    """
    before = {}
    if settings.start not in ("identity", "random"):
        metadata = read_metadata(settings.start)
        before = {
            key: metadata[key]
            for key in ("training", "draws", "pairs", "before")
            if key in metadata
        }
    sources = zip(mixture.names, mixture.sources, strict=True)
    scores = {
        part: {name: _means(score) for name, score in of_source.items()}
        for part, of_source in (("raw", validation.raw), ("boosted", validation.boosted))
    }
    return {
        "training": settings.command(),
        "before": json.dumps(before),
        "data": ", ".join(f"{name} ({len(source)} draws an epoch)" for name, source in sources),
        "draws": str(step * settings.batch),
        "seconds": str(round(seconds)),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "validation": json.dumps(scores),
    }


def _means(score: MatchingScore) -> dict[str, object]:
    """Return the score without the values of single pairs, which are too many for a header."""
    fields = dataclasses.asdict(score)
    return {key: value for key, value in fields.items() if not key.startswith("pair_")}
