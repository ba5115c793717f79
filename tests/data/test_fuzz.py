"""Bad files of every reader: sane molecules or an error of dipkit, in bounded time and memory.

``make fuzz`` reads many more. Files in ``fuzz/`` are those that once ended otherwise.
"""

import os
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of memory are those of Unix")

from helpers import fuzz_run
from helpers.fuzz_run import check_file, fuzz
from helpers.fuzz_samples import Sample, samples

from dipkit.data.io import read
from dipkit.exceptions import FileFormatError

SEEDS = sorted(path for path in (Path(__file__).parent / "fuzz").glob("*/*") if path.is_file())
NUMBER = 25


@pytest.mark.parametrize("reader", samples())
def test_bad_files_made_of_good_ones(reader: str) -> None:
    found = samples()[reader]
    crashes = fuzz(found, NUMBER, seed=sum(map(ord, reader)))
    assert not crashes, [crash.why for crash in crashes]


@pytest.mark.parametrize("reader", samples())
def test_good_files_are_read(reader: str, tmp_path: Path) -> None:
    """Else all bad files would fail for the same reason."""
    for sample in samples()[reader]:
        path, options = sample.write(tmp_path, sample.content)
        assert len(read(path, **options))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.parent.name}-{seed.name}")
def test_files_that_once_crashed(seed: Path) -> None:
    name = seed.name.split("-", 1)[1]
    sample = next(one for one in samples()[seed.parent.name] if one.name == name)
    assert not check_file(sample, seed.read_bytes())


def test_a_table_of_many_columns_is_refused_at_once() -> None:
    """The work once grew with the square of their number; the file is too large to be kept."""
    sample = next(one for one in samples()["table"] if one.name == "table.csv")
    columns = ("name", "dipole_debye", "dipole_x_debye", "dipole_y_debye")
    header = ",".join(columns[place % 4] for place in range(40_000))
    assert not check_file(sample, f"{header}\nwater,1,1,1\n".encode())


def test_files_behind_one_that_ends_the_process_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a crash would hide those that follow."""

    def read_or_die(path: Path) -> None:
        content = path.read_bytes()
        if content == b"die":
            os._exit(3)
        raise (FileFormatError if content == b"good" else ValueError)("made up")

    monkeypatch.setattr(fuzz_run, "read", read_or_die)
    files = [b"good", b"die", b"bad", b"die", b"good", b"bad"]
    monkeypatch.setattr(fuzz_run, "_mutated", lambda found, _, n: (found[0], files[n]))
    crashes = fuzz([Sample("set.xyz", b"")], len(files), seed=0)
    assert [crash.content for crash in crashes] == [b"die", b"bad", b"die", b"bad"]
    assert {crash.why for crash in crashes if crash.content == b"die"} == {"the process died: 3"}
