# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of ``feature-booster vocabulary``, and what it does.

Only argparse is imported until the command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command; the parsed options have a function ``run(options)``."""
    command = commands.add_parser(
        "vocabulary",
        help="train a vocabulary of binary descriptors for ORB-SLAM (DBoW2)",
        description="Train a hierarchical vocabulary of binary descriptors, and write it in "
        "DBoW2's text format.",
    )
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a folder of images, subfolders included, or a bag, a video, ...",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="such as vocabulary.txt, or vocabulary.txt.gz",
    )
    command.add_argument(
        "--method",
        default="ORB+Boost-B",
        help="orb, a shipped model or a weights file with binary descriptors "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--max-features",
        type=int,
        default=1000,
        metavar="N",
        help="most features of an image (default: %(default)s)",
    )
    command.add_argument(
        "-k", "--branching", type=int, default=10, help="children of a node (default: %(default)s)"
    )
    command.add_argument(
        "-L", "--depth", type=int, default=4, help="levels of the tree (default: %(default)s)"
    )
    command.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from .dbow2 import write_vocabulary
    from .training_images import extract_binary
    from .vocabulary_training import check_tree, train_vocabulary

    # Before the extraction, which may take hours.
    check_tree(options.branching, options.depth)
    if options.output.is_dir():
        raise ValueError(f"--output {options.output} is a folder: give a file")
    images = extract_binary(options.sources, options.method, options.max_features, options.device)
    vocabulary = train_vocabulary(images, options.branching, options.depth)
    write_vocabulary(vocabulary, options.output)
    print(f"{options.output} has {len(vocabulary)} words of {len(images)} images")
