"""Atoms far from the rest of their molecule are named in a warning; complexes are not."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write as ase_write
from helpers.commands import warned
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from dipkit.data.datasets import load_organics
from dipkit.data.far_atoms import FAR, MAX_STEPS, far_atom
from dipkit.data.io import as_molecules, read, read_parts, write
from dipkit.data.several_files import read_several


def apart(distance: float, direction=(0.48, 0.6, 0.64), parts=("H2O", "H2O")) -> Atoms:
    """Two molecules whose nearest atoms are about this far apart."""
    first, second = (molecule(part) for part in parts)
    second.translate(distance * np.array(direction))
    return first + second


def with_wrong_coordinate() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.positions[4, 1] = 9999.0
    return atoms


FAR_SETS = {
    "one coordinate": with_wrong_coordinate(),
    "a molecule": apart(5000.0),
    "a near molecule": apart(2 * FAR),
    "two atoms": Atoms("HH", [[0, 0, 0], [0, 0, 21]]),
}
NEAR_SETS = {
    "one atom": Atoms("Ar", [[0, 0, 9999]]),
    "far from the origin": Atoms("HH", [[0, 0, 9999], [0, 0, 9999.7]]),
    "a complex": apart(15.0),
    "a cluster": Atoms("Ar20", np.arange(20)[:, None] * [9.0, 9.0, 9.0]),
    "a chain": Atoms("C1000", np.arange(1000)[:, None] * [1.5, 0, 0]),
}


@pytest.mark.parametrize("name", FAR_SETS)
def test_a_distant_part_is_named(name: str) -> None:
    with pytest.warns(UserWarning, match=r"in 1 of 2 molecules .* angstrom from all others"):
        as_molecules([molecule("CH4"), FAR_SETS[name]])


@pytest.mark.parametrize("name", NEAR_SETS)
def test_complexes_and_large_molecules_are_not(name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*from all others")
        as_molecules([NEAR_SETS[name]])


def test_the_atom_the_molecule_and_the_distance_are_named(tmp_path: Path) -> None:
    ase_write(tmp_path / "set.xyz", [with_wrong_coordinate(), molecule("CH4")], format="extxyz")
    with pytest.warns(UserWarning, match=r"atom 4 of 'set_0', 9,99[0-9] angstrom\. Perhaps"):
        read(tmp_path / "set.xyz")


def test_the_first_atom_can_be_the_wrong_one() -> None:
    atoms = molecule("CH3OH")
    atoms.positions[0] += 3000
    assert far_atom(atoms.positions) == (0, pytest.approx(3000 * 3**0.5, abs=5))


def test_one_warning_for_all_parts_and_files(tmp_path: Path) -> None:
    good, bad = molecule("CH4"), with_wrong_coordinate()
    one, other = tmp_path / "one.xyz", tmp_path / "other.xyz"
    ase_write(one, [good, good, bad, good, bad], format="extxyz")
    ase_write(other, [bad], format="extxyz")
    with pytest.warns(UserWarning, match="in 2 of 5 mol") as told:
        list(read_parts(one, 2))
    assert len(told) == 1
    with pytest.warns(UserWarning, match="in 3 of 6 mol") as told:
        read_several([one, other])
    assert len(told) == 1


def test_commands_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    molecules = load_organics()[:12]
    positions = molecules.positions.copy()
    positions[3, 2] = 9999.0
    write("far.xyz", molecules.replace(positions=positions, dipole_vector=None))
    for line in (
        "info far.xyz",
        "fit far.xyz -o m.dipkit --n-inducing 5",
        "predict m.dipkit far.xyz -o out.csv",
    ):
        assert "from all others: atom 3 of" in warned(*line.split()).stderr, line


points = st.lists(
    st.tuples(*[st.floats(-60, 60, allow_subnormal=False)] * 3), min_size=2, max_size=12
)


@given(points)
def test_the_same_as_clusters_by_single_linkage(found: list) -> None:
    positions = np.array(found)
    tree = linkage(positions, "single")
    is_far = len(set(fcluster(tree, FAR * (1 - 1e-9), "distance"))) > 1
    assert (far_atom(positions) is not None) == is_far


def test_the_time_is_bounded() -> None:
    """A chain is followed step by step, but not for ever."""
    chain = np.arange(MAX_STEPS + 50)[:, None] * [0.9 * FAR, 0, 0]
    assert far_atom(chain) is None
    assert far_atom(np.vstack([chain[:50], [[9e3, 9e3, 0]]])) is not None
