# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Find images of the same place: a vocabulary of binary descriptors, and an index of images."""

from .dbow2 import read_vocabulary, vocabulary_path, write_vocabulary
from .index import ImageIndex
from .vocabulary import BagOfWords, Vocabulary, similarity
from .vocabulary_training import train_vocabulary

__all__ = [
    "BagOfWords",
    "ImageIndex",
    "Vocabulary",
    "read_vocabulary",
    "similarity",
    "train_vocabulary",
    "vocabulary_path",
    "write_vocabulary",
]
