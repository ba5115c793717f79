"""The grid of alpha and charge weight lambda that each trial scores: its values and their checks.

How a grid is scored is in `fold_grid.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..exceptions import InputError
from ..support.validation import check_number
from .ridge_parameters import ALPHA, CHARGE_WEIGHT

__all__ = ["Grid", "default_grid", "grid_with"]

Grid: TypeAlias = dict[str, list[float]]

# Alphas of the default grid, as multiples of the untuned one.
ALPHA_FACTORS = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
# Charge weights of the default grid, debye^2 / e^2. A discrepancy limits how closely the charges
# are followed: then larger weights are useful.
CHARGE_WEIGHTS = (0.0, 1e-3, 1e-2, 1e-1)
DISCREPANT_CHARGE_WEIGHTS = (0.0, 1e-3, 10.0, 100.0)


def default_grid(
    charges: bool = True,
    alpha: float = 1e-4,
    charge_weight: float = 1e-3,
    discrepancy: bool = False,
) -> Grid:
    """Return the default grid, to be edited freely.

    Parameters
    ----------
    charges : bool, default=True
        Whether there are reference charges.
    alpha : float, default=1e-4, debye^2
        Middle of the alphas. `DipoleSearchCV` gives that of the untuned estimator.
    charge_weight : float, default=1e-3, debye^2 / e^2
        A charge weight that the grid contains. `DipoleSearchCV` gives that of the untuned
        estimator.
    discrepancy : bool, default=False
        Whether the model has a charge discrepancy; then the other charge weights are larger.

    Returns
    -------
    dict
        ``alpha``: seven values, 30 to 0.03 times the middle. ``charge_weight``: 0, 0.001, 0.01,
        0.1, or with a discrepancy 0, 0.001, 10, 100, and the given one; only 0 without charges.
    """
    weights = DISCREPANT_CHARGE_WEIGHTS if discrepancy else CHARGE_WEIGHTS
    return {
        ALPHA: [factor * alpha for factor in ALPHA_FACTORS],
        CHARGE_WEIGHT: sorted({*weights, charge_weight}) if charges else [0.0],
    }


def grid_with(given: Mapping[str, Sequence[float]], default: Grid, charges: bool) -> Grid:
    """Put the values that a user gave in place of those of the default grid.

    Parameters
    ----------
    given : mapping
        Values of ``alpha``, ``charge_weight`` or both.
    default : dict
    charges : bool
        Whether there are reference charges.

    Raises
    ------
    InputError
        If another parameter is named, values are missing, or there are no charges to weigh.
    """
    if not set(given) <= set(default) or not all(len(values) for values in given.values()):
        raise InputError(
            f'grid: expected values of "{ALPHA}", "{CHARGE_WEIGHT}" or both, got {given!r}. '
            "Put other parameters into space."
        )
    for name, values in given.items():
        for value in values:
            check_number(f"grid: {name}", value, above=0.0 if name == ALPHA else None)
    if max(given.get(CHARGE_WEIGHT, [0.0])) > 0 and not charges:
        raise InputError(
            "grid: charge_weight above 0 needs charge labels, and the molecules have none. "
            'Leave "charge_weight" out, or pass charges=.'
        )
    return default | {name: [float(value) for value in values] for name, values in given.items()}
