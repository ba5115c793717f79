"""Search spaces: the default one, spaces from JSON, their checks, and how a trial draws from them.

A space maps parameter names to Optuna distributions, or is a function from a trial to parameters.
Names of the model's parameters are in `ridge_parameters.py`, the grid that each trial scores is in
`grid.py`, and running trials is in `study.py`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..estimator.defaults import usual_n_inducing
from ..exceptions import InputError
from .optuna_objects import (
    distribution_of,
    fixed_trial,
    float_range,
    int_range,
    is_distribution,
    suggest,
)
from .ridge_parameters import ALPHA, CHARGE_WEIGHT, DEGREE, N_INDUCING, of_ridge, of_scale

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial, FrozenTrial

__all__ = [
    "check_space",
    "default_space",
    "draw",
    "drawn",
    "space_from_json",
]

# Values of parameters by name: anything that the model takes.
Params: TypeAlias = dict[str, Any]
Space: TypeAlias = "Mapping[str, BaseDistribution] | Callable[[BaseTrial], Params]"


def default_space(
    penalties: bool = False, charges: bool = True, n_molecules: int | None = None
) -> dict[str, BaseDistribution]:
    """Return the default search space for `default_model()`, to be edited freely.

    Parameters
    ----------
    penalties : bool, default=False
        Whether alpha and the charge weight are drawn as well. `DipoleSearchCV` need not draw
        them: it scores a grid of both in each trial.
    charges : bool, default=True
        Whether there are reference charges.
    n_molecules : int, default=None
        Number of molecules. If given, the number of inducing environments is drawn as well, from
        half to twice the default of a fit to so many molecules.

    Returns
    -------
    dict
        Optuna distributions by parameter name. Cutoffs and widths have steps, so that trials
        share descriptors.

    Examples
    --------
    >>> from dipkit.search import default_space
    >>> space = default_space()
    >>> del space["soaptransformer__scale0__sigma"]
    """
    space: dict[str, BaseDistribution] = {
        of_ridge(DEGREE): float_range(1.6, 4.0, step=0.1),
        of_scale(0, "r_cut"): float_range(1.6, 2.8, step=0.2),
        of_scale(0, "sigma"): float_range(0.13, 0.25, step=0.04),
        of_scale(1, "r_cut"): float_range(3.0, 5.0, step=0.5),
        of_scale(1, "weight"): float_range(2e-4, 5e-2, log=True),
    }
    if n_molecules is not None:
        low, high = (max(round(x * usual_n_inducing(n_molecules)), 1) for x in (0.5, 2))
        space[of_ridge(N_INDUCING)] = int_range(low, high)
    if penalties:
        space[of_ridge(ALPHA)] = float_range(1e-6, 1e-2, log=True)
        if charges:
            space[of_ridge(CHARGE_WEIGHT)] = float_range(1e-5, 1e-1, log=True)
    return space


def space_from_json(text: str) -> dict[str, BaseDistribution]:
    """Read a space from JSON.

    Parameters
    ----------
    text : str
        By parameter name: ``{"low": .., "high": .., "log": .., "step": ..}`` (whole numbers with
        ``"int": true``), or a list of choices.

    Raises
    ------
    InputError
        If the text is no JSON object, or an entry is neither.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"space: this is not valid JSON: {error}.") from error
    if not isinstance(entries, dict):
        raise InputError("space: expected a JSON object that maps parameter names to ranges.")
    return {name: _from_json(name, entry) for name, entry in entries.items()}


def _from_json(name: str, entry: object) -> BaseDistribution:
    try:
        return distribution_of(entry)
    except (TypeError, ValueError) as error:
        raise InputError(
            f'space: {name}: expected a list of choices or {{"low": .., "high": ..}} with '
            f'"log", "step" or "int", got {entry!r} ({error}).'
        ) from error


def check_space(space: Space, known: Iterable[str]) -> None:
    """Refuse a space that is empty or names parameters that the model does not have.

    Raises
    ------
    InputError
        It names the nearest parameters.
    """
    if callable(space):
        return
    if not space:
        raise InputError(
            "space: expected at least one parameter, got none. Take default_space() and edit it."
        )
    check_names(space, known)
    for name, distribution in space.items():
        if not is_distribution(distribution):
            raise InputError(
                f"space: {name}: expected an Optuna distribution such as "
                f"optuna.distributions.FloatDistribution(0.1, 1), got {distribution!r}."
            )


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse unknown parameter names."""
    known = list(known)
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        near += [other for other in known if other.endswith(f"__{name}") and other not in near]
        hint = f"Did you mean {', '.join(near)}?" if near else "See estimator.get_params()."
        raise InputError(f"space: the estimator has no parameter {name!r}. {hint}")


def draw(space: Space, trial: BaseTrial) -> Params:
    """Draw the parameters of a trial."""
    if callable(space):
        return dict(space(trial))
    return {name: suggest(trial, name, distribution) for name, distribution in space.items()}


def drawn(space: Space, trial: FrozenTrial) -> Params:
    """Return the parameters that a finished trial drew."""
    return draw(space, fixed_trial(trial))
