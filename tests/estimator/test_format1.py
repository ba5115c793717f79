"""Models of file format 1 load, and predict what they predicted."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from dipkit import (
    GaussianKernel,
    GivenBaseline,
    HuberLoss,
    Molecules,
    Reweighted,
    load_model,
    save_model,
)
from dipkit.data.datasets import load_organics
from dipkit.estimator.format1 import nested_state
from dipkit.estimator.persistence import FORMAT_VERSION, read_metadata
from dipkit.exceptions import FileFormatError

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
EXPECTED = np.load(FIXTURES / "expected-format1.npz")
NAMES = ["plain", "everything", "baseline"]


def molecules_of(name: str) -> Molecules:
    """First molecules of those that the model was fitted to."""
    molecules = load_organics()[:40]
    if name == "baseline":
        noise = 0.1 * np.random.default_rng(0).standard_normal((40, 3))
        molecules = molecules.replace(baseline_dipole=0.8 * molecules.dipole_vector + noise)
    return molecules[:6]


def loaded(name: str) -> Pipeline:
    return load_model(FIXTURES / f"{name}-format1.dipkit")


@pytest.mark.parametrize("name", NAMES)
def test_old_models_predict_what_they_did(name: str) -> None:
    assert read_metadata(FIXTURES / f"{name}-format1.dipkit")["format_version"] == 1
    magnitude, std = loaded(name).predict(molecules_of(name), return_std=True)
    # Descriptors are in single precision, and rounded otherwise on another machine.
    np.testing.assert_allclose(magnitude, EXPECTED[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(std, EXPECTED[f"{name}_std"], rtol=1e-3)


def test_flat_parameters_stand_in_groups() -> None:
    ridge = loaded("everything")[-1]
    assert isinstance(ridge.basis.kernel, GaussianKernel)
    assert (ridge.basis.n_inducing, ridge.basis.atomic_dipoles) == (40, 0.03)
    assert ridge.basis.precision == "double"
    assert isinstance(ridge.loss, HuberLoss)
    assert ridge.loss.threshold == 0.3
    assert isinstance(ridge.solver, Reweighted)
    assert (tuple(ridge.solver.annealing), ridge.solver.memory) == ((100.0, 10.0), 5)
    assert (ridge.charge_weight, ridge.charge_discrepancy) == (1e-2, 1e-3)
    assert (ridge.memory_budget, ridge.random_state) == ("4GB", 3)
    given = loaded("baseline")[-1].baseline
    assert isinstance(given, GivenBaseline)
    assert given.direction_weight == 0.01


@pytest.mark.parametrize("name", NAMES)
def test_old_models_are_saved_in_the_new_format(name: str, tmp_path: Path) -> None:
    model, molecules = loaded(name), molecules_of(name)
    save_model(model, tmp_path / "new.dipkit")
    assert read_metadata(tmp_path / "new.dipkit")["format_version"] == FORMAT_VERSION == 3
    again = load_model(tmp_path / "new.dipkit")
    np.testing.assert_array_equal(again.predict(molecules), model.predict(molecules))
    assert repr(again) == repr(model)


def test_old_models_can_be_fitted_again() -> None:
    model = loaded("plain")
    model.fit(load_organics()[:20])
    assert model[-1].label_summary_["n_molecules"] == 20


@pytest.mark.parametrize(
    ("init", "prior", "expected"),
    [
        ("auto", "start", "ChargeStart()"),
        ("charges", "zero", "ChargeStart(prior=False, source='charges')"),
        ("zero", "start", "ZeroStart()"),
        ("random", "start", "RandomStart(n_restarts=4)"),
    ],
)
def test_starts(init: str, prior: str, expected: str) -> None:
    state = nested_state({"init": init, "prior": prior, "n_restarts": 4})
    assert repr(state["start"]) == expected


def test_a_cache_of_an_old_model_is_not_used() -> None:
    state = nested_state({"baseline": "gfn2", "baseline_memory": "cache"})
    assert state["baseline"].memory is None


def test_other_classes_under_the_old_paths_are_refused(tmp_path: Path) -> None:
    """Only the classes that format 1 wrote are taken to their new paths."""
    file = tmp_path / "changed.dipkit"
    shutil.copy(FIXTURES / "plain-format1.dipkit", file)
    with zipfile.ZipFile(file) as old:
        members = {name: old.read(name) for name in old.namelist()}
    schema = members["schema.json"].decode().replace("PowerKernel", "load_model")
    schema = schema.replace("DipoleKernelRidge", "read")
    members["schema.json"] = json.dumps(json.loads(schema)).encode()
    with zipfile.ZipFile(file, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    with pytest.raises(FileFormatError, match="does not trust"):
        load_model(file)
