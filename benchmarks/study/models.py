"""One fit on QM9 and its errors: the experiment behind most figures of the study.

A configuration names what the training molecules carry (charges of a kind, cheap vectors, further
molecules without a label), the parameters of the model, and the molecules that it predicts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from dipkit import DipoleKernelRidge, Molecules, PowerKernel
from dipkit.descriptors.scales import MANY_MOLECULES
from dipkit.estimator.auxiliary import AUTO_ERRORS, GFN2_FACTOR
from dipkit.estimator.baseline import mixed
from dipkit.estimator.metrics import error_report
from dipkit.estimator.pipeline import BASELINE_DEGREE

from . import cheap, equilibration
from .material import LABELLED, MOST_IN_MEMORY, Material
from .runner import Unit

Config = dict[str, Any]
Arrays = dict[str, Any]
N_TEST, N_VALIDATION = 1000, 500
# The default baseline.
BOTH = "gfn2 + ipea1"


def qm9_unit(
    n: int,
    draw: int,
    *,
    charges: str = "none",
    vectors: str | None = None,
    more: int = 0,
    baseline: str | None = None,
    ridge: Mapping[str, Any] | None = None,
    equilibrated: bool = False,
    also: tuple[str, ...] = (),
    n_test: int = N_TEST,
    tier: int = 0,
) -> Unit:
    """Describe one fit.

    Parameters
    ----------
    n, draw : int
        Molecules with a magnitude, and which ones.
    charges : str, default="none"
        Kind of the charges that these molecules carry, see `Material.charges`.
    vectors : {None, "gfn2"}, default=None
        Cheap vectors of all training molecules.
    more : int, default=0
        Molecules without a label besides; they have the vectors, and no charges.
    baseline : {None, "gfn2", "gfn2 + ipea1"}, default=None
        What the model corrects: GFN2-xTB alone, or with IPEA1-xTB as `GFN2Baseline` does.
    ridge : mapping, default=None
        Parameters of `DipoleKernelRidge` other than the defaults.
    equilibrated : bool, default=False
        Whether raw charges are electronegativities, as in kQEq.
    also : tuple of {"probe", "organics", "validation"}
        What is predicted besides the test molecules.
    n_test : int, default=N_TEST
    tier : int, default=0
    """
    config = {
        "n": n,
        "draw": draw,
        "charges": charges,
        "vectors": vectors,
        "more": more,
        "scales": "baseline" if baseline else None,
        "ridge": dict(ridge or {}),
        "equilibrated": equilibrated,
        "also": sorted(also),
        "n_test": n_test,
    }
    if baseline == BOTH:
        config["second_method"] = "ipea1"
    return Unit("qm9", config, tier)


def run_qm9(material: Material, config: Config) -> tuple[dict[str, Any], Arrays]:
    """Fit on molecules of a draw, and predict test molecules and others.

    Returns
    -------
    figures : dict
        Errors of the test molecules, debye, and what they took; errors of the validation molecules.
    arrays : dict
        Predictions.
    """
    draw, n_test = config["draw"], config["n_test"]
    labelled, tested = material.labelled(draw, config["n"]), material.test(draw, n_test)
    train = training_molecules(material, config, labelled, f"train {draw}")
    test = predicted_molecules(material, config, tested, f"test {draw} {n_test}")
    with equilibration.replaced() if config["equilibrated"] else nullcontext():
        model, figures, arrays = fit_and_test(material, config, train, test)
        if config["n"] == LABELLED:
            # The worst of these molecules are looked at one by one.
            arrays["dipole"] = np.asarray(model.predict_together(test)[1], np.float32)
        for name in config["also"]:
            more, kept = _also(name, model, material, config)
            figures |= more
            arrays |= kept
    return figures, arrays


def prepare_qm9(material: Material, config: Config) -> None:
    """Calculate the cheap labels of a fit, and nothing else."""
    draw, baseline = config["draw"], _scales(config) == "baseline"
    labelled = material.labelled(draw, config["n"])
    material.charges(config["charges"], labelled, draw)
    if baseline or config["vectors"] is not None:
        material.gfn2(labelled, draw)
    if config["more"]:
        material.gfn2(material.unlabelled(draw, config["n"], config["more"]), draw)
    second = "second_method" in config
    if second:
        material.ipea1(labelled, draw)
    if baseline:
        predicted = [material.test(draw, config["n_test"])]
        predicted += [material.probe()] if "probe" in config["also"] else []
        for indices in predicted:
            material.gfn2(indices)
            if second:
                material.ipea1(indices)


def fit_and_test(
    material: Material, config: Config, train: Molecules, test: Molecules
) -> tuple[DipoleKernelRidge, dict[str, Any], Arrays]:
    """Fit one model and predict the test molecules."""
    model = _model_of(material, config)
    start = time.process_time()
    model.fit(train)
    fitted = time.process_time()
    predicted = np.asarray(model.predict(test))
    done = time.process_time()
    report = error_report(test.dipole_magnitude, predicted)
    figures = {
        "mae": report["mae_debye"],
        **report,
        "fit_seconds": fitted - start,
        "predict_ms": 1000 * (done - fitted) / len(test),
        "iterations": int(model.n_iter_),
        "status": str(model.status_),
        "environments": len(model.dual_coef_),
    }
    return model, figures, {"magnitude": predicted.astype(np.float32)}


def _model_of(material: Material, config: Config) -> DipoleKernelRidge:
    model = DipoleKernelRidge(device=material.device, random_state=config["draw"])
    # JSON has lists where parameters are tuples.
    ridge = config["ridge"].items()
    model.set_params(**{k: tuple(v) if isinstance(v, list) else v for k, v in ridge})
    if config["scales"] == "baseline":
        model.set_params(baseline="given", basis__kernel=PowerKernel(BASELINE_DEGREE))
    elif config["vectors"] is not None:
        # The molecules carry them, so that all fits of a draw share one calculation.
        errors = AUTO_ERRORS["gfn2"]
        model.set_params(auxiliary="given")
        model.set_params(auxiliary__discrepancy=errors.discrepancy, auxiliary__noise=errors.noise)
    if config["equilibrated"]:
        model.set_params(basis__compensation="bonds", basis__bond_charges=0.0)
    return model


def _scales(config: Config) -> str | None:
    """Scales of the descriptors, as `Material.transformer` names them."""
    many = config["n"] + config["more"] > MANY_MOLECULES
    return "many" if many and config["scales"] is None else config["scales"]


def training_molecules(
    material: Material, config: Config, labelled: np.ndarray, name: str
) -> Molecules:
    """Return training molecules with what they carry, described.

    Parameters
    ----------
    material : Material
    config : dict
    labelled : ndarray of shape (n,)
        Molecules with a magnitude.
    name : str
        Of the set whose first molecules these are.
    """
    draw, n, more = config["draw"], config["n"], config["more"]
    molecules = material.pool[labelled]
    molecules = molecules.replace(charges=material.charges(config["charges"], labelled, draw))
    # Either all of them are in memory, or none.
    on_demand = n + more > MOST_IN_MEMORY
    described = material.described(name, molecules, _scales(config), on_demand)
    if config["scales"] == "baseline" or config["vectors"] is not None:
        described = _with_gfn2(described, labelled, material, config, draw)
    if not more:
        return described
    others = material.unlabelled(draw, n, more)
    blank = material.pool[others].replace(charges=None, dipole_magnitude=None)
    blank = material.described(f"more {draw}", blank, _scales(config), on_demand)
    return Molecules.concatenate([described, _with_gfn2(blank, others, material, config, draw)])


def predicted_molecules(
    material: Material, config: Config, indices: np.ndarray, name: str
) -> Molecules:
    """Return molecules to predict, described; with GFN2-xTB where predictions need it."""
    found = material.described(name, material.pool[indices], _scales(config))
    if config["scales"] != "baseline":
        return found
    return _with_gfn2(found, indices, material, config, None)


def _with_gfn2(
    molecules: Molecules, indices: np.ndarray, material: Material, config: Config, draw: int | None
) -> Molecules:
    """Put the baseline on molecules, or vectors of GFN2-xTB times their factor."""
    first, features = material.gfn2(indices, draw), molecules.features
    if "second_method" in config:
        return with_two_methods(molecules, first, material.ipea1(indices, draw))
    if config["scales"] == "baseline":
        return molecules.replace(
            baseline_dipole=first[0], baseline_charges=first[1], features=features
        )
    return molecules.replace(baseline_dipole=GFN2_FACTOR * first[0], features=features)


def with_two_methods(
    molecules: Molecules,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
) -> Molecules:
    """Put the baseline of `GFN2Baseline` on molecules, from results that are kept on disk.

    Parameters
    ----------
    molecules : Molecules
    first, second : tuple of (ndarray of shape (k, 3), debye; ndarray of shape (n,), e)
        Dipoles and charges of GFN2-xTB and of IPEA1-xTB.
    """
    dipole, charges = map(mixed, first, second)
    return molecules.replace(
        baseline_dipole=dipole,
        baseline_charges=charges,
        descriptor_charges=second[1],
        features=molecules.features,
    )


def _also(
    name: str, model: DipoleKernelRidge, material: Material, config: Config
) -> tuple[dict[str, Any], Arrays]:
    """Predict other molecules than the test molecules."""
    if name == "organics":
        molecules = material.organics
        first = np.asarray(molecules.baseline_dipole), np.asarray(molecules.baseline_charges)
        if config["scales"] != "baseline":
            molecules = molecules.replace(baseline_dipole=None, baseline_charges=None)
        molecules = material.described("organics", molecules, _scales(config))
        if "second_method" in config:
            second = material.of_molecules("ipea1-organics", molecules, cheap.ipea1)
            both = second["dipole"], second["charges"]
            molecules = with_two_methods(molecules, first, both)
        _, dipole, _ = model.predict_together(molecules)
        report = error_report(np.asarray(molecules.dipole_vector), dipole)
        return {f"organics_{key}": value for key, value in report.items()}, {}
    validating = name == "validation"
    indices = material.validation(config["draw"], N_VALIDATION) if validating else material.probe()
    name_ = f"validation {config['draw']}" if validating else name
    molecules = predicted_molecules(material, config, indices, name_)
    charges, dipole, _ = model.predict_together(molecules)
    magnitude = np.linalg.norm(dipole, axis=1)
    figures = {f"{name}_mae": float(np.abs(magnitude - molecules.dipole_magnitude).mean())}
    if validating:
        return figures, {}
    return figures, {
        "probe_dipole": np.asarray(dipole, np.float32),
        "probe_charges": np.asarray(charges, np.float32),
    }
