# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbors of descriptors by matrix products, in bounded memory.

The product is computed for a chunk of rows at a time, which is searched while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Multiply = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
"""``multiply(a, b, out)`` writes the float32 product of (P, K) and (K, N) into ``out`` (P, N)."""
Work = Callable[[Iterable[range]], np.ndarray]
"""Processes chunks of rows, and returns the result of all of them."""
Run = Callable[[Work, int, int], "list[np.ndarray]"]
"""``run(work, count, step)`` has ``range(count)`` processed in chunks of ``step``, by one call of
``work`` or by several in parallel, and returns their results."""

_MOST_ROWS = 128
"""Rows of a chunk at most: enough for an efficient product, few enough for the cache."""
ONES_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
"""Number of bits that are set in each byte."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """Nearest neighbors of P descriptors.

    Attributes:
        indices: (P,) int64 of the nearest neighbor of each; of equal ones, the first.
        is_mutual: (P,) bool, whether each is its neighbor's nearest, and the first of equal ones.
            None if not requested.
        second: (P,) float32, distance of the second nearest neighbor, infinite if there is none.
            None if not requested.
    """

    indices: np.ndarray
    is_mutual: np.ndarray | None
    second: np.ndarray | None


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Multiply by NumPy: a :data:`Multiply`."""
    np.matmul(a, b, out=out)


def chunks(count: int, step: int) -> Iterable[range]:
    """Divide ``range(count)`` into ranges of ``step``; the last one may be shorter."""
    return (range(start, min(start + step, count)) for start in range(0, count, step))


def run_serially(work: Work, count: int, step: int) -> list[np.ndarray]:
    """Process all chunks in the calling thread: a :data:`Run`."""
    return [work(chunks(count, step))]


def find_nearest(
    a: np.ndarray,
    b: np.ndarray,
    mutual: bool,
    second: bool,
    multiplication: Callable[[], Multiply] = lambda: product,
    run: Run = run_serially,
) -> Nearest:
    """Find the nearest row of ``b`` of each row of ``a``, by L2 or Hamming distance.

    Args:
        a: (P, D) float32, or (P, B) uint8 packed bits.
        b: (N, D) or (N, B) of the same kind; at least one row.
        mutual: whether to find which are each other's nearest.
        second: whether to find the distances of the second nearest.
        multiplication: returns the product that each call of the work uses. For bits it must be
            exact for factors of 17 bits, which bfloat16 and TF32 are not.
        run: how the rows of ``a`` are processed.

    Raises:
        ValueError: a descriptor has more than 65,535 bits.
    """
    pairs: _Bits | _Floats = _Bits(a, b) if a.dtype == np.uint8 else _Floats(a, b)
    step = max(1, min(pairs.most_rows, len(a)))
    indices = np.empty(len(a), np.int64)
    own, following = np.empty((2, len(a)), pairs.key_type)
    in_chunk = np.arange(step)

    def work(rows_of_chunks: Iterable[range]) -> np.ndarray:
        keys_of = pairs.prepare(multiplication(), step)
        back = np.full(len(b), pairs.last_rank)
        for rows in rows_of_chunks:
            keys = keys_of(rows)
            begin, end = rows.start, rows.stop
            nearest = keys.argmin(axis=1)
            indices[begin:end] = nearest
            chosen = in_chunk[: len(rows)], nearest
            own[begin:end] = keys[chosen]
            if mutual:
                pairs.lower(back, keys.min(axis=0)[: len(b)], begin)
            if second:
                keys[chosen] = pairs.last_key
                following[begin:end] = keys.min(axis=1)
        return back

    backs = run(work, len(a), step)
    is_mutual = seconds = None
    if mutual:
        back = np.minimum.reduce([np.full(len(b), pairs.last_rank), *backs])
        is_mutual = _first_of_each(indices, pairs.ranks(own) == back[indices])
    if second:
        none = len(b) == 1
        seconds = np.full(len(a), np.inf, np.float32) if none else pairs.distances(following)
    return Nearest(indices, is_mutual, seconds)


def _first_of_each(labels: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Clear all marks (P,) but the first of each label (P,)."""
    places = np.flatnonzero(marked)
    first = np.zeros(labels.max() + 1 if len(labels) else 0, np.int64)
    # Of several assignments to an element, the last one has effect.
    first[labels[places[::-1]]] = places[::-1]
    marked[places] = first[labels[places]] == places
    return marked


class _Floats:
    """L2 distances of (P, D) from (N, D) float32.

    The keys are half of the squares, |a|^2 / 2 + |b|^2 / 2 - a.b; the norms are two more columns of
    the product.
    """

    key_type = np.dtype(np.float32)
    last_key = last_rank = np.float32(np.inf)
    most_rows = _MOST_ROWS

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self._a = a
        factors = np.empty((len(b), b.shape[1] + 2), np.float32)
        np.negative(b, out=factors[:, :-2])
        factors[:, -2] = 1
        factors[:, -1] = np.einsum("ij,ij->i", b, b) / 2
        self._b = factors.T

    def prepare(self, multiply: Multiply, step: int) -> Callable[[range], np.ndarray]:
        """Return a function that computes the keys (R, N) of up to ``step`` rows.

        A smaller key is nearer. Each call overwrites the keys of the last one.
        """
        memory = np.empty((step, self._b.shape[1]), np.float32)

        def keys_of(rows: range) -> np.ndarray:
            a = self._a[rows.start : rows.stop]
            factors = np.empty((len(a), a.shape[1] + 2), np.float32)
            factors[:, :-2] = a
            factors[:, -2] = np.einsum("ij,ij->i", a, a) / 2
            factors[:, -1] = 1
            keys = memory[: len(a)]
            multiply(factors, self._b, keys)
            return keys

        return keys_of

    def ranks(self, own: np.ndarray) -> np.ndarray:
        """Return ranks (P,), comparable across chunks, of one key (P,) of each row of ``a``."""
        return own

    def lower(self, ranks: np.ndarray, keys: np.ndarray, begin: int) -> None:
        """Lower ranks (N,) in place to those of a chunk's least keys (N,), if these are lower."""
        np.minimum(ranks, keys, out=ranks)

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """Return the distances (P,) of keys (P,)."""
        return np.sqrt(2 * np.maximum(keys, 0))


_BLOCK = 256
"""Bits of one product."""
_UPPER = 1 << 16
"""Factor of an odd column."""


class _Bits:
    """Hamming distances of (P, B) from (N, B) packed bits, two by each float32 product.

    With +1 for a clear bit and -1 for a set bit in ``a``, and half of that with the opposite sign
    in ``b``, the product of two descriptors of D bits is their distance less D / 2. Two columns
    ``b_0 + 65536 b_1`` share one product: as an integer, it holds one column's distance in its low
    and the other's in its high 16 bits, so that in memory the products of all pairs of columns are
    the (R, N) distances as uint16. float32 is exact for this up to 256 bits, in any order of
    summation: a sum of n products is a multiple of 1/2 below 2^23 if n is odd, and otherwise an
    integer below 2^24.

    The low bits of a key hold the row's number in its chunk, so that the smallest key of a column
    contains the row, the first of several nearest ones.
    """

    key_type = np.dtype(np.uint16)
    last_key = np.uint16(np.iinfo(np.uint16).max)
    last_rank = np.iinfo(np.int64).max

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        bits = 8 * a.shape[1]
        spare = (1 << 16) // (bits + 1)
        if spare == 0:
            raise ValueError(f"binary descriptors must have at most 65535 bits, not {bits}")
        self._shift = min(spare, _MOST_ROWS).bit_length() - 1
        self.most_rows = 1 << self._shift
        self._columns = len(b)
        self._a = a
        half = 0.5 * self.most_rows
        factors = _bits_as(b[::2], -half, half)
        for begin in range(1, len(b), 2 * _MOST_ROWS):
            odd = _bits_as(b[begin : begin + 2 * _MOST_ROWS : 2], -half * _UPPER, half * _UPPER)
            factors[begin // 2 : begin // 2 + len(odd)] += odd
        self._b = factors.T
        places = np.arange(self.most_rows, dtype=np.int64) + bits // 2 * self.most_rows
        self._offsets = (places * (1 + _UPPER)).astype(np.uint32).view(np.int32)[:, None]

    def prepare(self, multiply: Multiply, step: int) -> Callable[[range], np.ndarray]:
        """As :meth:`_Floats.prepare`; for an odd N, with one more column of the last key."""
        products_memory = np.empty((step, self._b.shape[1]), np.float32)
        keys_memory = np.empty((step, self._b.shape[1]), np.int32)

        def keys_of(rows: range) -> np.ndarray:
            products, keys = products_memory[: len(rows)], keys_memory[: len(rows)]
            factors = _bits_as(self._a[rows.start : rows.stop], 1.0, -1.0)
            multiply(factors[:, :_BLOCK], self._b[:_BLOCK], products)
            np.copyto(keys, products, casting="unsafe")
            for begin in range(_BLOCK, factors.shape[1], _BLOCK):
                block = slice(begin, begin + _BLOCK)
                multiply(factors[:, block], self._b[block], products)
                keys += products.astype(np.int32)
            keys += self._offsets[: len(rows)]
            lanes = keys.view(np.uint16)
            if self._columns % 2:
                lanes[:, -1] = self.last_key
            return lanes

        return keys_of

    def ranks(self, own: np.ndarray) -> np.ndarray:
        """As :meth:`_Floats.ranks`: the distance in the high bits, the row in the low ones."""
        return ((own >> self._shift).astype(np.int64) << 32) + np.arange(len(own))

    def lower(self, ranks: np.ndarray, keys: np.ndarray, begin: int) -> None:
        """As :meth:`_Floats.lower`, for a chunk that begins at row ``begin``."""
        distances = (keys >> self._shift).astype(np.int64)
        distances <<= 32
        distances += begin
        distances += keys & np.uint16(self.most_rows - 1)
        np.minimum(ranks, distances, out=ranks)

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """Return the distances (P,) of keys (P,)."""
        return (keys >> self._shift).astype(np.float32)


def _bits_as(packed: np.ndarray, zero: float, one: float) -> np.ndarray:
    """Return packed bits (P, B) as (P, 8 B) float32, in an unspecified order within each byte."""
    of_byte = np.where(_BITS_OF_BYTE, np.float32(one), np.float32(zero))
    return np.take(of_byte, packed, axis=0).reshape(len(packed), 8 * packed.shape[1])


_BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(bool)


def pair_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distances (M,) float32 of rows of ``a`` from the same rows of ``b``.

    Hamming distances of packed bits (M, B) uint8, L2 distances of floats (M, D).
    """
    if a.dtype == np.uint8:
        return _count_bits(a ^ b)
    difference = a - b
    return np.sqrt(np.einsum("ij,ij->i", difference, difference))


def _count_bits(rows: np.ndarray) -> np.ndarray:
    """Return the number (M,) float32 of set bits in each row of bytes (M, B)."""
    if not hasattr(np, "bitwise_count"):  # NumPy 1
        return ONES_OF_BYTE[rows].sum(axis=1, dtype=np.float32)
    if rows.shape[1] % 8 == 0:
        rows = np.ascontiguousarray(rows).view(np.uint64)
    return np.bitwise_count(rows).sum(axis=1, dtype=np.float32)
