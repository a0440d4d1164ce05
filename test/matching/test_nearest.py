# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every way of finding nearest neighbors against all distances, by brute force in float64."""

from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
import torch

from feature_booster_ros.features import Features
from feature_booster_ros.matching import cores, match, nearest, on_device
from feature_booster_ros.matching.guided import match_anywhere


def by_numpy(a, b, mutual=True, second=True):
    return nearest.find_nearest(a, b, mutual, second)


def on_cores(a, b, mutual=True, second=True):
    return nearest.find_nearest(a, b, mutual, second, cores.exact_multiply, cores.run_on_cores)


def on_torch(a, b, mutual=True, second=True):
    try:
        return on_device.find_nearest_on_device(torch.device("cpu"), a, b, mutual, second)
    except RuntimeError as error:
        if "not implemented for 'Half'" not in str(error):
            raise
        pytest.skip("needs PyTorch 2.1, which multiplies float16 on the CPU, too")


WAYS = [by_numpy, on_cores, on_torch]


def all_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype == np.uint8:
        a, b = (np.unpackbits(rows, axis=1).astype(np.float64) for rows in (a, b))
        return a @ (1 - b).T + (1 - a) @ b.T
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.stack([np.linalg.norm(row - b, axis=1) for row in a]).reshape(len(a), len(b))


def check(found: nearest.Nearest, distances: np.ndarray, tolerance: float = 0.0) -> None:
    """Against the first of several nearest, in both directions."""
    rows, index = np.arange(len(distances)), distances.argmin(axis=1)
    np.testing.assert_array_equal(found.indices, index)
    np.testing.assert_array_equal(found.is_mutual, distances.argmin(axis=0)[index] == rows)
    others = distances.copy()
    others[rows, index] = np.inf
    np.testing.assert_allclose(found.second, others.min(axis=1), rtol=tolerance)


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [1, 7, 32, 61, 64, 300])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1), (2, 2), (301, 256), (256, 333)])
def test_hamming_is_exact_with_the_first_of_equals(way, length, n, m):
    rng = np.random.default_rng(length)
    a, b = (rng.integers(0, 256, (count, length), dtype=np.uint8) for count in (n, m))
    if n > 100:  # the largest and the smallest distances, and equal rows
        b[:30], b[30:60], a[-20:], b[-20:] = ~a[:30], a[30:60], a[40:60], b[:20]
        a[100], b[100] = 0, 255
    check(way(a, b), all_distances(a, b))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1), (2, 2), (301, 256), (256, 333)])
def test_l2_is_that_of_float64(way, unit, n, m):
    rng = np.random.default_rng(n)
    a, b = (rng.normal(size=(count, 96)).astype(np.float32) for count in (n, m))
    if unit:
        a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
    else:  # norms apart by an order: the nearest is not the one of the largest product
        a *= rng.uniform(1, 10, (n, 1)).astype(np.float32)
        b *= rng.uniform(1, 10, (m, 1)).astype(np.float32)
    check(way(a, b), all_distances(a, b), tolerance=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_of_equal_rows_one_is_mutual(way, kind):
    rng = np.random.default_rng(0)
    b = rng.integers(0, 200, (150, 16)).astype(kind)
    a = np.repeat(b[::-1], 3, axis=0)
    found = way(a, b)
    np.testing.assert_array_equal(found.indices, np.repeat(np.arange(150)[::-1], 3))
    np.testing.assert_array_equal(found.indices[found.is_mutual], np.arange(150)[::-1])


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_asked_for_is_found(way):
    rows = np.random.default_rng(0).integers(0, 256, (9, 32), dtype=np.uint8)
    found = way(rows, rows, mutual=False, second=False)
    np.testing.assert_array_equal(found.indices, np.arange(9))
    assert found.is_mutual is None and found.second is None
    assert way(rows, rows, mutual=False).is_mutual is None
    assert way(rows, rows, second=False).second is None


def test_on_a_device_chunks_fit_together(monkeypatch):
    monkeypatch.setattr(on_device, "CHUNK_ELEMENTS", 1000)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (n, 4), dtype=np.uint8) for n in (90, 70))
    check(on_torch(a, b), all_distances(a, b))


def test_more_bits_than_a_key_holds_are_refused():
    rows = np.zeros((1, 8192), np.uint8)
    with pytest.raises(ValueError, match="at most 65535 bits, not 65536"):
        by_numpy(rows, rows)
    assert by_numpy(rows[:, :-1], rows[:, :-1]).indices == [0]


@pytest.mark.parametrize("kind", ["binary", "float"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mutual": False},
        {"ratio": 0.9},
        {"mutual": False, "ratio": 0.95, "top_k": 50},
        {"max_distance": 1.0, "top_k": 20},
    ],
)
def test_match_is_brute_force(kind, options):
    rng = np.random.default_rng(0)
    if kind == "binary":
        b = rng.integers(0, 256, (400, 32), dtype=np.uint8)
        a = b[::-1] ^ rng.integers(0, 256, (400, 32), dtype=np.uint8) % 3
    else:
        b = rng.normal(size=(400, 64)).astype(np.float32)
        b /= np.linalg.norm(b, axis=1, keepdims=True)
        a = b[::-1] + rng.normal(0, 0.1, b.shape).astype(np.float32)
    distances = all_distances(a, b)
    options = dict(options)
    if "max_distance" in options:
        options["max_distance"] = float(np.median(distances.min(axis=1)))
    index = distances.argmin(axis=1)
    expected = []
    for row, column in enumerate(index):
        two = np.sort(distances[row])[:2]
        if options.get("mutual", True) and distances[:, column].argmin() != row:
            continue
        if "ratio" in options and not two[0] < options["ratio"] * two[1]:
            continue
        if two[0] <= options.get("max_distance", np.inf):
            expected.append((two[0], row, column))
    expected = sorted(expected)[: options.get("top_k")]
    assert len(expected) >= 20
    zeros = np.zeros(400, np.float32)
    found = match(
        *(Features(np.zeros((400, 2), np.float32), zeros, zeros, zeros, each) for each in (a, b)),
        **options,
    )
    assert found.indices.dtype == np.int64 and found.distances.dtype == np.float32
    np.testing.assert_array_equal(found.indices, [pair[1:] for pair in expected])
    np.testing.assert_allclose(found.distances, [pair[0] for pair in expected], rtol=1e-5)
    if options == {"ratio": 0.9}:
        pairs = match_anywhere(a, b, 0.9)
        assert {tuple(pair) for pair in pairs} == {tuple(pair) for pair in found.indices}


def test_pytorchs_rounded_products_are_not_taken(monkeypatch):
    rows = np.random.default_rng(0).integers(0, 256, (300, 32), dtype=np.uint8)
    assert cores.exact_multiply() is cores.multiply
    # What a processor that rounds to bfloat16 would do to the other side's product, done to one.
    monkeypatch.setattr(cores, "_ONES", cores._ONES * (1 + 2.0**-9))
    assert cores.exact_multiply() is nearest.product
    check(on_cores(rows, rows), all_distances(rows, rows))


def test_threads_of_others_keep_theirs():
    rows = np.random.default_rng(0).integers(0, 256, (600, 32), dtype=np.uint8)
    torch.set_num_threads(3)  # another number, and so new threads
    on_cores(rows, rows)
    assert torch.get_num_threads() == 3
    of_new_thread: list[int] = []
    thread = threading.Thread(target=lambda: of_new_thread.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert of_new_thread == [3]


def test_several_callers_at_once():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 256, (500, 32), dtype=np.uint8) for _ in range(4)]
    found: dict[int, nearest.Nearest] = {}

    def find(number: int) -> None:
        found[number] = on_cores(rows[number], rows[number - 1])

    threads = [threading.Thread(target=find, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        check(found[number], all_distances(rows[number], rows[number - 1]))


def _nearest_in_child(rows: np.ndarray, results) -> None:
    results.put(on_cores(rows, rows).indices)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    rows = np.random.default_rng(0).integers(0, 256, (300, 32), dtype=np.uint8)
    on_cores(rows, rows)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_nearest_in_child, args=(rows, results))
    process.start()
    try:
        np.testing.assert_array_equal(results.get(timeout=60), np.arange(300))
    finally:
        process.terminate()
        process.join()
