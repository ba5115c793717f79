"""Small tools: checks of parameters, values for JSON, cuts of ragged arrays, checks of files."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dipkit.exceptions import FileFormatError, InputError
from dipkit.support.files import existing_file
from dipkit.support.json_values import plain
from dipkit.support.ragged_index import atoms_of, cut, of_one_size, pairs
from dipkit.support.validation import check_jobs, check_number, check_whole


@pytest.mark.parametrize(
    ("above", "good", "bad"),
    [
        (None, (0, 0.0, 1e-300, np.float32(2)), (-1e-300, math.nan, math.inf, True, "1", None)),
        (0.0, (1e-300, 1, np.int64(3)), (0, 0.0, -1, math.nan, math.inf, False)),
        (1.0, (1.5,), (1, 1.0, 0.5)),
    ],
)
def test_numbers_are_above_their_limit(
    above: float | None, good: tuple[object, ...], bad: tuple[object, ...]
) -> None:
    for value in good:
        check_number("alpha", value, above)
    for value in bad:
        with pytest.raises(InputError, match=r"alpha: expected a number >=? ?[0-9]*, got"):
            check_number("alpha", value, above)


def test_jobs_are_a_whole_number_that_is_not_zero() -> None:
    for value in (None, 1, -1, np.int64(4)):
        check_jobs("n_jobs", value)
    for bad in (0, 1.0, True, "2"):
        with pytest.raises(InputError, match="n_jobs: expected a whole number other than 0, got"):
            check_jobs("n_jobs", bad)


def test_whole_numbers_are_at_least_their_least() -> None:
    for value in (2, 3, np.int64(2)):
        check_whole("n", value, 2)
    for bad in (1, 2.0, True, "2", None):
        with pytest.raises(InputError, match="n: expected an integer >= 2, got"):
            check_whole("n", bad, 2)


def test_values_become_what_json_holds() -> None:
    values = {
        1: np.arange(2), "nan": np.float64("nan"), "inf": -math.inf, "tuple": (True, None, 1.5),
        "path": Path("a"),
    }  # fmt: skip
    text = json.dumps(plain(values), allow_nan=False)
    found = json.loads(text)
    assert found == {
        "1": [0, 1], "nan": "nan", "inf": "-inf", "tuple": [True, None, 1.5],
        "path": repr(Path("a")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("n_atoms", "expected"),
    [
        (5, [(0, 2), (2, 3), (3, 5)]),
        (6, [(0, 2), (2, 3), (3, 5)]),
        (4, [(0, 1), (1, 2), (2, 3), (3, 5)]),
    ],
)
def test_runs_hold_as_many_atoms_as_they_may(n_atoms: int, expected: list[tuple[int, int]]) -> None:
    offsets = np.array([0, 2, 5, 12, 13, 16])  # of 2, 3, 7, 1 and 3 atoms
    assert [(run.start, run.stop) for run in cut(offsets, n_atoms)] == expected


def test_pairs_of_atoms_by_hand() -> None:
    center, neighbour = pairs(np.array([0, 2, 3]))
    assert center.tolist() == [0, 0, 1, 1, 2]
    assert neighbour.tolist() == [0, 1, 0, 1, 2]
    assert atoms_of(np.array([1, 0]), np.array([0, 2, 3])).tolist() == [2, 0, 1]


def test_molecules_of_one_size_by_hand() -> None:
    offsets = np.array([0, 2, 3, 5, 7, 8])  # of 2, 1, 2, 2 and 1 atoms
    found = [atoms.tolist() for atoms in of_one_size(offsets, 1000)]
    assert found == [[[2], [7]], [[0, 1], [3, 4], [5, 6]]]
    few = [atoms.tolist() for atoms in of_one_size(offsets, 8)]  # two molecules of 2 x 2 pairs
    assert few == [[[2], [7]], [[0, 1], [3, 4]], [[5, 6]]]
    assert [len(atoms) for atoms in of_one_size(offsets, 0)] == [1] * 5
    assert list(of_one_size(np.array([0]), 10)) == []


def test_files_are_checked_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FileFormatError, match="the file is empty"):
        existing_file(tmp_path / "empty")
    with pytest.raises(InputError, match="expected a file"):
        existing_file(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        existing_file(tmp_path / "absent")
