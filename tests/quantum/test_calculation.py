"""How many processes calculate, which results are remembered, the text of a warning."""

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import dipkit.quantum.calculation
from dipkit import Molecules
from dipkit.quantum.calculation import (
    BLOCK_MOLECULES,
    Calculation,
    _count_jobs,
    _Recent,
    calculate,
    calculation_key,
    warn_failures,
)


class Instant:
    """A method that costs nothing, and keeps the numbers of BLAS threads that it saw."""

    threads: set[int]

    def __init__(self) -> None:
        self.threads = set()

    def __repr__(self) -> str:
        return "Instant()"

    def calculate(self, numbers, positions, total_charge) -> Calculation:
        self.threads |= {pool["num_threads"] for pool in threadpool_info()}
        return Calculation(positions[0], np.zeros(len(numbers)))


@pytest.fixture
def many(toy) -> Molecules:
    return toy(sizes=(3,) * (BLOCK_MOLECULES + 1), charged=False)


def count(molecules: Molecules, n_jobs: int | None) -> int:
    return _count_jobs(Instant(), molecules, np.arange(len(molecules)), n_jobs)


def test_processes_that_were_asked_for(many: Molecules) -> None:
    assert count(many, 3) == 3
    assert count(many, 1) == 1
    assert count(many[:-1], 3) == 1  # a single block
    with joblib.parallel_config("loky", n_jobs=5):
        assert count(many, None) == 5
        assert count(many, 2) == 2


def test_processes_are_started_where_the_work_is_worth_it(many: Molecules, monkeypatch) -> None:
    monkeypatch.setattr(dipkit.quantum.calculation.parallel, "active_jobs", lambda: None)
    monkeypatch.setattr(dipkit.quantum.calculation, "PARALLEL_SECONDS", 0.0)
    assert count(many, None) == -1
    monkeypatch.setattr(dipkit.quantum.calculation, "PARALLEL_SECONDS", np.inf)
    assert count(many, None) == 1


def test_one_thread_for_a_molecule(many: Molecules, monkeypatch) -> None:
    monkeypatch.setattr(dipkit.quantum.calculation, "_RECENT", _Recent(10))
    method = Instant()
    calculate(method, many[:2], n_jobs=1)
    assert method.threads == {1}


def test_total_charge_and_geometry_are_part_of_the_key(many: Molecules) -> None:
    ion = many.replace(total_charge=np.ones(len(many)))
    moved = many.replace(positions=many.positions + 1e-9)
    keys = {calculation_key(Instant(), each, 0) for each in (many, ion, moved)}
    assert len(keys) == 3
    assert calculation_key(Instant(), many[1:], 0) == calculation_key(Instant(), many, 1)


def test_the_oldest_results_are_dropped() -> None:
    recent, result = _Recent(2), Calculation(np.zeros(3), np.zeros(1))
    for key in (b"a", b"b", b"c"):
        recent.add(key, result)
    assert list(recent.results) == [b"b", b"c"]


def test_a_warning_names_five_molecules_and_counts_the_others(many: Molecules) -> None:
    names = r"0 \(0\), 1 \(1\), 2 \(2\), 3 \(3\), 4 \(4\)"
    with pytest.warns(UserWarning, match=rf"no result for 7 of 65 molecules: {names} and 2 more\."):
        warn_failures("no result", many, np.arange(7), "They are left out.")
    with pytest.warns(UserWarning, match=rf"for 5 of 65 molecules: {names}\. They"):
        warn_failures("no result", many, range(5), "They are left out.")
    warn_failures("no result", many, [], "They are left out.")
