"""Tables of a fitted model: what was given, and what the fit made of it."""

import pytest
from sklearn.pipeline import make_pipeline

from dipkit.estimator.baseline import GivenBaseline
from dipkit.estimator.parameters import InducingBasis, RandomStart
from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.report import model_facts


def used(ridge) -> dict[str, list[object]]:
    return {row[0]: list(row[1:]) for row in model_facts.used_table(ridge).rows}


def test_what_auto_became(described) -> None:
    ridge = DipoleKernelRidge().fit(described)
    rows = used(ridge)
    assert rows["alpha, D²"] == ["auto", f"{0.02 / 40:.4g}"]
    assert rows["charge weight λ, D²/e²"] == ["auto", "0.001"]
    assert rows["start of the iterations"] == ["auto", "charges"]
    assert rows["precision of the fit"] == ["auto", "double"]
    given, environments = rows["inducing environments"]
    assert given == "not given"
    assert environments.startswith(f"{len(ridge.inducing_numbers_):,} (H ")
    assert "baseline" not in rows
    # Every label is a vector: directions are known.
    assert rows["auxiliary dipoles"] == ["auto", "none"]
    magnitudes = described.replace(dipole_vector=None)
    assert used(DipoleKernelRidge().fit(magnitudes))["auxiliary dipoles"] == ["auto", "charges"]


def test_without_charges_the_start_is_another(described) -> None:
    bare = described.replace(charges=None)
    rows = used(DipoleKernelRidge().fit(bare))
    assert rows["start of the iterations"] == ["auto", "electronegativity"]
    assert rows["charge weight λ, D²/e²"] == ["auto", "0"]
    assert rows["auxiliary dipoles"] == ["auto", "none"]


def test_what_was_given_is_shown(described) -> None:
    basis = InducingBasis(n_inducing=50, precision="single")
    ridge = DipoleKernelRidge(alpha=1e-3, basis=basis, start=RandomStart()).fit(described)
    rows = used(ridge)
    assert rows["alpha, D²"] == ["0.001", "0.001"]
    assert rows["start of the iterations"] == ["RandomStart", "RandomStart"]
    assert rows["precision of the fit"] == ["single", "single"]
    assert rows["inducing environments"][0] == "50"


@pytest.mark.parametrize("baseline", ["given", GivenBaseline()])
def test_baseline(described, baseline) -> None:
    ridge = DipoleKernelRidge(baseline=baseline).fit(described)
    rows = used(ridge)
    assert rows["start of the iterations"] == ["auto", "zero"]
    assert rows["baseline"][1] == f"times {ridge.baseline_factor_:.4g}"


def test_all_parameters(described) -> None:
    model = make_pipeline(DipoleKernelRidge(alpha=3e-4).fit(described))
    rows = dict(model_facts.parameter_table(model).rows)
    assert rows["DipoleKernelRidge.alpha"] == "0.0003"
    assert rows["DipoleKernelRidge.solver__max_iter"] == "500"
    fit = dict(model_facts.fit_table(model[-1]).rows)
    assert fit["training molecules"] == "40"
    assert fit["end of the fit"] == model[-1].status_
