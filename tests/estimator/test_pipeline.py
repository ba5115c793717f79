"""`predict_all` gives what the estimator's methods give, whatever the molecules come as."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline

import dipkit
from dipkit import (
    DipoleKernelRidge,
    InducingBasis,
    Reweighted,
    SOAPTransformer,
    as_molecules,
    predict_all,
    save_model,
)
from dipkit.data.datasets import load_organics
from dipkit.data.formats.ase_atoms import to_atoms
from dipkit.data.molecules import Molecules
from dipkit.estimator import pipeline
from dipkit.estimator.pipeline import predict_each, predict_parts, warm_up
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import molecule_sums
from dipkit.learning.multipoles import quadrupoles


@pytest.fixture(scope="module")
def model(coarse_soap: SOAPTransformer, described: Molecules) -> Pipeline:
    ridge = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=50), alpha=1e-3, solver=Reweighted(tol=1e-4), device="cpu"
    )
    return Pipeline([("soap", coarse_soap), ("ridge", ridge.fit(described))])


@pytest.fixture(scope="module")
def bare(described: Molecules) -> Molecules:
    return described[:10].replace(features=None)


def test_equals_the_methods_of_the_estimator(
    model: Pipeline, bare: Molecules, described: Molecules
) -> None:
    found, ten = predict_all(model, bare), model[0].transform(bare)
    np.testing.assert_array_equal(found.charges, model[-1].predict_charges(ten))
    np.testing.assert_array_equal(found.dipole, model[-1].predict_dipole(ten))
    np.testing.assert_array_equal(found.magnitude, model.predict(bare))
    np.testing.assert_allclose(molecule_sums(found.charges, bare.offsets), 0, atol=1e-12)
    assert found.molecules.features is None
    assert len(found.molecules) == 10


def test_an_estimator_alone_takes_described_molecules(
    model: Pipeline, described: Molecules
) -> None:
    found = predict_all(model[-1], described)
    np.testing.assert_array_equal(found.dipole, model[-1].predict_dipole(described))
    with pytest.raises(InputError, match="X: expected Molecules described"):
        predict_all(model[-1], described.replace(features=None))


def test_takes_lists_single_molecules_and_paths(
    model: Pipeline, bare: Molecules, tmp_path: Path
) -> None:
    expected, frames = predict_all(model, bare), to_atoms(bare)
    listed = predict_all(model, frames)
    np.testing.assert_array_equal(listed.charges, expected.charges)
    single = predict_all(model, frames[3])
    np.testing.assert_allclose(single.dipole, expected.dipole[3:4], atol=1e-3)
    assert single.charges_of(0).shape == (bare.natoms[3],)
    path = tmp_path / "ten.xyz"
    write(path, frames)
    for there in (path, str(path)):
        np.testing.assert_allclose(predict_all(model, there).dipole, expected.dipole, atol=1e-3)


def test_charges_by_molecule(model: Pipeline, bare: Molecules) -> None:
    found = predict_all(model, bare)
    parts = [found.charges_of(index) for index in range(len(bare))]
    assert [len(part) for part in parts] == bare.natoms.tolist()
    np.testing.assert_array_equal(np.concatenate(parts), found.charges)
    np.testing.assert_array_equal(found.charges_of(-1), parts[-1])
    with pytest.raises(IndexError, match=f"out of range for {len(bare)} molecules"):
        found.charges_of(len(bare))


def test_labels_are_not_read(model: Pipeline) -> None:
    water = molecule("H2O")
    expected = predict_all(model, water)
    water.info["dipole_debye"] = -3.0  # no magnitude
    water.set_array("mulliken", np.array([9.0, 9.0, 9.0]))
    np.testing.assert_array_equal(predict_all(model, water).charges, expected.charges)
    np.testing.assert_array_equal(model.predict([water]), expected.magnitude)


def test_quadrupoles_follow_from_the_charges(
    model: Pipeline, bare: Molecules, described: Molecules
) -> None:
    found = predict_all(model, bare)
    assert found.quadrupole.shape == (len(bare), 3, 3)
    np.testing.assert_allclose(
        found.quadrupole, model[-1].predict_quadrupole(described)[:10], atol=1e-5
    )
    np.testing.assert_array_equal(found.quadrupole, quadrupoles(found.charges, bare))


def test_total_charges_are_kept(model: Pipeline) -> None:
    methanol = molecule("CH3OH")
    methanol.info["charge"] = 1.0
    assert predict_all(model, methanol).charges.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_model_of_another_kind() -> None:
    for wrong in (Ridge(), make_pipeline(SOAPTransformer(), Ridge())):
        with pytest.raises(InputError, match=r"model: expected a pipeline .* got Ridge"):
            predict_all(wrong, molecule("H2O"))


def test_unseen_elements(model: Pipeline) -> None:
    with pytest.raises(InputError, match="Cl"):
        predict_all(model, molecule("HCl"))


def test_single_atoms_have_no_dipole(model: Pipeline) -> None:
    found = predict_all(model, as_molecules(molecule("O")))
    np.testing.assert_array_equal(found.magnitude, 0.0)


@pytest.mark.parametrize("suffix", [".xyz", ".db", ".npz"])
def test_parts_of_a_file_are_the_whole(
    model: Pipeline, bare: Molecules, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.estimator.pipeline, "PART_MOLECULES", 4)
    path = tmp_path / f"ten{suffix}"
    dipkit.write(path, bare)
    parts = list(predict_parts(model, path))
    assert [len(part.molecules) for part in parts] == [4, 4, 2]
    expected = predict_all(model, path)
    assert [name for part in parts for name in part.molecules.names] == list(
        expected.molecules.names
    )
    np.testing.assert_allclose(
        np.concatenate([part.dipole for part in parts]), expected.dipole, atol=1e-5
    )
    assert model[0].on_demand != True  # noqa: E712


def test_unnamed_molecules_are_numbered_through(
    model: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.estimator.pipeline, "PART_MOLECULES", 2)
    write(tmp_path / "three.xyz", [molecule("H2O"), molecule("NH3"), molecule("CH4")])
    names = [list(part.molecules.names) for part in predict_parts(model, tmp_path / "three.xyz")]
    assert names == [["three_0", "three_1"], ["three_2"]]


def test_an_error_in_a_later_part_names_the_molecule(
    model: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.estimator.pipeline, "PART_MOLECULES", 2)
    periodic = molecule("CH4", vacuum=3.0)
    periodic.pbc = True
    write(tmp_path / "three.xyz", [molecule("H2O"), molecule("NH3"), periodic])
    with pytest.raises(InputError, match=r"three\.xyz, line 12: molecule 2 .* periodic"):
        list(predict_parts(model, tmp_path / "three.xyz"))


PROGRAM = """
import sys
import dipkit.estimator.pipeline
from dipkit import load_model, predict_all
from dipkit.cli.prediction_files import stream_predictions

dipkit.estimator.pipeline.PART_MOLECULES = 150
model = load_model(sys.argv[1])
parts = dipkit.estimator.pipeline.predict_parts(model, sys.argv[2])
n = stream_predictions(sys.argv[3], parts, "a model")
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(n, int(peak.split()[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(model: Pipeline, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.dipkit")
    (tmp_path / "predict.py").write_text(PROGRAM)
    few = to_atoms(load_organics()[:40].replace(charges=None))
    found = {}
    for n in (320, 2400):
        write(tmp_path / f"{n}.xyz", few * (n // 40))
        command = [tmp_path / "predict.py", tmp_path / "model.dipkit", tmp_path / f"{n}.xyz"]
        done = subprocess.run(
            [sys.executable, *map(str, command), str(tmp_path / f"{n}.csv")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        counted, found[n] = (int(word) for word in done.stdout.split())
        assert counted == n
    assert found[2400] < found[320] + 20_000  # KiB


@pytest.mark.parametrize("return_std", [False, True])
def test_a_warm_model_predicts_the_same_bits(
    model: Pipeline, bare: Molecules, return_std: bool
) -> None:
    models = [copy.deepcopy(model) for _ in range(2)]
    warm_up(models[1], return_std)
    assert hasattr(models[1][-1], "_std_whitening") == return_std
    one, two = [next(predict_each(each, [bare[:9]], return_std)) for each in models]
    np.testing.assert_array_equal(one.dipole, two.dipole)
    np.testing.assert_array_equal(one.charges, two.charges)
    if return_std:
        np.testing.assert_array_equal(one.std, two.std)


def test_no_program_is_started_to_warm_up(model: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(pipeline, "predict_all", lambda *_: asked.append(1))
    warm_up(model)
    assert asked == [1]
    with_baseline = copy.deepcopy(model)
    with_baseline[-1].set_params(baseline="gfn2")
    warm_up(with_baseline)
    assert asked == [1]


def test_a_notebook_shows_the_first_predictions(described):
    ridge = DipoleKernelRidge(alpha=1e-3).fit(described)
    html = predict_all(ridge, described, return_std=True)._repr_html_()
    assert "Prediction for 40 molecules" in html
    for heading in ("predicted |μ| (D)", "std (D)", "z (D)"):
        assert heading in html
    assert f"{ridge.predict(described)[0]:.3f}" in html
    assert "std (D)" not in predict_all(ridge, described)._repr_html_()
