"""Steps of `dipkit fit` between reading and saving: describe once, fit, measure, summarise.

Symbols: N molecules, dipoles in debye. Options are read in `commands/fit.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..descriptors.soap import SOAPTransformer
from ..estimator.metrics import Report, error_report
from ..estimator.pipeline import default_model
from ..estimator.regression import DipoleKernelRidge
from ..support.backend import get_backend
from ..support.json_values import plain
from ..support.nested_parameters import named_parameters
from ..support.system_memory import parse_bytes

# Number of molecules for the training error: enough for an estimate, fast with any data set.
N_MEASURED = 1000
# Share of a memory budget that descriptors held in memory may take.
DESCRIPTORS_SHARE = 0.4


def fit_model(
    molecules: Molecules,
    parameters: Mapping[str, Any],
    busy: Callable[[str], AbstractContextManager[Any]],
    unlabelled: Sequence[Molecules] = (),
) -> tuple[Pipeline, dict[str, Any]]:
    """Fit the default pipeline to labels that the molecules carry.

    Parameters
    ----------
    molecules : Molecules
    parameters : mapping
        Parameters of `DipoleKernelRidge` that differ from its defaults.
    busy : callable
        Gives a context that shows the present step.
    unlabelled : sequence of Molecules, default=()
        Molecules without a dipole label, which give charges and auxiliary dipoles.

    Returns
    -------
    model : Pipeline
    summary : dict
        Labels, parameters, how the fit ended, and the error on training molecules.
    """
    if not molecules.has_magnitude.any():
        raise missing_labels_error("dipole", molecules.source_keys, molecules.notes.numeric_keys)
    n_labelled = len(molecules)
    molecules = Molecules.concatenate([molecules, *unlabelled])
    model = default_model(**parameters)
    soap, ridge = model[0], model[-1]
    described = _describe(soap, molecules, ridge)
    with busy("fitting"):
        ridge.fit(described)
        training = _training_error(ridge, described)
    summary = {
        "molecules": n_labelled,
        "unlabelled": len(molecules) - n_labelled,
        "elements": molecules.summary().elements,
        "labels": plain(ridge.label_summary_),
        "parameters": plain(named_parameters(ridge)),
        "alpha": ridge.alpha_,
        "charge_weight": ridge.charge_weight_,
        "baseline_factor": ridge.baseline_factor_,
        "iterations": ridge.n_iter_,
        "status": ridge.status_,
        "memory": ridge.memory_plan_,
        "training_error": training,
    }
    return model, summary


def brief(report: Mapping[str, Any]) -> dict[str, object]:
    """Return the ten lines of a summary that matter to most users."""
    labels, error, planned = report["labels"], report["training_error"], report["memory"]
    counts = [
        f"{labels[key]} {key.removeprefix('n_')}"
        for key in ("n_magnitudes", "n_vectors", "n_charges", "n_quadrupoles")
        if labels[key]
    ]
    unlabelled = f", {report['unlabelled']} without dipole" if report["unlabelled"] else ""
    return {
        "model": report["model"],
        "molecules": f"{report['molecules']}{unlabelled}",
        "labels": ", ".join(counts),
        "elements": " ".join(report["elements"]),
        "alpha": report["alpha"],
        "charge_weight": report["charge_weight"],
        "iterations": f"{report['iterations']}. {report['status']}",
        "training error": f"MAE {error['mae_debye']:.3g} D, RMSE {error['rmse_debye']:.3g} D of "
        f"{error['n']} molecules; errors on other molecules are larger (dipkit evaluate)",
        "memory": f"{planned['peak_gb']:.3g} GB at most",
        "seconds": report["seconds"],
    }


def _describe(soap: SOAPTransformer, molecules: Molecules, ridge: DipoleKernelRidge) -> Molecules:
    """Describe, showing progress; on demand on a GPU or where it takes much of the budget."""
    budget = ridge.memory_budget
    if get_backend(ridge.device).on_host:
        if budget is None:
            return soap.fit_transform(molecules)
        needed = soap.fit(molecules).forecast_bytes(molecules)
        if needed <= DESCRIPTORS_SHARE * parse_bytes(budget):
            return soap.transform(molecules)
    # Only for the fit: the saved pipeline chooses again in each prediction.
    streamed = clone(soap).set_params(on_demand=True)
    return streamed.fit_transform(molecules)


def _training_error(ridge: DipoleKernelRidge, described: Molecules) -> Report:
    """Error of the magnitudes, over some of the molecules where there are many."""
    known = np.flatnonzero(described.has_magnitude)
    some = described[known[:: -(-len(known) // N_MEASURED)]]
    predicted = ridge.predict(some)
    # Molecules without a baseline were not used in the fit either.
    done = ~np.isnan(predicted)
    return error_report(some.dipole_magnitude[done], predicted[done])
