"""Atomic dipoles beyond the fit: files, derivatives, calculator, commands, searches, baselines."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read as ase_read
from helpers.commands import refused, run
from helpers.derivative_checks import check_differences, check_directions, check_turning, turned
from optuna.distributions import FloatDistribution
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import (
    DipoleKernelRidge,
    DipoleSearchCV,
    InducingBasis,
    Molecules,
    SOAPTransformer,
    load_model,
    predict_all,
    save_model,
    write,
)
from dipkit.data.datasets import load_organics
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import molecule_sums
from dipkit.learning.multipoles import dipoles
from dipkit.quantum.finite_differences import STEP
from dipkit.response.ase_calculator import DipkitCalculator
from dipkit.response.derivatives import charge_derivatives, dipole_derivatives
from dipkit.units import DEBYE_PER_E_ANGSTROM

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def model(coarse_soap: SOAPTransformer) -> Pipeline:
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=80, atomic_dipoles=0.3))
    return make_pipeline(coarse_soap, ridge).fit(load_organics()[:30])


# Derivatives


@pytest.mark.parametrize(("name", "charge"), [("H2O", 0), ("CH3OH", 0), ("HCOOH", -1)])
def test_differences(model: Pipeline, name: str, charge: float) -> None:
    check_directions(model, turned(name, charge))


def test_moving_all_atoms_changes_nothing(model: Pipeline) -> None:
    atoms = turned("CH3CN", 1.0)
    np.testing.assert_allclose(dipole_derivatives(model, atoms).sum(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(charge_derivatives(model, atoms)[0].sum(axis=0), 0, atol=1e-11)


def test_turning_all_atoms_turns_the_dipole(model: Pipeline) -> None:
    check_turning(model, turned("CH3OH"))


# With a baseline


@pytest.fixture(scope="module")
def corrected(coarse_soap: SOAPTransformer) -> Pipeline:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    ridge = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=80, atomic_dipoles=0.3), baseline="gfn2", n_jobs=1
    )
    return make_pipeline(coarse_soap, ridge).fit(load_organics()[:30].replace(charges=None))


def test_differences_with_a_baseline(corrected: Pipeline) -> None:
    check_differences(corrected, turned("CH3OH"), STEP, atol=(1e-3, 4e-3))


def with_given(molecules: Molecules, *failed: int) -> Molecules:
    """Give molecules a baseline of charges, which some lack."""
    charges = 0.8 * molecules.charges
    dipole = dipoles(charges, molecules)
    for index in failed:
        dipole[index], charges[molecules.atom_index(index)] = np.nan, np.nan
    return molecules.replace(baseline_dipole=dipole, baseline_charges=charges)


def test_what_a_baseline_lacks_is_nan(described: Molecules) -> None:
    model = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=60, atomic_dipoles=0.3), baseline="given"
    )
    with pytest.warns(UserWarning, match="there is no baseline"):
        model.fit(with_given(described, 2))
    with pytest.warns(UserWarning, match="there is no baseline"):
        found = model.predict_atomic_dipoles(with_given(described, 5))
    missing = np.zeros(described.n_atoms, dtype=bool)
    missing[described.atom_index(5)] = True
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), missing)
    assert np.abs(found[~missing]).max() > 0
    whole = with_given(described)
    charges, dipole, std = model.predict_together(whole, return_std=True)
    of_atoms = molecule_sums(model.predict_atomic_dipoles(whole), whole.offsets)
    np.testing.assert_allclose(dipole, dipoles(charges, whole) + of_atoms, atol=1e-9)
    assert (std > 0).all()
    assert model.predict_quadrupole(whole).shape == (len(whole), 3, 3)


def test_quadrupoles_beside_a_baseline_of_more_than_charges(described: Molecules) -> None:
    more = with_given(described)
    more = more.replace(baseline_dipole=more.baseline_dipole + 0.1)
    model = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=60, atomic_dipoles=0.3), baseline="given"
    ).fit(more)
    with pytest.raises(InputError, match="expected dipoles that the predicted charges make"):
        model.predict_quadrupole(more)


# Files, the calculator, commands, searches


def test_a_saved_model_predicts_the_same_bits(model: Pipeline, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.dipkit")
    loaded, molecules = load_model(tmp_path / "model.dipkit"), load_organics()[30:40]
    assert loaded[-1].get_params()["basis__atomic_dipoles"] == 0.3
    for one in (loaded, pickle.loads(pickle.dumps(model))):
        found, expected = (predict_all(each, molecules, return_std=True) for each in (one, model))
        for name in ("charges", "dipole", "std", "atomic_dipoles", "quadrupole"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_model_from_before_they_were_there(described: Molecules, tmp_path: Path) -> None:
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=60)).fit(described)
    expected = model.predict(described, return_std=True)
    for name in [name for name in vars(model) if "dipole" in name]:
        delattr(model, name)
    assert not hasattr(model, "atomic_dipole_coef_")
    save_model(model, tmp_path / "old.dipkit")
    loaded = load_model(tmp_path / "old.dipkit")
    for found, same in zip(loaded.predict(described, return_std=True), expected, strict=True):
        np.testing.assert_array_equal(found, same)
    np.testing.assert_array_equal(loaded.predict_atomic_dipoles(described), 0.0)
    assert predict_all(loaded, described).atomic_dipoles is None


def test_fit_leaves_nothing_of_a_fit_before(described: Molecules) -> None:
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=60, atomic_dipoles=0.3)).fit(described)
    model.set_params(basis__atomic_dipoles=0.0).fit(described)
    np.testing.assert_array_equal(model.predict_atomic_dipoles(described), 0.0)
    plain = DipoleKernelRidge(basis=InducingBasis(n_inducing=60)).fit(described)
    for one, two in zip(
        model.predict_together(described, True), plain.predict_together(described, True),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, two)


def test_predictions_of_the_whole_pipeline(model: Pipeline) -> None:
    molecules = load_organics()[30:40]
    found, described = predict_all(model, molecules), model[0].transform(molecules)
    np.testing.assert_array_equal(found.atomic_dipoles, model[-1].predict_atomic_dipoles(described))
    np.testing.assert_array_equal(found.quadrupole, model[-1].predict_quadrupole(described))
    total = dipoles(found.charges, molecules)
    total += molecule_sums(found.atomic_dipoles, molecules.offsets)
    np.testing.assert_allclose(found.dipole, total, atol=1e-9)
    assert np.abs(found.dipole - dipoles(found.charges, molecules)).max() > 1e-3


def test_the_calculator_counts_them(model: Pipeline) -> None:
    atoms = turned("CH3OH")
    atoms.calc = DipkitCalculator(model)
    expected = predict_all(model, atoms.copy()).dipole[0] / DEBYE_PER_E_ANGSTROM
    np.testing.assert_allclose(atoms.get_dipole_moment(), expected, rtol=1e-14)
    assert np.abs(atoms.get_charges() @ atoms.positions - expected).max() > 1e-3


def test_commands(tmp_path: Path) -> None:
    molecules, data, file = load_organics()[:20], tmp_path / "train.xyz", tmp_path / "m.dipkit"
    write(data, molecules)
    words = ("fit", data, "-o", file, "--n-inducing", 40, "--atomic-dipoles", 0.3)
    report = json.loads(run(*words, "--json").stdout)
    assert report["parameters"]["basis__atomic_dipoles"] == 0.3
    about = json.loads(run("info", file, "--json").stdout)
    assert about["parameters"]["DipoleKernelRidge"]["basis__atomic_dipoles"] == 0.3
    run("predict", file, data, "-o", tmp_path / "out.xyz")
    frames = ase_read(tmp_path / "out.xyz", ":")
    found = np.concatenate([frame.arrays["predicted_atomic_dipoles_debye"] for frame in frames])
    expected = predict_all(load_model(file), data)
    np.testing.assert_allclose(found, expected.atomic_dipoles, atol=1e-6)
    run("predict", file, data, "-o", tmp_path / "out.csv")
    run("evaluate", file, data)
    assert "atomic_dipoles: expected" in refused(*words[:4], "--atomic-dipoles", -1)


def test_a_search_over_the_scale(coarse_soap: SOAPTransformer) -> None:
    name = "dipolekernelridge__basis__atomic_dipoles"
    pipeline = make_pipeline(coarse_soap, DipoleKernelRidge(basis=InducingBasis(n_inducing=30)))
    space = {name: FloatDistribution(0.05, 0.5, log=True)}
    search = DipoleSearchCV(pipeline, space, n_trials=2, cv=2, guard=None)
    search.fit(load_organics()[:24])
    best = search.best_estimator_[-1]
    assert best.basis.atomic_dipoles == search.best_params_[name] > 0
    assert best.atomic_dipole_coef_.shape == (len(best.dual_coef_), len(best.elements_))
