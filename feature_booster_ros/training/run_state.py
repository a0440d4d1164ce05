# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run needs to go on, in one file written whole or not at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from .settings import TrainingSettings

MAY_DIFFER = frozenset(
    (
        "models cache output resume steps epochs validate_every log_every device threads workers"
    ).split()
)
"""Settings that a run may be resumed with other values of."""
VERSION = 1


def save_run(path: Path, settings: TrainingSettings, state: dict[str, Any]) -> None:
    """Writes the settings and the state: tensors, numbers, text and containers of these."""
    partial = path.with_name(path.name + ".partial")
    torch.save({"version": VERSION, "settings": settings.to_dict(), "state": state}, partial)
    os.replace(partial, path)


def load_run(path: Path, settings: TrainingSettings) -> dict[str, Any]:
    """The state that :func:`save_run` wrote, on the CPU.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged, or the run had other settings; names them.
    """
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: there is no {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        version, before, state = saved["version"], saved["settings"], saved["state"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no checkpoint of a run, or damaged: {error}") from error
    if version != VERSION:
        raise ValueError(f"{path} is of version {version}, not {VERSION}: train anew")
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
