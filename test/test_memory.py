# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What memory is left, and images that are too large for it."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest

from feature_booster_ros import memory
from feature_booster_ros.features import create_extractor

GIGABYTE = 1_000_000_000


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 GB whose files a test can change."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "cgroup").mkdir()
    entries = "MemTotal: 1 kB\nMemAvailable:    6835937 kB\nSwapFree: 976563 kB\n"
    (tmp_path / "proc" / "meminfo").write_text(entries)
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    return tmp_path


def group(folder, limit, usage, cache, names=("memory.max", "memory.current")):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, usage), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\nactive_file 5\n")


def test_machine_without_limits(machine):
    assert memory.available_memory() == 8 * GIGABYTE


def test_least_limit_of_the_groups_counts_and_cached_files_do_not(machine):
    (machine / "proc" / "self" / "cgroup").write_text("0::/outer/inner\n")
    group(machine / "cgroup" / "outer" / "inner", "max", 10, 0)
    group(machine / "cgroup" / "outer", 3 * GIGABYTE, 2 * GIGABYTE, GIGABYTE - 5)
    assert memory.available_memory() == 2 * GIGABYTE


def test_groups_of_version_1(machine):
    (machine / "proc" / "self" / "cgroup").write_text("5:cpu:/a\n4:memory:/host/path\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(machine / "cgroup" / "memory", GIGABYTE, 100, 95, names)
    assert memory.available_memory() == GIGABYTE


def test_limit_of_the_address_space(machine, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4 * GIGABYTE, 4 * GIGABYTE))
    (machine / "proc" / "self" / "statm").write_text("1000 5 5\n")
    assert memory.available_memory() == 4 * GIGABYTE - 1000 * resource.getpagesize()


def test_machine_that_tells_nothing_refuses_nothing(machine):
    (machine / "proc" / "meminfo").unlink()
    assert memory.available_memory() is None
    memory.check_memory(1e15, "work", "remedy")


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("sift", {}, (2500, 4000)),
        ("sift", {"first_octave": 0}, (2500, 4000)),
        ("orb", {}, (5000, 8000)),
    ],
)
def test_image_too_large_is_refused_before_the_work(monkeypatch, name, options, shape):
    extractor = create_extractor(name, **options)
    gigabytes = round(extractor.bytes_per_pixel * shape[0] * shape[1] / GIGABYTE, 1)
    assert gigabytes >= 0.3
    monkeypatch.setattr(extractor, "_extract", lambda *_: pytest.fail("work has begun"))
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * GIGABYTE // 10)
    expected = rf"{shape[1]} x {shape[0]} pixels: {name} takes about {gigabytes} GB.* 0\.2 GB.*ORB"
    with pytest.raises(ValueError, match=expected):
        extractor(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("name", "options"),
    [("sift", {}), ("sift", {"first_octave": 0}), ("sift", {"octave_layers": 5}), ("orb", {})],
)
def test_declared_memory_is_what_the_work_takes(name, options):
    """Measured in a process of its own, as the peak of a process never falls."""
    side = 6000 if name == "orb" else 2400
    script = f"""
import re, cv2, numpy as np
from pathlib import Path
from feature_booster_ros.features import create_extractor
extractor = create_extractor({name!r}, max_features=500, **{options!r})
noise = np.random.default_rng(0).integers(0, 256, ({side} // 8,) * 2, np.uint8)
image = cv2.resize(noise, ({side}, {side}), interpolation=cv2.INTER_CUBIC)
extractor(image[:256, :256])
# Not getrusage: its peak is that of the process that started this one, where that was larger.
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
extractor(image)
print((peak() - before) / {side} ** 2, extractor.bytes_per_pixel)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    measured, declared = map(float, run.stdout.split())
    assert 0.4 * declared < measured < 1.05 * declared
