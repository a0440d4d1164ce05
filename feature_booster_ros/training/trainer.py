# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..booster import FeatureBooster, save_checkpoint
from ..progress import Progress
from .bits import MOMENT_BATCHES, fold_normalization
from .components import (
    learning_rate_factor,
    make_average,
    make_batch,
    make_config,
    make_context,
    make_network,
    make_optimizer,
    make_scaler,
    set_learning_rate,
)
from .datasets.batches import PairBatch
from .datasets.mixture import PairMixture, StepPairs, open_mixture, source_names, step_loader
from .datasets.sources import open_validation
from .geometry_code import (
    CODE_BATCHES,
    check_geometry_code,
    project_with_angle,
    trade_bits_for_geometry,
)
from .initialization import (
    SILENCE_BATCHES,
    load_start,
    silence_units,
    start_from_trained,
    start_near_identity,
)
from .objective import Measures, label_counts, training_objective
from .processes import Processes, StopRequest, join_processes
from .run_folder import RunLog, describe_origin, load_run, save_run
from .settings import TrainingSettings
from .validation import Validator

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")


def train(settings: TrainingSettings) -> Path:
    """Train a booster; under ``torchrun``, together with the other processes.

    The folder ``output`` gets ``settings.yaml`` and ``log.jsonl``, and at every validation the
    checkpoint ``run.pt``, the newest weights ``MODEL.safetensors``, and the best ones
    ``MODEL.best.safetensors`` (:meth:`.Validation.standing`).

    Returns:
        Path of the newest weights.

    Raises:
        FileNotFoundError: There are no data, or no run to resume.
        ValueError: The model is not in the table, there is no extractor of its feature, data or
            settings cannot be used, or the loss is no longer finite.
        KeyboardInterrupt: On Ctrl-C, after the step is done and the checkpoint is written.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with join_processes(settings.device) as processes:
        return _Run(settings, processes).train()


class _Run:
    """A run in this process.

    Attributes:
        step: Last step that is done.
    """

    def __init__(self, settings: TrainingSettings, processes: Processes) -> None:
        self.settings, self.processes = settings, processes
        self.config = make_config(settings)
        self.output = Path(settings.output)
        self.weights_path = self.output / f"{self.config.name}.safetensors"
        self.state_path = self.output / "run.pt"
        if self.state_path.exists() and not settings.resume:
            raise ValueError(
                f"{self.output} holds a run already: continue it with --resume, or choose another "
                "folder"
            )
        saved = load_run(self.state_path, settings) if settings.resume else None
        self.scaler = make_scaler(settings, processes.device)
        torch.manual_seed(settings.seed)
        self.network = make_network(settings, self.config)
        # Checked before features are extracted, which may take hours.
        self.source: FeatureBooster | None = None
        if saved is None and settings.start not in ("identity", "random"):
            self.source = load_start(self.config, settings.start)
        if saved is None and settings.geometry_code:
            check_geometry_code(self.config, None if self.source is None else self.source.config)
        context = make_context(settings, self.config)
        self.open_sources = functools.partial(
            open_mixture, settings.data, context, settings.seed, settings.features
        )
        self.names = source_names(settings.data)
        with processes.first_goes_first():
            if processes.is_first:
                self.output.mkdir(parents=True, exist_ok=True)
                settings.save(self.output / "settings.yaml")
            self.mixture: PairMixture = self.open_sources()
        self.steps = settings.total_steps(len(self.mixture))
        if processes.is_first:
            opened = [open_validation(source, context) for source in settings.data]
            pairs = {n: v for n, v in zip(self.names, opened, strict=True) if v is not None}
            self.validator = Validator(pairs, processes.device)
        self.step, self.seconds, self.best = 0, 0.0, -math.inf
        self.skipped = np.zeros(len(self.names), np.int64)
        if saved is None:
            self._start()
        else:
            self.network.load_state_dict(saved["network"])
        self.network.to(processes.device).train()
        processes.copy_from_first(self.network)
        self.optimizer = make_optimizer(self.network, settings)
        self.average = make_average(self.network, settings.ema) if settings.ema else None
        if saved is not None:
            self._restore(saved)
        self.started = time.monotonic() - self.seconds

    def train(self) -> Path:
        """Train to the last step and return the path of the newest weights."""
        log = RunLog(self.output, self.step) if self.processes.is_first else None
        if log is not None and self.step == self.steps > 0:
            logger.info("all %d steps of the run in %s are done", self.steps, self.output)
        try:
            if self.step == 0 and log is not None:
                self._record(log)
            self._loop(log)
        finally:
            if log is not None:
                log.close()
        if log is not None and self.skipped.any():
            logger.info("draws without a pair: %s", self._by_source(self.skipped))
        return self.weights_path

    def _loop(self, log: RunLog | None) -> None:
        settings, processes = self.settings, self.processes
        loader = step_loader(
            self.open_sources if settings.workers else lambda: self.mixture,
            range(self.step + 1, self.steps + 1),
            processes.items(settings.batch),
            settings.workers,
        )
        progress = Progress(
            loader,
            "train",
            total=self.steps,
            initial=self.step,
            mininterval=2.0,
            disable=not processes.is_first,
        )
        # This process's share, since the last line of the log, of the loss, of what is logged
        # beside it, and of the draws of each source that gave no pair.
        totals, since = torch.zeros(3, dtype=torch.float64, device=processes.device), self.step
        skipped = np.zeros(len(self.names), np.int64)
        with StopRequest() as stop:
            for pairs in progress:
                measures, stopping = self._step(pairs, stop.asked)
                totals += torch.stack([measures.loss.detach(), *measures.logged.values()])
                skipped += pairs.skipped
                validating = self.step % settings.validate_every == 0 or self.step == self.steps
                if validating or stopping or self.step % settings.log_every == 0:
                    line = self._log_line(totals, list(measures.logged), skipped, self.step - since)
                    totals.zero_()
                    skipped[:], since = 0, self.step
                    if log is not None:
                        log.write(line)
                        shown = {name: line[name] for name in ("loss", *measures.logged)}
                        progress.set_postfix(shown, refresh=False)
                        if validating:
                            self._record(log)
                if stopping:
                    self._stop()

    def _step(self, pairs: StepPairs, stop_asked: bool) -> tuple[Measures, bool]:
        """Take one step; return its measures, and whether any process was asked to stop."""
        settings, processes = self.settings, self.processes
        step = self.step + 1
        if settings.dropout:
            # A function of the step alone, so that a resumed run drops the same elements.
            seed = np.random.SeedSequence([settings.seed, step, processes.rank])
            torch.manual_seed(int(seed.generate_state(1)[0]))
        batch = make_batch(pairs, settings, self.config, processes.device)
        counts = label_counts(batch)
        if processes.count > 1:
            counts = processes.sum(torch.cat([counts, counts.new_tensor([float(stop_asked)])]))
            stop_asked = bool(counts[3] > 0)
        measures = training_objective(self.network, batch, settings, counts, self.step / self.steps)
        rate = settings.lr * learning_rate_factor(self.step, self.steps, settings)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(measures.loss).backward()
        processes.sum_gradients(self.network)
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step = step
        if self.average is not None:
            self.average.update_parameters(self.network)
        return measures, stop_asked

    def _log_line(
        self, totals: Tensor, names: list[str], skipped: np.ndarray, steps: int
    ) -> dict[str, Any]:
        """Return the means since the last line, over all processes."""
        counted = torch.from_numpy(skipped).to(totals)
        summed = self.processes.sum(torch.cat([totals, counted])).cpu().numpy()
        loss, *others = (summed[:3] / steps).tolist()
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is no longer finite at step {self.step}: lower lr, or take precision "
                "fp32; --resume continues from the last checkpoint if the settings are the same"
            )
        self.skipped += summed[3:].astype(np.int64)
        return {
            "step": self.step,
            "seconds": round(time.monotonic() - self.started),
            "loss": round(loss, 6),
            **{name: round(value, 4) for name, value in zip(names, others, strict=True)},
            "lr": self.optimizer.param_groups[0]["lr"],
            "skipped": self._by_source(summed[3:]),
        }

    def _record(self, log: RunLog) -> None:
        """Validate, and write weights and checkpoint."""
        weights = self._saved_weights()
        validation = self.validator(self.config, weights)
        log.write({"step": self.step, "validation": validation.summary()}, show=True)
        network = FeatureBooster(self.config)
        network.load_state_dict(weights)
        seconds = time.monotonic() - self.started
        metadata = describe_origin(self.settings, self.mixture, self.step, seconds, validation)
        save_checkpoint(network, self.weights_path, metadata, torch.float16)
        standing = validation.standing()
        if standing is not None and standing > self.best:
            self.best = standing
            best = self.weights_path.with_name(f"{self.config.name}.best.safetensors")
            save_checkpoint(network, best, metadata, torch.float16)
        self._save()

    def _stop(self) -> None:
        if self.processes.is_first:
            self._save()
            logger.info(
                "stopped after step %d; continue with: feature-booster train --config %s --resume",
                self.step,
                self.output / "settings.yaml",
            )
        raise KeyboardInterrupt

    def _start(self) -> None:
        settings = self.settings
        if settings.start == "identity":
            start_near_identity(self.network)
        elif self.source is not None:
            fresh = start_from_trained(self.network, self.source, self._first_batches())
            if self.processes.is_first:
                logger.info("started from %s; new: %s", settings.start, ", ".join(fresh) or "none")
        if settings.geometry_code:
            device = self.processes.device if self.source is None else CPU
            batches = list(itertools.islice(self._first_batches(device), CODE_BATCHES))
            if self.source is None:
                trade_bits_for_geometry(self.network, batches)
            else:
                project_with_angle(self.network, self.source, batches)
        if settings.silence_units:
            silenced = silence_units(
                self.network, itertools.islice(self._first_batches(), SILENCE_BATCHES)
            )
            if self.processes.is_first:
                logger.info("silenced %d units that no feature makes fire", silenced)

    def _first_batches(self, device: torch.device = CPU) -> Iterator[PairBatch]:
        """Yield whole batches, whatever the number of processes."""
        steps = range(1, self.steps + 100)
        for step in steps:
            pairs = self.mixture.draw_step(step, range(self.settings.batch))
            yield make_batch(pairs, self.settings, self.config, device)

    def _saved_weights(self) -> Mapping[str, Tensor]:
        """Return the weights as they are saved: averaged, and without batch normalization."""
        network = self.network if self.average is None else self.average.module
        if not (self.settings.loss == "gce" and self.config.binary):
            return network.state_dict()
        folded = FeatureBooster(self.network.config).to(self.processes.device)
        folded.load_state_dict(network.state_dict())
        batches = itertools.islice(self._first_batches(self.processes.device), MOMENT_BATCHES)
        fold_normalization(folded, batches)
        return folded.state_dict()

    def _save(self) -> None:
        self.seconds = time.monotonic() - self.started
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "skipped": self.skipped.tolist(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
        }
        save_run(self.state_path, self.settings, state)

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step, self.seconds, self.best = saved["step"], saved["seconds"], saved["best"]
        self.skipped += np.array(saved["skipped"], np.int64)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.average is not None:
            self.average.module.load_state_dict(saved["average"])
            self.average.n_averaged += self.step

    def _by_source(self, counts: np.ndarray) -> dict[str, int]:
        return {name: int(n) for name, n in zip(self.names, counts, strict=True)}
