# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which descriptors are nearest to which, by matrix products, exactly and in bounded memory.

The product comes a chunk of rows at a time, and each chunk is searched while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Multiply = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
"""``multiply(a, b, out)`` puts the float32 product of (P, K) and (K, N) into ``out`` (P, N)."""
Work = Callable[[Iterable[range]], np.ndarray]
Share = Callable[[Work, int, int], "list[np.ndarray]"]
"""``share(work, count, step)`` has ``range(count)`` worked on in chunks of ``step``, by one call of
``work`` or by several at the same time, and returns what they returned."""

_MOST_ROWS = 128
"""Of a chunk: enough for an efficient product, few enough for the cache."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of P descriptors.

    Attributes:
        indices: (P,) int64 of its nearest among the others; of several, the first.
        is_mutual: (P,) bool, whether it is the nearest to that one too, and the first of those that
            are. None if this was not asked for.
        second: (P,) float32, distance of the second nearest, infinite where there is none. None if
            it was not asked for.
    """

    indices: np.ndarray
    is_mutual: np.ndarray | None
    second: np.ndarray | None


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """The :data:`Multiply` of NumPy."""
    np.matmul(a, b, out=out)


def chunks(count: int, step: int) -> Iterable[range]:
    """``range(count)`` in ranges of ``step`` or, the last one, fewer."""
    return (range(start, min(start + step, count)) for start in range(0, count, step))


def in_order(work: Work, count: int, step: int) -> list[np.ndarray]:
    """The :data:`Share` of the calling thread alone."""
    return [work(chunks(count, step))]


def find_nearest(
    a: np.ndarray,
    b: np.ndarray,
    mutual: bool,
    second: bool,
    multiplication: Callable[[], Multiply] = lambda: product,
    share: Share = in_order,
) -> Nearest:
    """For each row of ``a`` the nearest of ``b``, by L2 or by Hamming distance.

    Args:
        a: (P, D) float32, or (P, B) uint8 packed bits.
        b: (N, D) or (N, B) of the same kind; at least one row.
        mutual: find whether they are each other's nearest.
        second: find the distance of the second nearest.
        multiplication: gives each call of the work its product. For bits this must not round
            factors of 17 bits, as bfloat16 and TF32 do.
        share: who works on the rows of ``a``.

    Raises:
        ValueError: a descriptor has more than 65,535 bits.
    """
    pairs: _Bits | _Floats = _Bits(a, b) if a.dtype == np.uint8 else _Floats(a, b)
    step = max(1, min(pairs.most_rows, len(a)))
    indices = np.empty(len(a), np.int64)
    own, following = np.empty((2, len(a)), pairs.key_type)
    in_chunk = np.arange(step)

    def work(rows_of_chunks: Iterable[range]) -> np.ndarray:
        multiply, scratch = multiplication(), pairs.scratch(step)
        back = np.full(len(b), pairs.last_rank)
        for rows in rows_of_chunks:
            keys = pairs.keys(rows, multiply, scratch)
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

    backs = share(work, len(a), step)
    is_mutual = seconds = None
    if mutual:
        back = np.minimum.reduce([np.full(len(b), pairs.last_rank), *backs])
        is_mutual = _first_of_each(indices, pairs.ranks(own) == back[indices])
    if second:
        none = len(b) == 1
        seconds = np.full(len(a), np.inf, np.float32) if none else pairs.distances(following)
    return Nearest(indices, is_mutual, seconds)


def _first_of_each(labels: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The marks (P,) without those of a label that was marked before."""
    places = np.flatnonzero(marked)
    first = np.zeros(labels.max() + 1 if len(labels) else 0, np.int64)
    # Of several assignments to an element the last one stays.
    first[labels[places[::-1]]] = places[::-1]
    marked[places] = first[labels[places]] == places
    return marked


class _Floats:
    """L2 distances of (P, D) from (N, D) float32. The keys are half of the squares,
    |a|^2 / 2 + |b|^2 / 2 - a.b, whose norms are two more columns in the product.
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

    def scratch(self, rows: int) -> np.ndarray:
        """What :meth:`keys` needs and overwrites."""
        return np.empty((rows, self._b.shape[1]), np.float32)

    def keys(self, rows: range, multiply: Multiply, scratch: np.ndarray) -> np.ndarray:
        """(R, N), the smaller the nearer."""
        a = self._a[rows.start : rows.stop]
        factors = np.empty((len(a), a.shape[1] + 2), np.float32)
        factors[:, :-2] = a
        factors[:, -2] = np.einsum("ij,ij->i", a, a) / 2
        factors[:, -1] = 1
        keys = scratch[: len(a)]
        multiply(factors, self._b, keys)
        return keys

    def ranks(self, own: np.ndarray) -> np.ndarray:
        """(P,) of a key (P,) of each row of ``a``: what rows compare by across chunks."""
        return own

    def lower(self, ranks: np.ndarray, keys: np.ndarray, begin: int) -> None:
        """Let the least keys (N,) of a chunk that begins at a row lower the ranks (N,)."""
        np.minimum(ranks, keys, out=ranks)

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """(P,) of keys (P,)."""
        return np.sqrt(2 * np.maximum(keys, 0))


_BLOCK = 256
"""Bits that go into one product."""
_UPPER = 1 << 16
"""What an odd column is multiplied with."""


class _Bits:
    """Hamming distances of (P, B) from (N, B) packed bits, two out of each float32 product.

    With +1 for a bit that is not set and -1 for one that is, and half of that, negated, on the
    other side, the product of two descriptors of D bits is their distance less D / 2. Two columns
    ``b_0 + 65536 b_1`` share one product: as an integer, each column's distance is in its own 16
    bits, so that in memory the products of all pairs of columns are the (R, N) distances as uint16.
    float32 is exact with that up to 256 bits, in any order of summation: a sum of n products is a
    multiple of 1/2 below 2^23 if n is odd, and otherwise whole and below 2^24.

    The low bits of a key are left to the row's place in its chunk, so that the smallest key of a
    column tells the row too, and of several nearest ones the first.
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

    def scratch(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """What :meth:`keys` needs and overwrites."""
        shape = rows, self._b.shape[1]
        return np.empty(shape, np.float32), np.empty(shape, np.int32)

    def keys(
        self, rows: range, multiply: Multiply, scratch: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """(R, N), the smaller the nearer; for an odd N, one column more of the last key."""
        products, keys = (each[: len(rows)] for each in scratch)
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

    def ranks(self, own: np.ndarray) -> np.ndarray:
        """(P,) of a key (P,) of each row of ``a``: what rows compare by across chunks, distance
        above row.
        """
        return ((own >> self._shift).astype(np.int64) << 32) + np.arange(len(own))

    def lower(self, ranks: np.ndarray, keys: np.ndarray, begin: int) -> None:
        """Let the least keys (N,) of a chunk that begins at a row lower the ranks (N,)."""
        distances = (keys >> self._shift).astype(np.int64)
        distances <<= 32
        distances += begin
        distances += keys & np.uint16(self.most_rows - 1)
        np.minimum(ranks, distances, out=ranks)

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """(P,) of keys (P,)."""
        return (keys >> self._shift).astype(np.float32)


def _bits_as(packed: np.ndarray, zero: float, one: float) -> np.ndarray:
    """(P, 8 B) float32 of packed bits (P, B), their order within a byte left open."""
    of_byte = np.where(_BITS_OF_BYTE, np.float32(one), np.float32(zero))
    return np.take(of_byte, packed, axis=0).reshape(len(packed), 8 * packed.shape[1])


_BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(bool)
