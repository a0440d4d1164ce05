# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves to look at: ``log.jsonl`` and, where TensorBoard is installed, its curves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import install_extra
from ..progress import Progress

logger = logging.getLogger(__name__)


class RunLog:
    """The log of a run in a folder.

    Args:
        folder: gets ``log.jsonl`` and ``tensorboard/``.
        step: the run goes on after this step: what an earlier one logged of later steps is dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / "log.jsonl"
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step] if step else []
        self._path.write_text("".join(line + "\n" for line in kept))
        self._board = _summary_writer(folder / "tensorboard", step)

    def write(self, entry: Mapping[str, Any], show: bool = False) -> None:
        """A line of the log, with its ``step``; shown on the terminal as well if so wished."""
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
        """Of the curves' file."""
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
