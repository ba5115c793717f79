"""`DipoleKernelRidge`: estimator contracts, invariances, every way in for labels, clear errors."""

import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sklearn
from ase import Atoms
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_checks

import dipkit.estimator.fit
import dipkit.estimator.memory_plan
import dipkit.estimator.minimum
import dipkit.learning.kernels
import dipkit.support.backend
from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer, default_model
from dipkit.data.formats.ase_atoms import to_atoms
from dipkit.data.molecules import Molecules
from dipkit.descriptors.scales import SOAPScale
from dipkit.estimator.defaults import DEFAULT_CHARGE_WEIGHT, DOUBLE_MOLECULES, is_double
from dipkit.estimator.memory_plan import default_n_inducing
from dipkit.exceptions import DeviceError, InputError
from dipkit.learning.charge_maps import conserve_charge, molecule_sums
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import GaussianKernel, PowerKernel
from dipkit.learning.losses import HuberLoss, Loss
from dipkit.learning.multipoles import dipoles
from dipkit.support.backend import NUMPY


def ridge(**parameters: Any) -> DipoleKernelRidge:
    """Small and quick: few environments, a strong ridge, a coarse end."""
    quick = {"basis__n_inducing": 60, "alpha": 1e-3, "solver__tol": 1e-5, "device": "cpu"}
    return DipoleKernelRidge().set_params(**quick | parameters)


@pytest.fixture(scope="module")
def fitted(described: Molecules) -> DipoleKernelRidge:
    return ridge().fit(described, described.dipole_magnitude)


def unlabelled(molecules: Molecules) -> Molecules:
    missing = np.full(molecules.n_atoms, np.nan)
    return molecules.replace(
        dipole_magnitude=np.full(len(molecules), np.nan),
        dipole_vector=np.full((len(molecules), 3), np.nan),
        charges=missing,
        source_keys=(),
    )


def magnitudes_only(molecules: Molecules) -> Molecules:
    return molecules.replace(dipole_vector=np.full((len(molecules), 3), np.nan))


def charge_list(molecules: Molecules) -> list[np.ndarray]:
    return np.split(molecules.charges, molecules.offsets[1:-1])


def assert_same_model(ours: DipoleKernelRidge, theirs: DipoleKernelRidge) -> None:
    for name in ("dual_coef_", "intercept_", "history_", "inducing_numbers_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


# Contracts of scikit-learn. X is no array, so that `check_estimator` does not apply as a whole:
# these are the checks that never call fit.


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
    ],
    ids=lambda check: check.__name__,
)
def test_checks_of_scikit_learn(check: Callable[[str, Any], None]) -> None:
    check("DipoleKernelRidge", DipoleKernelRidge())


def test_fit_changes_neither_parameters_nor_molecules(described: Molecules) -> None:
    kernel = PowerKernel(3)
    model = ridge(basis__kernel=kernel, start="charges")
    before, state = model.get_params(), pickle.dumps(described)
    y, weight = described.dipole_magnitude.copy(), np.ones(len(described))
    charges = described.charges.copy()
    assert model.fit(described, y, charges=charges, sample_weight=weight) is model
    model.predict(described)
    assert model.get_params() == before
    assert model.basis.kernel is kernel
    assert model.kernel_ is not kernel
    assert pickle.dumps(described) == state
    np.testing.assert_array_equal(y, described.dipole_magnitude)
    np.testing.assert_array_equal(charges, described.charges)
    np.testing.assert_array_equal(weight, 1.0)


def test_fitting_again_gives_the_same_bits(described: Molecules, fitted: DipoleKernelRidge) -> None:
    again = clone(fitted).fit(described, described.dipole_magnitude)
    assert_same_model(again, fitted)
    other = ridge(loss="huber").fit(described[:20])
    assert_same_model(
        other.set_params(**fitted.get_params()).fit(described, described.dipole_magnitude), fitted
    )


def test_pickled_models_predict_the_same_bits(
    described: Molecules, fitted: DipoleKernelRidge
) -> None:
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_dipole(described), fitted.predict_dipole(described))


def test_attributes_after_fit(described: Molecules, fitted: DipoleKernelRidge) -> None:
    M = len(fitted.dual_coef_)
    assert M <= 60
    assert fitted.inducing_numbers_.shape == (M,)
    assert [scale.shape[0] for scale in fitted.inducing_features_] == [M, M]
    assert {scale.dtype for scale in fitted.inducing_features_} == {np.dtype(np.float16)}
    np.testing.assert_array_equal(fitted.elements_, described.elements)
    assert fitted.intercept_.shape == described.elements.shape
    assert fitted.charge_weight_ == DEFAULT_CHARGE_WEIGHT
    assert fitted.converged_
    assert fitted.status_.startswith("Converged")
    assert fitted.objective_ == fitted.history_[-1]
    assert (np.diff(fitted.history_) <= 0).all()
    assert fitted.n_factorizations_ >= 1
    assert fitted.n_iter_ >= len(fitted.history_) - 1
    assert fitted.label_summary_ == {
        "n_molecules": 40,
        "n_atoms": described.n_atoms,
        "n_magnitudes": 40,
        "n_vectors": 0,
        "n_charges": 40,
        "n_quadrupoles": 0,
    }
    host = [value for value in vars(fitted).values() if isinstance(value, np.ndarray)]
    assert {type(value) for value in host} == {np.ndarray}


@pytest.mark.filterwarnings("ignore:Stopped at max_iter")
@pytest.mark.parametrize("charge_weight", [0.0, 1e-3, 10.0])
def test_the_objective_is_the_one_written_down(described: Molecules, charge_weight: float) -> None:
    # From predictions alone: the errors of dipoles and charges, where the penalty is next to none.
    y = described.dipole_magnitude
    model = ridge(
        alpha=1e-9, solver__max_iter=20, basis__n_inducing=10, charge_weight=charge_weight
    )
    model.fit(described, y)
    dipole_term = np.mean((model.predict(described) - y) ** 2)
    charge_term = np.mean((model.predict_charges(described) - described.charges) ** 2)
    expected = dipole_term + charge_weight * charge_term
    assert model.objective_ == pytest.approx(expected, rel=1e-3)


def test_it_learns(coarse_soap: SOAPTransformer, described: Molecules) -> None:
    y = described.dipole_magnitude
    model = ridge(basis__n_inducing=120, alpha=1e-4).fit(described[:30], y[:30])
    error = np.abs(model.predict(described[30:]) - y[30:]).mean()
    assert error < 0.75 * np.abs(y[30:] - np.median(y[:30])).mean()
    assert np.abs(model.predict(described[:30]) - y[:30]).mean() < 0.1


# Predictions


def test_parts_of_a_prediction_agree(described: Molecules, fitted: DipoleKernelRidge) -> None:
    charges, vectors = fitted.predict_charges(described), fitted.predict_dipole(described)
    np.testing.assert_allclose(molecule_sums(charges, described.offsets), 0, atol=1e-12)
    np.testing.assert_array_equal(vectors, dipoles(charges, described))
    np.testing.assert_array_equal(fitted.predict(described), np.linalg.norm(vectors, axis=1))


@pytest.mark.parametrize("part", [[3], [39, 0, 17], slice(10, 30), slice(None, None, 2)], ids=repr)
def test_a_subset_is_predicted_alike(
    described: Molecules, fitted: DipoleKernelRidge, part: Any
) -> None:
    np.testing.assert_allclose(
        fitted.predict_dipole(described[part]), fitted.predict_dipole(described)[part], atol=1e-5
    )
    np.testing.assert_allclose(
        fitted.predict_charges(described[part]),
        fitted.predict_charges(described)[described.atom_index(part)],
        atol=1e-5,
    )


def test_pieces_do_not_show(
    described: Molecules, fitted: DipoleKernelRidge, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted.predict_dipole(described)
    monkeypatch.setattr(dipkit.learning.blocking, "PIECE_ATOMS", 100)
    np.testing.assert_allclose(fitted.predict_dipole(described), whole, atol=1e-5)


def test_predictions_never_read_labels(described: Molecules, fitted: DipoleKernelRidge) -> None:
    wrong = unlabelled(described).replace(dipole_magnitude=np.full(len(described), 99.0))
    for molecules in (wrong, unlabelled(described)):
        np.testing.assert_array_equal(
            fitted.predict_dipole(molecules), fitted.predict_dipole(described)
        )


def test_molecules_may_be_moved_and_turned(
    coarse_soap: SOAPTransformer, described: Molecules, fitted: DipoleKernelRidge
) -> None:
    model = Pipeline([("soap", coarse_soap), ("ridge", fitted)])
    rotation = Rotation.random(random_state=1).as_matrix()
    bare = unlabelled(described[:8])
    moved = bare.replace(positions=bare.positions @ rotation.T + [3.0, -2.0, 1.0])
    expected, found = coarse_soap.transform(bare), coarse_soap.transform(moved)
    np.testing.assert_allclose(
        fitted.predict_dipole(found), fitted.predict_dipole(expected) @ rotation.T, atol=1e-4
    )
    np.testing.assert_allclose(
        fitted.predict_charges(found), fitted.predict_charges(expected), atol=1e-5
    )
    np.testing.assert_allclose(model.predict(moved), model.predict(bare), atol=1e-4)


def test_atoms_may_come_in_any_order(
    coarse_soap: SOAPTransformer, described: Molecules, fitted: DipoleKernelRidge
) -> None:
    bare = unlabelled(described[:8])
    rng = np.random.default_rng(0)
    order = np.concatenate([a + rng.permutation(b - a) for a, b in pairwise(bare.offsets)])
    shuffled = bare.replace(numbers=bare.numbers[order], positions=bare.positions[order])
    expected, found = coarse_soap.transform(bare), coarse_soap.transform(shuffled)
    np.testing.assert_allclose(
        fitted.predict_charges(found), fitted.predict_charges(expected)[order], atol=1e-5
    )
    np.testing.assert_allclose(
        fitted.predict_dipole(found), fitted.predict_dipole(expected), atol=1e-4
    )


def test_molecules_may_come_in_any_order_in_fit(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = described[:15]
    fix_environments(monkeypatch, few)
    order = np.random.default_rng(0).permutation(15)
    models = [ridge(solver__tol=1e-9).fit(part) for part in (few, few[order])]
    np.testing.assert_allclose(
        models[0].predict_dipole(few), models[1].predict_dipole(few), atol=2e-3
    )


def test_charged_molecules_keep_their_charge(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3))
    y = np.random.default_rng(0).random(6)
    model = ridge().fit(molecules, y)
    sums = molecule_sums(model.predict_charges(molecules), molecules.offsets)
    np.testing.assert_allclose(sums, molecules.total_charge, atol=1e-12)
    assert molecules.total_charge.any()


# Labels


def test_arguments_equal_labels_on_the_molecules(described: Molecules) -> None:
    few = described[:15]
    riding = ridge().fit(magnitudes_only(few))
    bare = unlabelled(few)
    for charges in (few.charges, few.charges.tolist(), charge_list(few)):
        given = ridge().fit(bare, few.dipole_magnitude.tolist(), charges=charges)
        assert_same_model(given, riding)
        assert given.label_summary_ == riding.label_summary_
    vectors = ridge().fit(bare, few.dipole_vector, charges=few.charges)
    assert_same_model(vectors, ridge().fit(few))
    assert vectors.label_summary_["n_vectors"] == 15


def test_arguments_go_before_labels_on_the_molecules(described: Molecules) -> None:
    few = described[:15]
    y = few.dipole_magnitude[::-1].copy()
    zero = np.zeros(few.n_atoms)
    assert_same_model(
        ridge().fit(few, y, charges=zero), ridge().fit(unlabelled(few), y, charges=zero)
    )


def test_vectors_and_magnitudes_mix(described: Molecules) -> None:
    vectors = np.where(np.arange(40)[:, None] < 10, described.dipole_vector, np.nan)
    magnitudes = np.where(np.arange(40) < 35, described.dipole_magnitude, np.nan)
    molecules = unlabelled(described).replace(dipole_magnitude=magnitudes, dipole_vector=vectors)
    model = ridge(basis__n_inducing=100, alpha=1e-5).fit(molecules)
    assert model.label_summary_["n_vectors"] == 10
    assert model.label_summary_["n_magnitudes"] == 25
    off = np.linalg.norm(model.predict_dipole(described[:10]) - vectors[:10], axis=1)
    assert off.mean() < 0.2


@pytest.mark.parametrize("precision", ["auto", "double", "single"])
def test_the_order_of_sums_shows_in_single_precision_only(
    described: Molecules, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    # As on another processor, or on a GPU. The environments are chosen again.
    model = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=150, precision=precision), device="cpu"
    )
    expected = model.fit(described).predict_dipole(described)
    same_model = clone(model).fit(described)
    monkeypatch.setattr(dipkit.learning.kernels, "dot", lambda x, z, _: x[:, ::-1] @ z[:, ::-1].T)
    scale = np.abs(expected).max()
    # Scales of small weight are predicted in single precision unless double is asked for.
    rounding = 1e-8 if precision == "double" else 1e-4
    assert np.abs(same_model.predict_dipole(described) - expected).max() < rounding * scale
    fitted_again = (
        model.fit(described).set_params(basis__precision="double").predict_dipole(described)
    )
    off = np.abs(
        fitted_again - same_model.set_params(basis__precision="double").predict_dipole(described)
    )
    assert off.max() > 1e-6 * scale if precision == "single" else off.max() < 1e-7 * scale
    assert {scale.dtype for scale in model.inducing_features_} == {np.dtype(np.float16)}


def test_large_sets_are_fitted_in_single_precision() -> None:
    sizes = 1, DOUBLE_MOLECULES, DOUBLE_MOLECULES + 1
    assert [is_double("auto", n, NUMPY) for n in sizes] == [1, 1, 0]
    assert is_double("double", 10**6, NUMPY)
    assert not is_double("single", 1, NUMPY)


def fix_environments(monkeypatch: pytest.MonkeyPatch, molecules: Molecules) -> None:
    """Let every fit use the environments of these molecules."""
    chosen = choose_environments(molecules, 40, PowerKernel(), np.random.default_rng(0))
    monkeypatch.setattr(dipkit.estimator.fit, "choose_environments", lambda *_: chosen)


@pytest.mark.parametrize("alpha", [0.1, "auto"])
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_integer_weights_are_repeated_molecules(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch, loss: str, alpha: float | str
) -> None:
    # Short descriptors: their products in float32 hardly depend on how many are taken at once.
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4, 5, 3, 3, 2))
    rng = np.random.default_rng(0)
    charges = conserve_charge(rng.standard_normal(molecules.n_atoms), molecules)
    molecules = molecules.replace(dipole_magnitude=3 * rng.random(12), charges=charges)
    fix_environments(monkeypatch, molecules)
    times = np.array([1, 2, 3, 0, 1, 1, 2, 1, 0, 1, 1, 2])
    model = ridge(
        loss=loss, charge_weight=0.1, alpha=alpha, solver__tol=1e-12, basis__eigenvalue_cut=1e-5
    )
    weighted = clone(model).fit(molecules, sample_weight=times)
    repeated = clone(model).fit(molecules[np.repeat(np.arange(12), times)])
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-6)
    found, expected = (fit.predict_dipole(molecules) for fit in (weighted, repeated))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    plain = clone(model).fit(molecules)
    assert np.abs(found - plain.predict_dipole(molecules)).max() > 0.01


def test_weights_are_relative(described: Molecules) -> None:
    few = described[:12]
    weight = np.random.default_rng(0).random(12)
    one, other = (ridge().fit(few, sample_weight=scale * weight) for scale in (1.0, 8.0))
    np.testing.assert_allclose(one.dual_coef_, other.dual_coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:dipole labels. 1 of 40 is larger than the molecule can have")
@pytest.mark.parametrize("loss", ["huber", "absolute"])
def test_one_wrong_label_changes_little(described: Molecules, loss: str) -> None:
    y = described.dipole_magnitude.copy()
    y[7] += 30.0
    rest = np.arange(40) != 7

    def error(loss: str | Loss) -> float:
        # Few environments: a model that could fit the wrong label as well would show nothing.
        model = ridge(loss=loss, basis__n_inducing=25, solver__tol=1e-3)
        predicted = model.fit(described, y).predict(described)
        return float(np.abs(predicted - y)[rest].mean())

    assert error(HuberLoss(0.1) if loss == "huber" else loss) < 0.6 * error("squared")


# Parameters


def test_random_starts_keep_the_lowest(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, found = described[:15], []
    solve = dipkit.estimator.minimum._solve

    def record(*args: Any) -> Any:
        result = solve(*args)
        found.append(result.objective)
        return result

    monkeypatch.setattr(dipkit.estimator.minimum, "_solve", record)
    random = {"start": "random", "solver__tol": 1e-3, "charge_weight": 0.0, "random_state": 1}
    y = few.dipole_magnitude
    objectives = [ridge(start__n_restarts=n, **random).fit(few, y).objective_ for n in (1, 2, 4)]
    assert objectives == found
    assert objectives[0] >= objectives[1] >= objectives[2]
    assert objectives[2] < objectives[0]


def test_random_state(described: Molecules) -> None:
    few, y = described[:10], described.dipole_magnitude[:10]

    def fit(random_state: Any) -> np.ndarray:
        model = ridge(
            start="random", random_state=random_state, solver__tol=1e-2, basis__n_inducing=20
        )
        return model.fit(few, y).dual_coef_

    np.testing.assert_array_equal(fit(3), fit(3))
    np.testing.assert_array_equal(fit(None), fit(None))
    np.testing.assert_array_equal(fit(np.random.RandomState(3)), fit(np.random.RandomState(3)))
    assert np.abs(fit(3) - fit(4)).max() > 1e-6


@pytest.mark.parametrize("kernel", [GaussianKernel(2.0), PowerKernel(4)], ids=str)
def test_kernels_can_be_chosen(described: Molecules, kernel: Any) -> None:
    few = described[:15]
    model = ridge(basis__kernel=kernel).fit(few)
    assert model.kernel_.get_params() == kernel.get_params()
    assert np.abs(model.predict(few) - ridge().fit(few).predict(few)).max() > 1e-4


def test_charges_give_the_start_even_without_weight(described: Molecules) -> None:
    few, y = described[:15], described.dipole_magnitude[:15]
    with_charges, guessed = (
        ridge(charge_weight=0.0, start=start, auxiliary=None).fit(few, y)
        for start in ("auto", "electronegativity")
    )
    assert with_charges.charge_weight_ == 0.0
    assert with_charges.history_[0] != guessed.history_[0]
    assert_same_model(ridge().fit(unlabelled(few), y), guessed)


def test_charges_of_molecules_without_dipoles_count(described: Molecules) -> None:
    y = np.where(np.arange(40) < 10, described.dipole_magnitude, np.nan)
    molecules = unlabelled(described).replace(dipole_magnitude=y, charges=described.charges)
    many = ridge(charge_weight=10.0, basis__n_inducing=150).fit(molecules)
    few = ridge(charge_weight=10.0, basis__n_inducing=150).fit(molecules[:10])

    def error(model: DipoleKernelRidge) -> float:
        return float(np.abs(model.predict_charges(described) - described.charges).mean())

    assert error(many) < 0.7 * error(few)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_more_charge_weight_fits_charges_better(described: Molecules, loss: str) -> None:
    few = magnitudes_only(described[:15])
    errors = [
        np.mean(
            (
                ridge(charge_weight=c, loss=loss, solver__tol=1e-3).fit(few).predict_charges(few)
                - few.charges
            )
            ** 2
        )
        for c in (0.01, 1.0, 100.0)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_default_number_of_environments(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(3, 4, 5, 2))
    assert default_n_inducing(molecules) == molecules.n_atoms
    model = ridge(basis__n_inducing=None, charge_weight=0).fit(molecules, np.ones(len(molecules)))
    assert len(model.dual_coef_) == molecules.n_atoms


@pytest.mark.filterwarnings("ignore:.*single atoms.*")
def test_single_atoms(toy: Callable[..., Molecules]) -> None:
    molecules = toy(charged=False)
    assert (molecules.natoms == 1).sum() == 1
    model = ridge().fit(molecules, np.ones(len(molecules)))
    single = molecules[molecules.natoms == 1]
    np.testing.assert_array_equal(model.predict(single), 0.0)
    np.testing.assert_allclose(model.predict_charges(single), 0.0, atol=1e-15)


def test_default_model() -> None:
    model = default_model(alpha=0.5)
    assert model[-1].alpha == 0.5
    assert [type(step) for _, step in model.steps] == [SOAPTransformer, DipoleKernelRidge]


# scikit-learn's tools, on lists of ASE Atoms

TINY = (SOAPScale(2.2, 3, 2, 0.3, "gto", 1.0), SOAPScale(3.5, 2, 1, 0.5, "gto", 0.05))


@pytest.fixture(scope="module")
def frames(described: Molecules) -> list[Atoms]:
    frames: list[Atoms] = to_atoms(unlabelled(described[:16]))
    return frames


def pipeline(**parameters: Any) -> Pipeline:
    soap = SOAPTransformer(TINY, species=["H", "C", "N", "O", "F"], n_jobs=1)
    return make_pipeline(
        soap,
        ridge(basis__n_inducing=40, solver__tol=1e-3, basis__kernel=PowerKernel(), **parameters),
    )


def test_cross_validation_with_labels_on_the_molecules(described: Molecules) -> None:
    riding = to_atoms(magnitudes_only(described[:16]))
    scores = cross_validate(
        pipeline(), riding, described.dipole_magnitude[:16], cv=2, error_score="raise"
    )
    assert np.isfinite(scores["test_score"]).all()


def test_a_pipeline_scores(described: Molecules, frames: list[Atoms]) -> None:
    from sklearn.metrics import r2_score

    y = described.dipole_magnitude[:16]
    model = pipeline().fit(frames, y)
    expected = r2_score(y, model.predict(frames))
    assert model.score(frames, y) == pytest.approx(expected)
    assert model.score(described[:16].replace(features=None)) == pytest.approx(expected)
    # Other labels than those of fit, which the model reproduces: else no weight would matter.
    weight, vectors = (
        np.arange(16.0),
        described.dipole_vector[:16] * np.linspace(0.5, 2, 16)[:, None],
    )
    other = np.linalg.norm(vectors, axis=1)
    ours = model[-1].score(model[0].transform(frames), vectors, sample_weight=weight)
    expected = r2_score(other, model.predict(frames), sample_weight=weight)
    assert ours == pytest.approx(expected, rel=1e-9)
    assert abs(ours - r2_score(other, model.predict(frames))) > 0.02


def test_score_leaves_out_molecules_without_a_magnitude(
    described: Molecules, fitted: DipoleKernelRidge
) -> None:
    some = np.where(np.arange(40) < 30, described.dipole_magnitude, np.nan)
    mixed = unlabelled(described).replace(dipole_magnitude=some)
    assert fitted.score(mixed) == pytest.approx(fitted.score(described[:30]), abs=1e-4)
    weight = np.arange(1.0, 41.0)
    expected = fitted.score(described[:30], sample_weight=weight[:30])
    assert fitted.score(mixed, sample_weight=weight) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InputError, match="no dipole label found"):
        fitted.score(unlabelled(described))


def test_grid_search_tunes_every_level(described: Molecules, frames: list[Atoms]) -> None:
    grid = [
        {"dipolekernelridge__alpha": [1e-3, 1e3]},
        {"dipolekernelridge__basis__kernel__degree": [2, 4]},
        {"soaptransformer__scale0__weight": [0.01, 1.0]},
        {"dipolekernelridge__charge_weight": ["auto", 0.0]},
    ]
    y = described.dipole_magnitude[:16]
    search = GridSearchCV(
        pipeline(), grid, cv=2, scoring="neg_mean_absolute_error", error_score="raise"
    ).fit(frames, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores[:6])) >= 5  # each choice counts, "auto" and 0 are the same here
    assert scores[6] == scores[7]
    assert search.predict(frames).shape == (16,)


def test_charges_and_weights_are_routed(described: Molecules, frames: list[Atoms]) -> None:
    few, y = described[:16], described.dipole_magnitude[:16]
    charges, weight = charge_list(few), np.linspace(0.2, 2.0, 16)
    cv = KFold(2)
    with sklearn.config_context(enable_metadata_routing=True):
        model = pipeline()
        model[-1].set_fit_request(charges=True, sample_weight=True)
        model[-1].set_score_request(sample_weight=True)
        result = cross_validate(
            model,
            frames,
            y,
            params={"charges": charges, "sample_weight": weight},
            cv=cv,
            return_estimator=True,
            error_score="raise",
        )
    for found, (train, _) in zip(result["estimator"], cv.split(y), strict=True):
        soap, estimator = found[0], found[-1]
        direct = clone(estimator).fit(
            soap.transform([frames[i] for i in train]),
            y[train],
            charges=[charges[i] for i in train],
            sample_weight=weight[train],
        )
        assert estimator.label_summary_["n_charges"] == len(train)
        assert_same_model(estimator, direct)


# Errors


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0.0}, "alpha: expected a number > 0, got 0.0"),
        ({"alpha": "strong"}, "alpha: expected a number > 0, got 'strong'"),
        ({"alpha": np.nan}, "alpha: expected a number > 0, got nan"),
        ({"solver__tol": -1e-3}, "tol: expected a number > 0"),
        ({"basis__eigenvalue_cut": 0}, "eigenvalue_cut: expected a number > 0"),
        ({"basis__eigenvalue_cut": 1.0}, "eigenvalue_cut: expected a share below 1, got 1.0"),
        ({"basis__precision": "half"}, "precision: expected one of .*'auto'.*, got 'half'"),
        ({"random_state": -1}, "random_state: expected None, a whole number .*got -1"),
        ({"random_state": "x"}, "random_state: expected None, a whole number .*got 'x'"),
        ({"basis__n_inducing": True}, "n_inducing: expected an integer >= 1, got True"),
        ({"solver__max_iter": 0}, "max_iter: expected an integer >= 1, got 0"),
        ({"solver__max_iter": 2.5}, "max_iter: expected an integer >= 1, got 2.5"),
        ({"start": "random", "start__n_restarts": 0}, "n_restarts: expected an integer >= 1"),
        ({"solver__memory": -1}, "memory: expected an integer >= 0"),
        ({"basis__n_inducing": 0}, "n_inducing: expected an integer >= 1, got 0"),
        ({"charge_weight": -1.0}, "charge_weight: expected a number >= 0, got -1.0"),
        ({"charge_weight": "none"}, "charge_weight: expected a number >= 0, got 'none'"),
        (
            {"solver__annealing": 10.0},
            'annealing: expected "auto" or a sequence of multiples of alpha, got 10.0',
        ),
        ({"solver__annealing": None}, "annealing: expected .auto. or a sequence"),
        ({"solver__annealing": (10.0, -1.0)}, "annealing: expected a number > 0, got -1.0"),
        ({"start": "mulliken"}, "start: expected one of .*electronegativity.*, got 'mulliken'"),
        (
            {"basis__kernel": "rbf"},
            r"kernel: expected None or an object of class EnvironmentKernel, got 'rbf'",
        ),
        ({"basis__kernel": PowerKernel(0)}, "degree: expected a number"),
        ({"loss": "l2"}, 'loss: expected "squared"'),
        ({"basis__kernel": PowerKernel("steep")}, "degree: expected a number"),
        ({"basis__kernel": GaussianKernel("wide")}, "gamma: expected a positive number"),
        ({"loss": "huber", "loss__threshold": 0}, "threshold: expected a finite"),
        ({"loss": "huber", "loss__threshold": np.inf}, "threshold: expected a finite"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parameters_that_cannot_be_used(
    toy: Callable[..., Molecules], parameters: dict[str, Any], message: str
) -> None:
    molecules = toy(sizes=(3, 4))
    with pytest.raises(InputError, match=message):
        DipoleKernelRidge().set_params(**parameters).fit(molecules, [1.0, 2.0])


def test_unknown_device(toy: Callable[..., Molecules]) -> None:
    with pytest.raises(DeviceError, match="device: expected one of"):
        ridge(device="tpu").fit(toy(sizes=(3, 4)), [1.0, 2.0])


@pytest.mark.parametrize("method", ["fit", "predict", "predict_dipole", "predict_charges", "score"])
def test_molecules_must_be_described(
    toy: Callable[..., Molecules], fitted: DipoleKernelRidge, method: str
) -> None:
    bare = toy(sizes=(3, 4)).replace(features=None, dipole_magnitude=[1.0, 2.0])
    with pytest.raises(InputError, match=r"X: expected Molecules described by .* without features"):
        getattr(clone(fitted) if method == "fit" else fitted, method)(bare)
    with pytest.raises(InputError, match=r"X: expected Molecules described .*, got list"):
        getattr(clone(fitted) if method == "fit" else fitted, method)([1, 2])


def test_no_molecules(toy: Callable[..., Molecules]) -> None:
    with pytest.raises(InputError, match=r"X: expected at least one molecule, got none"):
        ridge().fit(toy()[:0])


def test_prediction_needs_a_fit(toy: Callable[..., Molecules]) -> None:
    with pytest.raises(NotFittedError):
        ridge().predict(toy())


def test_unseen_elements_are_named(toy: Callable[..., Molecules]) -> None:
    model = ridge().fit(toy(sizes=(3, 4, 5)), [1.0, 2.0, 0.5])
    other = toy(sizes=(3, 4, 5), elements=(1, 6, 17))
    with pytest.raises(InputError, match=r"X: elements Cl \(first in molecule .*of fit: H, C, O"):
        model.predict(other)


def test_other_descriptors_are_refused(toy: Callable[..., Molecules]) -> None:
    model = ridge().fit(toy(sizes=(3, 4, 5)), [1.0, 2.0, 0.5])
    for widths in ((6, 5), (6,)):
        with pytest.raises(InputError, match=r"X: descriptors have .* columns, those of fit had"):
            model.predict(toy(sizes=(3, 4, 5), widths=widths))


def test_no_dipole_label(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(3, 4)).replace(source_keys=("energy", "forces"))
    with pytest.raises(InputError, match=r"(?s)dipole.*energy"):
        ridge().fit(molecules)


def test_charge_weight_without_charges_says_how_to_go_on(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(3, 4)).replace(source_keys=("energy",))
    with pytest.raises(
        InputError, match=r"charge_weight: 0.5 needs charge labels.*mulliken.*energy.*\"auto\" or 0"
    ):
        ridge(charge_weight=0.5).fit(molecules, [1.0, 2.0])
    with pytest.raises(InputError, match=r'start: "charges" needs charge labels.*"auto"'):
        ridge(start="charges").fit(molecules, [1.0, 2.0])


def test_charges_of_weight_zero_are_no_charges(described: Molecules) -> None:
    few = described[:4]
    charges = np.where(few.molecule_index == 0, few.charges, np.nan)
    with pytest.raises(InputError, match="charge_weight: 1 needs charge labels"):
        ridge(charge_weight=1.0).fit(
            unlabelled(few).replace(charges=charges),
            few.dipole_magnitude,
            sample_weight=[0, 1, 1, 1],
        )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0], r"y: expected shape \(3,\).*or \(3, 3\).*3 molecules; got \(1,\)"),
        ([[1.0, 2.0]] * 3, r"y: expected shape .* got \(3, 2\)"),
        ([1.0, np.nan, 2.0], "y: expected finite debye, got nan for molecule 1. Leave y out"),
        ([[0, 0, 1.0], [0, np.inf, 0], [0, 0, 1]], r"y: expected finite debye.*for molecule 1"),
        ([1.0, 2.0, -0.5], "y: a magnitude cannot be negative, got -0.5 D for molecule 2"),
        (["a", "b", "c"], "y: expected numbers in debye, got text"),
    ],
    ids=str,
)
def test_dipoles_that_cannot_be_used(toy: Callable[..., Molecules], y: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ridge().fit(toy(sizes=(3, 4, 2)), y)


@pytest.mark.parametrize(
    ("charges", "message"),
    [
        ([0.0] * 8, r"charges: expected 9 \(one for each atom, .*3 molecules, got 8 numbers"),
        ([[0.0] * 3, [0.0] * 4], "charges: expected 3 arrays, got 2"),
        ([[0.0] * 3, [0.0] * 3, [0.0] * 2], r"molecule 1 \(1\) has 4 atoms, got 3 charges"),
        ([0.5, 0.5] + [0.0] * 7, "sum to 1 e: expected its total charge 0"),
        ([np.inf] + [0.0] * 8, "charges: expected finite values"),
        ([np.nan] * 3 + [0.0] * 6, "charges: expected finite"),
        ([np.nan] + [0.0] * 8, "charges: expected finite"),
        (["a"] * 9, "charges: expected numbers"),
        ([["a"] * 3, ["a"] * 4, ["a"] * 2], "charges: expected numbers"),
        (0.0, "charges: expected"),
        ([[0.0] * 3, 0.0, [0.0] * 2], r"molecule 1 \(1\) has 4 atoms, got 1 charges"),
    ],
    ids=str,
)
def test_charges_that_cannot_be_used(
    toy: Callable[..., Molecules], charges: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ridge().fit(toy(sizes=(3, 4, 2), charged=False), [1.0, 2.0, 0.5], charges=charges)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], r"sample_weight: expected 3 finite numbers >= 0, got shape \(2,\)"),
        ([1.0, -1.0, 1.0], "sample_weight: .* with minimum -1"),
        ([1.0, np.nan, 1.0], "sample_weight: expected 3 finite numbers"),
        ([0.0, 0.0, 0.0], "sample_weight: expected a positive weight .* got weight 0 for each"),
        ([], "sample_weight: expected 3 finite"),
        ("heavy", "sample_weight: expected numbers, got text"),
    ],
    ids=str,
)
def test_weights_that_cannot_be_used(
    toy: Callable[..., Molecules], weight: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ridge().fit(toy(sizes=(3, 4, 2)), [1.0, 2.0, 0.5], sample_weight=weight)


def test_single_atoms_give_a_warning(toy: Callable[..., Molecules]) -> None:
    with pytest.warns(UserWarning, match="1 of 4 molecules are single atoms") as caught:
        ridge().fit(toy(sizes=(3, 1, 4, 2)), [1.0, 0.0, 2.0, 0.5])
    assert caught[0].filename == __file__


def test_single_atoms_alone_are_refused(toy: Callable[..., Molecules]) -> None:
    with pytest.raises(InputError, match=r"X: expected .*only single atoms.* nothing to learn"):
        ridge().fit(toy(sizes=(1, 1, 1)), [0.0, 0.0, 0.0])
    # Nor where the others have no label.
    mixed = toy(sizes=(3, 1, 1)).replace(dipole_magnitude=[np.nan, 0.0, 0.0])
    with pytest.raises(InputError, match="single atom"):
        ridge().fit(mixed)


def test_too_few_iterations_give_a_warning(described: Molecules) -> None:
    with pytest.warns(ConvergenceWarning, match=r"Stopped at max_iter.*max_iter=1") as caught:
        model = ridge(solver__max_iter=1).fit(described[:10], described.dipole_magnitude[:10])
    assert caught[0].filename == __file__
    assert not model.converged_
    assert len(model.history_) == 2


def test_memory_that_does_not_suffice(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.support.backend.Backend, "free_memory", lambda self: 1000)
    with pytest.raises(InputError, match="memory_budget: 2 molecules with"):
        ridge().fit(toy(sizes=(3, 4)), [1.0, 2.0])
