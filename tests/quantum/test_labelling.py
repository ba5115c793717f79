"""`dipkit label`: whole results in every format, survival of a kill, failures listed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.db import connect
from ase.io import read as ase_read
from helpers.commands import refused, run, warned

import dipkit
from dipkit import Molecules
from dipkit.data.datasets import load_organics
from dipkit.exceptions import FileFormatError
from dipkit.quantum.calculation import Calculation, CalculationError
from dipkit.quantum.journal import Journal
from dipkit.quantum.labelling import label

needs_tblite = pytest.mark.usefixtures("tblite")


@pytest.fixture
def tblite() -> None:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")


@pytest.fixture(scope="module")
def organics() -> Molecules:
    return load_organics()[:12].replace(baseline_dipole=None, baseline_charges=None)


@pytest.fixture
def data(organics: Molecules, tmp_path: Path) -> Path:
    dipkit.write(tmp_path / "in.xyz", organics)
    return tmp_path / "in.xyz"


class Counting:
    """A method that fails on the molecules whose first atom is a nitrogen."""

    calls = 0

    def __repr__(self) -> str:
        return "Counting()"

    def provenance(self, elements) -> dict[str, str]:
        return {"label_program": "none"}

    def calculate(self, numbers, positions, total_charge):
        Counting.calls += 1
        if numbers[0] == 7:
            raise CalculationError("nitrogen")
        return Calculation(positions[0], np.zeros(len(numbers)))


# The journal


def test_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    with Journal(tmp_path / "out.xyz") as journal:
        journal.append("a", {"dipole": [0.1, 1 / 3, -2.5e-17]})
    with Journal(tmp_path / "out.xyz") as again:
        assert again.entries == {"a": {"dipole": [0.1, 1 / 3, -2.5e-17]}}
        again.append("b", {"error": "no"})
    with Journal(tmp_path / "out.xyz") as third:
        assert list(third.entries) == ["a", "b"]
        third.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 22))
def test_a_cut_line_is_dropped_and_the_next_one_is_whole(tmp_path: Path, cut: int) -> None:
    with Journal(tmp_path / "o") as journal:
        journal.append("a", {"x": 1})
        journal.append("b", {"x": 2})
    file = tmp_path / "o.journal"
    file.write_bytes(file.read_bytes()[:-cut])
    with Journal(tmp_path / "o") as journal:
        assert journal.entries == {"a": {"x": 1}}
        journal.append("c", {"x": 3})
    with Journal(tmp_path / "o") as journal:
        assert journal.entries == {"a": {"x": 1}, "c": {"x": 3}}


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "o.journal").write_text("something else\n")
    with (
        pytest.raises(FileFormatError, match="line 1: not a line of a journal"),
        Journal(tmp_path / "o"),
    ):
        pass


def test_finished_molecules_are_not_calculated_again(organics, tmp_path) -> None:
    starts = organics.numbers[organics.offsets[:-1]]
    assert (starts == 7).any()
    with Journal(tmp_path / "o") as journal:
        label(organics[:7], Counting(), journal, n_jobs=1)
    before = Counting.calls
    with Journal(tmp_path / "o") as journal:
        result = label(organics, Counting(), journal, n_jobs=1)
    assert Counting.calls == before + 5
    assert result.resumed == 7
    assert set(result.failures.values()) == {"nitrogen"}
    kept = organics[starts != 7]
    assert result.molecules.names.tolist() == kept.names.tolist()
    first = kept.positions[kept.offsets[:-1]]
    np.testing.assert_allclose(result.molecules.dipole_vector, first)


# The command


@needs_tblite
@pytest.mark.parametrize("suffix", [".xyz", ".npz", ".db"])
def test_whole_labels_in_every_format(data, organics, tmp_path, suffix) -> None:
    output = tmp_path / f"out{suffix}"
    report = json.loads(run("label", data, "-o", output, "--method", "gfn2", "--json").stdout)
    assert (report["molecules"], report["failed"], report["label_program"]) == (12, {}, "tblite")
    found = dipkit.read(output)
    assert found.names.tolist() == organics.names.tolist()
    assert found.has_vector.all()
    assert found.has_charges.all()
    np.testing.assert_allclose(
        found.dipole_magnitude, np.linalg.norm(found.dipole_vector, axis=1), atol=1e-6
    )
    assert not (tmp_path / f"out{suffix}.journal").exists()
    if suffix == ".npz":
        assert set(np.load(output)["label_method"]) == {"GFN2-xTB"}
    elif suffix == ".db":
        with connect(output) as database:
            assert {row.data["label_method"] for row in database.select()} == {"GFN2-xTB"}
    else:
        assert {atoms.info["label_method"] for atoms in ase_read(output, ":")} == {"GFN2-xTB"}


@needs_tblite
def test_failures_are_listed_and_left_out(data, tmp_path, monkeypatch) -> None:
    from dipkit.quantum.xtb import GFN2

    molecules = dipkit.read(data)
    n_atoms = molecules.natoms[0]
    calculate = GFN2.calculate

    def sometimes(self, numbers, positions, total_charge):
        if len(numbers) == n_atoms:
            raise CalculationError("too many atoms")
        return calculate(self, numbers, positions, total_charge)

    monkeypatch.setattr(GFN2, "calculate", sometimes)
    output = tmp_path / "out.npz"
    result = warned("label", data, "-o", output, "--method", "gfn2", "--jobs", 1, "--json")
    report = json.loads(result.stdout)
    wrong = molecules.names[molecules.natoms == n_atoms].tolist()
    assert report["failed"] == dict.fromkeys(wrong, "too many atoms")
    others = molecules.names[molecules.natoms != n_atoms].tolist()
    assert dipkit.read(output).names.tolist() == others


@needs_tblite
def test_bad_input_is_refused_before_any_work(data, tmp_path) -> None:
    output = tmp_path / "out.xyz"
    assert "method: expected gfn2" in refused("label", data, "-o", output, "--method", "pm6")
    assert "unknown suffix" in refused("label", data, "-o", tmp_path / "o.csv", "--method", "gfn2")
    odd = dipkit.read(data)[:1].replace(charges=None, total_charge=[1])
    dipkit.write(tmp_path / "odd.xyz", odd)
    text = refused("label", tmp_path / "odd.xyz", "-o", output, "--method", "gfn2")
    assert "1 of 1 molecules cannot be calculated" in text
    assert "33 electrons cannot have multiplicity 1" in text
    assert "--multiplicity" in text
    assert not output.exists()
    run("label", tmp_path / "odd.xyz", "-o", output, "--method", "gfn2", "--multiplicity", 2)
    assert dipkit.read(output).total_charge.tolist() == [1]


@needs_tblite
def test_a_failure_of_any_type_is_counted(data, tmp_path, monkeypatch) -> None:
    from dipkit.quantum.xtb import GFN2

    natoms = dipkit.read(data).natoms
    n_atoms, n_wrong = natoms[0], int((natoms == natoms[0]).sum())
    calculate = GFN2.calculate

    def sometimes(self, numbers, positions, total_charge):
        if len(numbers) == n_atoms:
            raise ZeroDivisionError("in a program\nof many lines")
        return calculate(self, numbers, positions, total_charge)

    monkeypatch.setattr(GFN2, "calculate", sometimes)
    output = tmp_path / "out.npz"
    label_it = ("label", data, "-o", output, "--method", "gfn2", "--jobs", 1)
    text = refused(*label_it, "--strict")
    assert f"{n_wrong} of 12 molecules cannot be calculated" in text
    assert not output.exists()
    result = warned(*label_it, "--json")
    report = json.loads(result.stdout)
    assert set(report["failed"].values()) == {"ZeroDivisionError: in a program"}
    assert f"{n_wrong} of 12 molecules cannot be calculated: molecule" in result.stderr
    assert report["molecules"] == len(dipkit.read(output)) == 12 - n_wrong


@needs_tblite
def test_molecules_that_the_method_does_not_fit_are_left_out(tmp_path) -> None:
    """Uranium has no parameters, and a cation of water has an odd number of electrons."""
    water = [[0, 0, 0.117], [0, 0.757, -0.468], [0, -0.757, -0.468]]
    molecules = Molecules(
        [8, 1, 1, 92, 8, 8, 1, 1],
        [*water, [0, 0, 0], [0, 0, 1.8], *water],
        [0, 3, 5, 8],
        names=["water", "oxide", "cation"],
        total_charge=[0, 0, 1],
    )
    dipkit.write(tmp_path / "in.xyz", molecules)
    output = tmp_path / "out.xyz"
    label_it = ("label", tmp_path / "in.xyz", "-o", output, "--method", "gfn2", "--json")
    assert "2 of 3 molecules" in refused(*label_it, "--strict")
    result = warned(*label_it)
    failed = json.loads(result.stdout)["failed"]
    assert "ends with element 86" in failed["oxide"]
    assert "9 electrons cannot have multiplicity 1" in failed["cation"]
    assert dipkit.read(output).names.tolist() == ["water"]


@needs_tblite
@pytest.mark.parametrize("suffix", [".xyz", ".npz", ".db"])
def test_multiplicity_of_each_molecule(tmp_path, suffix) -> None:
    water = [[0, 0, 0.117], [0, 0.757, -0.468], [0, -0.757, -0.468]]
    both = Molecules(
        [8, 1, 1, 8, 1, 1],
        water + water,
        [0, 3, 6],
        names=["cation", "water"],
        total_charge=[1, 0],
        multiplicity=[2, np.nan],
    )
    dipkit.write(tmp_path / f"in{suffix}", both)
    output = tmp_path / f"out{suffix}"
    run("label", tmp_path / f"in{suffix}", "-o", output, "--method", "gfn2", "--jobs", 1)
    found = dipkit.read(output)
    assert found.names.tolist() == ["cation", "water"]
    np.testing.assert_array_equal(found.multiplicity, [2, np.nan])


@needs_tblite
def test_a_multiplicity_that_contradicts_the_electrons_is_a_failure(tmp_path) -> None:
    head = "Properties=species:S:1:pos:R:3 name="
    water = "O 0 0 0.117\nH 0 0.757 -0.468\nH 0 -0.757 -0.468\n"
    text = "".join(
        f"3\n{head}{name} spin_multiplicity={m}\n{water}" for name, m in (("a", 2), ("b", 3))
    )
    (tmp_path / "in.xyz").write_text(text)
    output = tmp_path / "out.xyz"
    result = warned("label", tmp_path / "in.xyz", "-o", output, "--method", "gfn2", "--json")
    assert json.loads(result.stdout)["failed"].keys() == {"a"}
    assert dipkit.read(output).multiplicity.tolist() == [3]


SLOW = """
import sys, time
import dipkit.quantum.xtb as xtb
calculate = xtb.GFN2.calculate
def slow(self, *arguments):
    time.sleep(0.3)
    return calculate(self, *arguments)
xtb.GFN2.calculate = slow
import dipkit.quantum.labelling
dipkit.quantum.labelling.BLOCK_MOLECULES = 1
sys.argv = ["dipkit", *sys.argv[1:]]
from dipkit.cli.app import main
main()
"""


@needs_tblite
def test_a_killed_run_goes_on_where_it_was(data, tmp_path) -> None:
    output = tmp_path / "out.npz"
    arguments = ["label", str(data), "-o", str(output), "--method", "gfn2", "--jobs", "1"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments])
    journal = Path(f"{output}.journal")
    try:
        limit = time.monotonic() + 120
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < limit, "nothing was finished"
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not output.exists()
    report = json.loads(run(*arguments, "--json").stdout)
    assert 3 <= report["resumed"] < 12
    assert report["molecules"] == 12
    assert not journal.exists()
    whole = tmp_path / "whole.npz"
    run("label", data, "-o", whole, "--method", "gfn2", "--jobs", 1)
    found, expected = dipkit.read(output), dipkit.read(whole)
    np.testing.assert_array_equal(found.dipole_vector, expected.dipole_vector)
    np.testing.assert_array_equal(found.charges, expected.charges)
