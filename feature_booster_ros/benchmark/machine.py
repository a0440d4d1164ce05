# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The machine that the numbers were taken on, and how busy it was."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from .. import __version__

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


def describe_machine() -> dict[str, Any]:
    """Return CPU, GPUs, versions, commit and time for JSON; what is unknown is null."""
    cpu, flags = _cpu()
    return {
        "cpu": cpu,
        "cpu_flags": [flag for flag in _FLAGS if flag in flags],
        "cores": available_cores(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "feature_booster_ros": __version__,
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_text(machine: dict[str, Any], others: float | None) -> str:
    """Format the machine as one line, with the number of cores that other programs kept busy."""
    parts = [f"{machine['cpu']}, {machine['cores']} cores ({' '.join(machine['cpu_flags'])})"]
    parts += machine["gpus"]
    parts += [f"torch {machine['torch']}, OpenCV {machine['opencv']}, NumPy {machine['numpy']}"]
    if others is not None:
        parts += [f"{others:.2f} cores busy with other programs"]
    return "; ".join(parts)


class Bystanders:
    """Measure how busy other programs keep the machine, from construction on.

    Times taken beside other work mean little.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._before = _busy_seconds()

    def cores(self) -> float | None:
        """Return how many cores other programs kept busy on average; None if unknown.

        Child processes count as this program's once they have been waited for.
        """
        after = _busy_seconds()
        if self._before is None or after is None:
            return None
        elapsed = max(time.monotonic() - self._begun, 1e-3)
        return max(0.0, (after - self._before) / elapsed)


def _busy_seconds() -> float | None:
    """Return the processor time of all other programs on Linux; None elsewhere."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(int, fields)
    busy = (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


def _cpu() -> tuple[str, set[str]]:
    """Return the CPU's name and flags; the flags are known on Linux only."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return name, flags
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = set(value.split())
    return name, flags


def _commit() -> str | None:
    """Return the commit that the package runs from, with "-dirty" if files differ from it."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
