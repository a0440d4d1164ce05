# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that is available to the process, so that too large an image is refused beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# Work that takes less is not checked [bytes], since reading the limits takes 0.1 ms an image.
_UNCHECKED = 100_000_000

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Raise an error if work takes more memory than is available.

    Args:
        needed: Memory of the work [bytes].
        what: Name of the work, such as "image of 30000 x 20000 pixels".
        remedy: End of the message.

    Raises:
        ValueError: Less than ``needed`` is available.
    """
    if needed < _UNCHECKED:
        return
    available = available_memory()
    if available is not None and needed > available:
        raise ValueError(
            f"{what} takes about {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are "
            f"available: {remedy}"
        )


def available_memory() -> int | None:
    """Return the available memory [bytes], None where the system does not report it.

    It is the least of the machine's free memory with its swap space, of the rest in the control
    groups (versions 1 and 2), and of the rest of the address space (``ulimit -v``). Memory of the
    file cache counts as available.
    """
    limits = [*_machine_memory(), *_group_memory(), *_address_space()]
    return max(0, min(limits)) if limits else None


def _machine_memory() -> Iterator[int]:
    entries = dict(re.findall(r"^(\w+):\s*(\d+) kB", _text(_PROC / "meminfo"), re.MULTILINE))
    if "MemAvailable" in entries:
        yield 1024 * (int(entries["MemAvailable"]) + int(entries.get("SwapFree", 0)))


def _group_memory() -> Iterator[int]:
    for line in _text(_PROC / "self/cgroup").splitlines():
        _, _, entry = line.partition(":")
        controllers, _, name = entry.partition(":")
        if not controllers:
            yield from _group_limits(_CGROUPS, name, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            yield from _group_limits(
                _CGROUPS / "memory", name, "memory.limit_in_bytes", "memory.usage_in_bytes"
            )


def _group_limits(root: Path, name: str, limit: str, usage: str) -> Iterator[int]:
    """Yield the memory left in a group and in those above it [bytes]."""
    group = Path(name.lstrip("/"))
    for folder in (group, *group.parents):
        most, used = _text(root / folder / limit).strip(), _text(root / folder / usage).strip()
        if most.isdecimal() and used.isdecimal():
            cache = re.findall(
                r"^(?:in)?active_file (\d+)", _text(root / folder / "memory.stat"), re.MULTILINE
            )
            yield int(most) - int(used) + sum(map(int, cache))


def _address_space() -> Iterator[int]:
    try:
        import resource
    except ImportError:  # not a Unix
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text(_PROC / "self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield limit - int(pages[0]) * resource.getpagesize()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
