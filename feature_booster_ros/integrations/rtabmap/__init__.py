# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boosted features inside of RTAB-Map (Labbe and Michaud, JFR 2019), by its Python interfaces.

RTAB-Map imports a file by its name without a package, after it has appended the file's folder to
``sys.path``. So the two files have a folder to themselves, names that no other module has, and
absolute imports.
"""
