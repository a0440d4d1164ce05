# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Titles and legends of figures."""

import pytest

from feature_booster_ros.evaluation.output import add_title, new_figure


@pytest.mark.parametrize("width", [4.0, 12.0])
def test_a_long_title_is_whole_and_clear_of_legend_and_panels(width):
    figure = new_figure(width, 4)
    axes = figure.subplots()
    lines = {name: axes.plot([0, 1])[0] for name in ("SIFT+Boost-F", "ORB+Boost-B")}
    add_title(figure, "SIFT+Boost-F on a machine that it takes many words to name; " * 3, lines)
    figure.canvas.draw()
    title = figure.texts[0].get_window_extent()
    assert title.x0 >= 0 and title.x1 <= figure.bbox.x1 and title.y1 <= figure.bbox.y1
    assert not title.overlaps(figure.legends[0].get_window_extent())
    assert not title.overlaps(axes.get_window_extent())
    assert not figure.legends[0].get_window_extent().overlaps(axes.get_window_extent())
