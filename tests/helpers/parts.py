"""Fits in several calls, and the fit to everything that they have to equal."""

from typing import Any

import pytest

import dipkit.estimator.fit
from dipkit import DipoleKernelRidge, Molecules


def exact_ridge(**parameters: Any) -> DipoleKernelRidge:
    settings = {
        "basis__n_inducing": 60,
        "solver__tol": 1e-10,
        "solver__max_iter": 3000,
        "device": "cpu",
    }
    return DipoleKernelRidge().set_params(**settings | parameters)


def in_parts(model: DipoleKernelRidge, *parts: Molecules) -> DipoleKernelRidge:
    for part in parts:
        model.partial_fit(part)
    return model


def all_at_once(
    model: DipoleKernelRidge, first: Molecules, everything: Molecules
) -> DipoleKernelRidge:
    """Fit to all molecules with the environments of the first ones."""
    choose = dipkit.estimator.fit.choose_environments

    def of_first(molecules: Molecules, *arguments: object) -> object:
        return choose(first, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dipkit.estimator.fit, "choose_environments", of_first)
        return model.fit(everything)
