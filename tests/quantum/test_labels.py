"""Calculated dipoles and charges: known values, invariances, failures, what is refused."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dipkit.quantum.calculation
from dipkit import Molecules
from dipkit.data.datasets import load_organics
from dipkit.exceptions import InputError, MissingDependencyError
from dipkit.quantum.calculation import Calculation, CalculationError, calculate
from dipkit.quantum.gaussian_basis import polarization
from dipkit.quantum.labels import gfn2, parse_method
from dipkit.quantum.xtb import GFN2
from dipkit.units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM

# Geometries of QM9's molecules 3 and 2, angstrom, and its dipoles, debye.
WATER = [[-0.03436, 0.97754, 0.0076], [0.064766, 0.020572, 0.001535], [0.87179, 1.300792, 0.000693]]
AMMONIA = [
    [-0.040426, 1.024108, 0.062564],
    [0.017257, 0.012545, -0.027377],
    [0.915789, 1.358745, -0.028758],
    [-0.520278, 1.343532, -0.775543],
]
QM9_DIPOLES = [1.8511, 1.6256]
QM9_CHARGES = [-0.589706, 0.294853, 0.294853, -0.707143, 0.235712, 0.235712, 0.23572]


@pytest.fixture
def pair() -> Molecules:
    return Molecules([8, 1, 1, 7, 1, 1, 1], WATER + AMMONIA, [0, 3, 7], names=["water", "ammonia"])


@pytest.fixture
def no_memory_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calculate again, without results of other tests in this process."""
    monkeypatch.setattr(
        dipkit.quantum.calculation, "_RECENT", dipkit.quantum.calculation._Recent(1000)
    )


class Sum:
    """A method that costs nothing: fails on charged molecules."""

    calls = 0

    def __repr__(self) -> str:
        return "Sum()"

    def calculate(self, numbers, positions, total_charge):
        Sum.calls += 1
        if total_charge:
            raise CalculationError("charged")
        return Calculation(positions.sum(axis=0), numbers - numbers.mean())


@pytest.mark.usefixtures("no_memory_of_others")
def test_failures_leave_nan_and_the_rest_goes_on(toy) -> None:
    molecules = toy()
    result = calculate(Sum(), molecules, n_jobs=1)
    failed = molecules.total_charge != 0
    assert list(result.failures) == np.flatnonzero(failed).tolist()
    np.testing.assert_array_equal(np.isnan(result.dipole).all(axis=1), failed)
    np.testing.assert_array_equal(np.isnan(result.charges), failed[molecules.molecule_index])
    expected = np.add.reduceat(molecules.positions, molecules.offsets[:-1])
    np.testing.assert_allclose(result.dipole[~failed], expected[~failed])


@pytest.mark.usefixtures("no_memory_of_others")
def test_blocks_and_processes_change_nothing(toy, monkeypatch) -> None:
    molecules = toy(sizes=(3,) * 20, charged=False)
    whole = calculate(Sum(), molecules, n_jobs=1)
    monkeypatch.setattr(dipkit.quantum.calculation, "BLOCK_MOLECULES", 3)
    monkeypatch.setattr(
        dipkit.quantum.calculation, "_RECENT", dipkit.quantum.calculation._Recent(1000)
    )
    np.testing.assert_array_equal(calculate(Sum(), molecules, n_jobs=2).dipole, whole.dipole)


@pytest.mark.usefixtures("no_memory_of_others")
def test_known_molecules_are_not_calculated_again(toy) -> None:
    molecules = toy(charged=False)
    first = calculate(Sum(), molecules, n_jobs=1)
    before = Sum.calls
    again = calculate(Sum(), molecules[::-1], n_jobs=1)
    assert Sum.calls == before
    np.testing.assert_array_equal(again.dipole, first.dipole[::-1])
    calculate(Sum(), molecules.replace(positions=2 * molecules.positions), n_jobs=1)
    assert Sum.calls == before + len(molecules)


@pytest.mark.usefixtures("no_memory_of_others")
def test_cache_on_disk(toy, tmp_path, monkeypatch) -> None:
    molecules = toy(charged=False)
    first = calculate(Sum(), molecules, n_jobs=1, memory=tmp_path)
    before = Sum.calls
    monkeypatch.setattr(
        dipkit.quantum.calculation, "_RECENT", dipkit.quantum.calculation._Recent(1000)
    )
    again = calculate(Sum(), molecules, n_jobs=1, memory=str(tmp_path))
    assert Sum.calls == before
    np.testing.assert_array_equal(again.charges, first.charges)


def test_missing_program_names_the_extra(pair, monkeypatch) -> None:
    import sys

    for name in ("tblite", "tblite.interface", "pyscf", "pyscf.gto", "pyscf.dft.libxc"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"dipkit\[labels\]"):
        gfn2(pair)
    with pytest.raises(MissingDependencyError, match=r"dipkit\[labels\]"):
        parse_method("hf/sto-3g").check(pair.elements)


@pytest.mark.parametrize("text", ["", "foo", "hf/", "/sto-3g", "gfn2/sto-3g/"])
def test_method_that_is_none(text) -> None:
    if text == "gfn2/sto-3g/":
        assert parse_method(text).functional == "gfn2"  # PySCF then refuses the functional
        return
    with pytest.raises(InputError, match="method: expected gfn2, hf/BASIS"):
        parse_method(text)


@pytest.mark.parametrize("multiplicity", [0, -1, 1.5, "high"])
def test_multiplicity_that_is_none(multiplicity) -> None:
    with pytest.raises(InputError, match="multiplicity: expected"):
        parse_method("gfn2", multiplicity=multiplicity)


def test_polarization_of_every_kind_of_element() -> None:
    assert polarization("Xe") is None
    assert [shell[0] for shell in polarization("O")] == [2, 2, 3, 0, 0]


class TestGFN2:
    """What tblite gives."""

    @pytest.fixture(autouse=True)
    def _needs_tblite(self) -> None:
        pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")

    def test_bundled_labels(self) -> None:
        molecules = load_organics()[:10]
        found = gfn2(molecules, n_jobs=1)
        # The bundled magnitudes are B3LYP's: GFN2-xTB comes within its own error.
        norm = np.linalg.norm(found.dipole, axis=1)
        assert np.abs(norm - molecules.dipole_magnitude).mean() < 0.8
        assert np.corrcoef(norm, molecules.dipole_magnitude)[0, 1] > 0.9
        sums = np.add.reduceat(found.charges, molecules.offsets[:-1])
        np.testing.assert_allclose(sums, 0, atol=1e-8)

    def test_translation_moves_nothing_and_rotation_turns(self) -> None:
        ion = Molecules([8, 1], [[0, 0, 0], [0.0, 0.0, 0.97]], [0, 2], total_charge=[-1])
        turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
        moved = ion.replace(positions=ion.positions @ turn.T + [3.0, -2, 5])
        here, there = gfn2(ion), gfn2(moved)
        np.testing.assert_allclose(there.dipole[0], turn @ here.dipole[0], atol=1e-5)
        np.testing.assert_allclose(there.charges, here.charges, atol=1e-6)
        assert here.charges.sum() == pytest.approx(-1)

    def test_one_warning_counts_and_names_failures(self, pair) -> None:
        fraction = pair.replace(total_charge=[0.0, 0.5])
        with pytest.warns(UserWarning, match=r"for 1 of 2 molecules: 1 \(ammonia\)") as caught:
            found = gfn2(fraction)
        assert len(caught) == 1
        assert np.isnan(found.dipole).all(axis=1).tolist() == [False, True]

    def test_no_convergence_is_a_failure(self, pair, monkeypatch) -> None:
        monkeypatch.setattr("dipkit.quantum.xtb.ATTEMPTS", ({"max-iter": 1},))
        with pytest.raises(CalculationError, match="GFN2-xTB: SCF not converged"):
            GFN2().calculate(pair.numbers[:3], pair.positions[:3], 0.0)

    def test_elements_without_parameters(self) -> None:
        with pytest.raises(InputError, match="ends with element 86"):
            gfn2(Molecules([92, 8], [[0, 0, 0], [0, 0, 1.8]], [0, 2]))


class TestMeanField:
    """What PySCF gives."""

    @pytest.fixture(autouse=True)
    def _needs_pyscf(self) -> None:
        pytest.importorskip("pyscf", reason="PySCF is not installed (extra labels)")

    def test_dipoles_and_charges_of_qm9(self, pair) -> None:
        found = calculate(parse_method("b3lyp/6-31g(2df,p)"), pair, n_jobs=1)
        assert not found.failures
        np.testing.assert_allclose(np.linalg.norm(found.dipole, axis=1), QM9_DIPOLES, atol=1e-3)
        np.testing.assert_allclose(found.charges, QM9_CHARGES, atol=1e-4)

    def test_quadrupoles_rotate_and_refer_to_the_centre_of_mass(self) -> None:
        ion = Molecules([8, 1], [[0, 0, 0], [0.0, 0.0, 0.97]], [0, 2], total_charge=[-1])
        turn = Rotation.from_rotvec([0.4, -0.7, 1.1]).as_matrix()
        moved = ion.replace(positions=ion.positions @ turn.T + [3.0, -2, 5])
        method = parse_method("hf/sto-3g")
        here, there = (calculate(method, each, n_jobs=1).quadrupole[0] for each in (ion, moved))
        np.testing.assert_allclose(there, turn @ here @ turn.T, atol=1e-4)
        ion.replace(quadrupole=[here])  # symmetric and without trace, or refused

    def test_quadrupoles_are_the_moments_of_electrons_and_nuclei(self, pair) -> None:
        method = parse_method("hf/sto-3g")
        water = pair[0]
        found = calculate(method, water, n_jobs=1).quadrupole[0]
        centred = water.positions - water.centers_of_mass()
        solution = method._solve(water.numbers, centred, 0.0)
        moments = solution.mol.intor("int1e_rr").reshape(9, *[solution.mol.nao] * 2)
        second = -np.einsum("kab,ba->k", moments, solution.make_rdm1()).reshape(3, 3)
        bohr = solution.mol.atom_coords()
        second += np.einsum("i,ia,ib->ab", water.numbers.astype(float), bohr, bohr)
        expected = 1.5 * second - 0.5 * np.trace(second) * np.eye(3)
        expected *= ANGSTROM_PER_BOHR**2 * DEBYE_PER_E_ANGSTROM
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_schemes_differ_and_sum_to_the_charge(self, pair) -> None:
        ion = pair[:1].replace(total_charge=[1])
        charges = [
            calculate(parse_method("hf/sto-3g", scheme, "lowest"), ion, n_jobs=1).charges
            for scheme in ("mulliken", "meta-lowdin")
        ]
        assert not np.allclose(*charges, atol=1e-3)
        np.testing.assert_allclose([part.sum() for part in charges], 1, atol=1e-6)

    @pytest.mark.parametrize(
        ("method", "scheme", "message"),
        [
            ("blyp9/sto-3g", "mulliken", "no functional 'blyp9'"),
            ("hf/no-such-basis", "mulliken", "no basis 'no-such-basis' for H"),
            ("hf/sto-3g", "chelpg", "charges scheme: expected one of"),
        ],
    )
    def test_unknown_names_are_refused_before_any_work(self, pair, method, scheme, message) -> None:
        with pytest.raises(InputError, match=message):
            parse_method(method, scheme).check(pair.elements)

    def test_basis_of_qm9_ends_with_fluorine(self) -> None:
        with pytest.raises(InputError, match="for Cl"):
            parse_method("b3lyp/6-31g(2df,p)").check(np.array([1, 17]))
