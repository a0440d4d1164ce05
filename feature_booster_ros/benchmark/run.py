# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of ``feature-booster benchmark``: from settings to a report."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..booster import available_engines
from ..booster.booster import resolve_device
from ..booster.checkpoint import load_checkpoint
from ..booster.engines import ENGINES, PRECISIONS
from ..features import create_extractor
from ..pixels import to_gray
from ..progress import Progress
from .inputs import pool_features, read_frames, save_features
from .machine import Bystanders, available_cores, describe_machine
from .memory import PeakMemory, memory_cases, peak_memory
from .rounds import Comparison, Limits
from .task import BINARY, EAGER, FLOAT, Task, TimedEngine, TimedModel, pool_path
from .worker import Launches, Result, run_task, steps_of

ALL_THREADS = "all"
"""Text for as many threads as there are cores."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """What to time.

    Attributes:
        source: Source of the images, as for :func:`open_source`.
        images: Most images to take from it, at least 2.
        models: Shipped models or weights files.
        features: Numbers of features of an image, each at least 1.
        threads: Numbers of threads, or "all" for every core.
        devices: "cpu", "cuda", "cuda:N".
        engines: NAME or NAME:PRECISION; empty for all that a device has.
        limits: Limits of each comparison.
        with_memory: Whether to measure peak memory.
    """

    source: str
    images: int
    models: Sequence[str]
    features: Sequence[int]
    threads: Sequence[str]
    devices: Sequence[str]
    engines: Sequence[str]
    limits: Limits
    with_memory: bool = True


@dataclass(frozen=True)
class Run:
    """All times of one device with one number of threads."""

    device: str
    threads: int
    title: str
    comparisons: tuple[Comparison, ...]
    launches: tuple[Launches, ...]

    def of(self, stage: str) -> list[Comparison]:
        """Return the comparisons of a stage."""
        return [comparison for comparison in self.comparisons if comparison.stage == stage]


@dataclass(frozen=True)
class Report:
    """Results of a benchmark.

    Attributes:
        machine: The machine, for JSON.
        others: Number of cores that other programs kept busy meanwhile; None if unknown.
        settings: The settings, for JSON.
        runs: Times by device and number of threads.
        memory: Peak memory.
    """

    machine: dict[str, Any]
    others: float | None
    settings: dict[str, Any]
    runs: tuple[Run, ...]
    memory: tuple[PeakMemory, ...]


def default_devices() -> list[str]:
    """Return the devices that are available."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def run_benchmark(settings: BenchmarkSettings) -> Report:
    """Time everything on each device with each number of threads.

    Raises:
        FileNotFoundError: The source or a model does not exist.
        ValueError: A setting is out of range, or a process of the benchmark failed.
    """
    models = [_model(name) for name in settings.models]
    with tempfile.TemporaryDirectory(prefix="feature_booster_benchmark_") as name:
        folder = Path(name)
        tasks = _tasks(settings, models, folder)
        bystanders = Bystanders()
        images = [to_gray(frame.image) for frame in read_frames(settings.source, settings.images)]
        np.savez(folder / "images.npz", *images)
        found = _write_pools(folder, images, models, max(settings.features))
        tasks = [dataclasses.replace(task, found=found) for task in tasks]
        # With the most threads of each device only, as memory hardly depends on them.
        last = {task.device: task for task in tasks}.values() if settings.with_memory else ()
        cases = [(task, case) for task in last for case in memory_cases(task, (FLOAT, BINARY))]
        total = sum(map(steps_of, tasks)) + len(cases)
        with Progress(total=total, unit="step", desc="benchmark", leave=False) as bar:
            runs = tuple(_run(task, bar) for task in tasks)
            memory = []
            for task, case in cases:
                bar.set_postfix_str("memory")
                memory.append(peak_memory(task, case, images[0].shape))
                bar.update()
    return Report(
        describe_machine(),
        bystanders.cores(),
        {
            "source": settings.source,
            "images": len(images),
            "image_size": [images[0].shape[1], images[0].shape[0]],
            "models": [model.label for model in models],
            "features": list(settings.features),
            "engines": {task.device: [engine.label for engine in task.engines] for task in tasks},
            "rounds_at_most": settings.limits.rounds,
            "seconds_of_a_comparison": settings.limits.seconds,
        },
        runs,
        tuple(memory),
    )


def _model(name: str) -> TimedModel:
    network = load_checkpoint(name)
    refused_by = {each for each, engine in ENGINES.items() if engine.refusal(network) is not None}
    return TimedModel(name, network.config.detector, frozenset(refused_by))


def _run(task: Task, bar: Progress) -> Run:
    found: list[Result] = []

    def take(result: Result) -> None:
        found.append(result)
        bar.update()

    bar.set_postfix_str(task.title)
    run_task(task, take)
    return Run(
        task.device,
        task.threads,
        task.title,
        tuple(result for result in found if isinstance(result, Comparison)),
        tuple(result for result in found if isinstance(result, Launches)),
    )


def _tasks(settings: BenchmarkSettings, models: list[TimedModel], folder: Path) -> list[Task]:
    for count in settings.features:
        if count < 1:
            raise ValueError(f"--features must be at least 1, not {count}")
    if settings.images < 2:
        raise ValueError(f"--images must be at least 2, not {settings.images}")
    if settings.limits.rounds < 1:
        raise ValueError(f"--repeats must be at least 1, not {settings.limits.rounds}")
    threads = parse_threads(settings.threads)
    by_device = choose_engines(settings.engines, settings.devices)
    return [
        Task(
            device,
            count,
            tuple(models),
            engines,
            tuple(sorted(set(settings.features))),
            settings.limits,
            folder,
        )
        for device, engines in by_device.items()
        # What a GPU does hardly depends on the number of threads.
        for count in (threads if device == "cpu" else threads[-1:])
    ]


def parse_threads(texts: Sequence[str]) -> list[int]:
    """Return numbers of threads in rising order, each once.

    Raises:
        ValueError: One is neither a number from 1 to that of the cores nor "all".
    """
    cores = available_cores()
    numbers = set()
    for text in texts:
        number = cores if text == ALL_THREADS else int(text) if text.isdecimal() else 0
        if not 1 <= number <= cores:
            raise ValueError(
                f"--threads takes numbers from 1 to {cores}, the cores of this machine, and all, "
                f"not {text}"
            )
        numbers.add(number)
    return sorted(numbers)


def choose_engines(
    texts: Sequence[str], devices: Sequence[str]
) -> dict[str, tuple[TimedEngine, ...]]:
    """Choose the engines to time on each device, with ``EAGER`` first.

    Args:
        texts: NAME or NAME:PRECISION of engines, which at least one device must have; empty for
            all engines, which on CUDA run in half precision.
        devices: Devices to time on.

    Raises:
        ValueError: There is no such device or precision, or no device has such an engine.
    """
    resolved = dict.fromkeys(str(resolve_device(device)) for device in devices)
    has = {device: available_engines(device) for device in resolved}
    wanted = [TimedEngine.parse(text) for text in texts]
    for engine in wanted:
        if engine.precision not in PRECISIONS:
            raise ValueError(
                f"engine {engine.name}: precision must be one of {', '.join(PRECISIONS)}, not "
                f"{engine.precision!r}"
            )
        if not any(engine.name in names for names in has.values()):
            known = ", ".join(dict.fromkeys(name for names in has.values() for name in names))
            raise ValueError(
                f"no engine on {' or '.join(has)} is called {engine.name!r}: there are {known}"
            )
    chosen = {}
    for device, names in has.items():
        if wanted:
            engines = [engine for engine in wanted if engine.name in names]
        elif device == "cpu":
            engines = [TimedEngine(name) for name in names]
        else:
            engines = [TimedEngine(name, "fp16") for name in names]
        chosen[device] = tuple(dict.fromkeys([EAGER, *engines]))
    return chosen


def _write_pools(
    folder: Path, images: list[np.ndarray], models: list[TimedModel], enough: int
) -> dict[str, int]:
    """Write each detector's pools, and return how many features it finds in one image."""
    found = {}
    for detector in dict.fromkeys([FLOAT, BINARY, *(model.detector for model in models)]):
        extractor = create_extractor(detector, enough)
        for half in (0, 1):
            features = pool_features(images[half::2], extractor, enough)
            save_features(pool_path(folder, detector, half), features)
        # Twice as many are requested, as ORB may return fewer than it finds.
        found[detector] = len(create_extractor(detector, 2 * enough)(images[0]))
    return found
