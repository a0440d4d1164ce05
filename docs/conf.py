# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sphinx's settings for the documentation site: `make docs`, or rosdoc2."""

import feature_booster_ros

project = "feature_booster_ros"
author = copyright = "The feature_booster_ros authors"
version = release = feature_booster_ros.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
# index.md includes README.md, which is the index where GitHub shows this folder.
exclude_patterns = ["README.md"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"FeatureBooster for ROS 2 {version}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]

autodoc_default_options = {"members": True, "imported-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True
