"""Dipole rows in a file: an array like any other, that leaves no file behind."""

import mmap
from pathlib import Path

import numpy as np
import pytest

import dipkit.support.scratch_rows
from dipkit.exceptions import InputError
from dipkit.support.scratch_rows import ScratchRows


def test_rows_in_a_file_are_an_array(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dipkit.support.scratch_rows, "PART_BYTES", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rng = np.random.default_rng(0)
    dense, w, left = rng.random((60, 7)), rng.random(7), rng.random((3, 60))
    rows = ScratchRows.empty(dense.shape)
    rows[:30], rows[30:] = dense[:30], dense[30:]
    assert not list(tmp_path.iterdir())  # no name, so nothing to remove after a crash
    assert isinstance(rows, np.ndarray)
    assert type(rows[3:9]) is np.ndarray
    rows[3:9][...] = dense[3:9] = 2.0  # slices are views
    np.testing.assert_array_equal(rows[:], dense)
    for found, expected in (
        (rows @ w, dense @ w),
        (rows @ left.T[:7], dense @ left.T[:7]),
        (left @ rows, left @ dense),
        (left[0] @ rows, left[0] @ dense),
    ):
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"need 8e\+09 GB on disk.*Set TMPDIR"):
        ScratchRows.empty((10**9, 10**9))


def test_rows_in_a_file_where_pages_cannot_be_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)  # as on Windows
    rows = ScratchRows.empty((5, 3))
    rows[:] = np.arange(15.0).reshape(5, 3)
    np.testing.assert_array_equal(rows @ np.ones(3), [3, 12, 21, 30, 39])
