# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What evaluation, benchmark and live reports share: tables, figures, and the folder for them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import install_extra

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

_TITLE_SIZE = 9
"""Size of a figure's title [points]."""
_TITLE_CHARACTERS = 13
"""Characters of a title that fit into an inch."""


def check_output(folder: Path | None, with_plots: bool = True) -> None:
    """Check that results can be written to a folder, before the long work begins.

    Args:
        folder: The folder, which need not exist yet; None to write nothing.
        with_plots: Whether plots are among the results.

    Raises:
        ValueError: The folder is a file, or matplotlib is needed and not installed.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {folder} is a file: give a folder")
    if with_plots:
        new_figure(1, 1)


def new_figure(width: float, height: float) -> Figure:
    """Create an empty matplotlib figure, which needs no display.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError(
            f"plots need matplotlib: {install_extra('plots')}; or leave --output out"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_title(figure: Figure, title: str, legend: Mapping[str, Artist] | None = None) -> None:
    """Add a title above all panels of a figure, and a legend on their right.

    Args:
        figure: From :func:`new_figure`.
        title: Wrapped to the figure's width.
        legend: Lines by their labels; no legend if there are none.
    """
    width = int(_TITLE_CHARACTERS * figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, width, break_on_hyphens=False), fontsize=_TITLE_SIZE)
    if legend:
        # In the middle, as the title takes the whole width at the top.
        figure.legend(list(legend.values()), list(legend), fontsize=8, loc="outside right center")


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with aligned columns, the first left and the others right."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )
