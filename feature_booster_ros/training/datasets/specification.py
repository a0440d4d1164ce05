# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a run says what data it takes: ``KIND:PATH[,option=value...]``, or the same as a mapping."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..configuration import check_keys, read_fields
from .feature_pair import PairSource
from .fixed_pairs import FixedPairs

_WRITTEN = re.compile(r"(?P<kind>\w+):(?P<path>.*?)(?P<options>(,\w+=[^,]*)*)", re.DOTALL)


@dataclass(frozen=True)
class OpeningContext:
    """What opening a source takes from the run.

    Attributes:
        detector: whose features the pairs must hold.
        cache: folder for what is extracted once.
        workers: processes that extract.
    """

    detector: str
    cache: Path
    workers: int = 1


@dataclass(frozen=True)
class PairSourceSpecification(ABC):
    """A kind of data, where it is, and its options; a subclass for every kind.

    Raises:
        ValueError: an option is out of range.
    """

    kind: ClassVar[str]

    path: str = field(metadata={"help": "where the data are"})
    weight: float = field(
        default=1.0, metadata={"help": "share of the pairs drawn from it, relative to the others'"}
    )

    def __post_init__(self) -> None:
        self.require("weight", self.weight > 0, "above 0")

    @abstractmethod
    def open_training(self, context: OpeningContext) -> PairSource:
        """The pairs to train on.

        Raises:
            FileNotFoundError: there are no data.
            ValueError: they cannot be used.
        """

    @abstractmethod
    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        """Pairs that training does not see, or None where there are none."""

    @property
    def label(self) -> str:
        """A short name for logs, which says nothing of the machine's folders."""
        return f"{self.kind}:{Path(self.path).name}"

    def without_folders(self) -> PairSourceSpecification:
        """The same with the names alone of files and folders, which is what means something on
        another machine.
        """
        texts = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.type == "str"}
        return dataclasses.replace(self, **{n: Path(text).name for n, text in texts.items()})

    def to_dict(self) -> dict[str, Any]:
        """The mapping that :func:`specification_from` takes back: options that differ from their
        defaults.
        """
        given = {
            option.name: getattr(self, option.name)
            for option in dataclasses.fields(self)
            if getattr(self, option.name) != option.default
        }
        return {"kind": self.kind, **given}

    def __str__(self) -> str:
        entry = self.to_dict()
        options = [
            f",{name}={value}" for name, value in entry.items() if name not in ("kind", "path")
        ]
        return f"{self.kind}:{self.path}{''.join(options)}"

    def require(self, name: str, valid: bool, expected: str) -> None:
        """ValueError names the option unless ``valid``."""
        if not valid:
            raise ValueError(
                f"{self.label}: {name} must be {expected}, not {getattr(self, name)!r}"
            )


def specification_from(
    source: str | Mapping[str, Any] | PairSourceSpecification,
    kinds: Mapping[str, type[PairSourceSpecification]],
) -> PairSourceSpecification:
    """A source as a run names it, ``KIND:PATH[,option=value...]`` or a mapping with ``kind``.

    Raises:
        ValueError: it is neither; the kind or an option is not known; or a value is wrong.
    """
    if isinstance(source, PairSourceSpecification):
        return source
    if isinstance(source, str):
        written = _WRITTEN.fullmatch(source)
        if written is None:
            raise ValueError(
                f"data must be written KIND:PATH[,option=value...], not {source!r}; "
                f"the kinds are {', '.join(kinds)}"
            )
        options = [option.split("=", 1) for option in written["options"].split(",")[1:]]
        source = {"kind": written["kind"], "path": written["path"], **dict(options)}
    if not isinstance(source, Mapping) or "kind" not in source:
        raise ValueError(
            f"a source of data must be a mapping with kind and path, not {source!r}; "
            f"the kinds are {', '.join(kinds)}"
        )
    values = {name: value for name, value in source.items() if name != "kind"}
    check_keys([source["kind"]], list(kinds), "data", "kind")
    kind = kinds[source["kind"]]
    return kind(**read_fields(kind, values, f"data of kind {kind.kind}"))
