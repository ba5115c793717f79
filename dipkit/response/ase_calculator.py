"""`DipkitCalculator`: charges and dipoles of a fitted model for ASE.

ASE's dipole is in e*angstrom, dipkit's in debye. There are no energies and no forces. Derivatives
of dipoles are in `derivatives.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..data.label_keys import TOTAL_CHARGE_KEYS
from ..estimator.baseline import make_baseline, require_following
from ..estimator.persistence import load_model
from ..estimator.pipeline import predict_all
from ..estimator.regression import DipoleKernelRidge
from ..support.files import PathLike
from ..units import DEBYE_PER_E_ANGSTROM


class DipkitCalculator(Calculator):
    """ASE calculator with ``charges`` (e) and ``dipole`` (e*angstrom).

    The total charge is ``atoms.info["charge"]``, or 0 without this key. The dipole of a charged
    molecule is about its centre of mass. With atomic dipoles, or with a baseline that has more
    than charges, the dipole is not the sum over the charges alone.

    Parameters
    ----------
    model : Pipeline, str or path
        A fitted pipeline from geometries to magnitudes, or a file of `save_model`.
    **parameters
        Parameters of every ASE calculator, for example ``atoms`` and ``label``.

    Raises
    ------
    InputError
        If the baseline of the model is "given": it does not change when atoms move.
    PropertyNotImplementedError
        If an energy, forces or another property is asked for.
    CalculationFailed
        If the calculation of the baseline fails.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from dipkit import default_model
    >>> from dipkit.response import DipkitCalculator
    >>> from dipkit.data.datasets import load_organics
    >>> model = default_model(basis__n_inducing=100).fit(load_organics()[:30])
    >>> atoms = molecule("CH3OH")
    >>> atoms.calc = DipkitCalculator(model)
    >>> atoms.get_charges().shape, atoms.get_dipole_moment().shape
    ((6,), (3,))
    """

    # These have the types of the base class.
    implemented_properties = ["charges", "dipole"]  # noqa: RUF012
    default_parameters: dict[str, object] = {}  # noqa: RUF012
    ignored_changes = {"initial_charges", "initial_magmoms"}  # noqa: RUF012

    def __init__(self, model: Pipeline | PathLike, **parameters: object) -> None:
        super().__init__(**parameters)  # type: ignore[no-untyped-call]
        self.model = load_model(model) if isinstance(model, str | os.PathLike) else model
        ridge = _last_step(self.model)
        if isinstance(ridge, DipoleKernelRidge):
            require_following(make_baseline(ridge.baseline))
        self._total_charge: object = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("charges", "dipole"),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Predict both properties of one molecule; ASE calls this after a change of the atoms.

        Parameters
        ----------
        atoms : ase.Atoms, default=None
            None takes the atoms of the last call.
        properties, system_changes : sequence of str
            Ignored: both properties are predicted together.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        bare: Atoms = self.atoms.copy()  # type: ignore[union-attr]  # the line above sets them
        self._total_charge = _total_charge(bare)
        prediction = predict_all(self.model, bare)
        if np.isnan(prediction.dipole).any():
            raise CalculationFailed(
                "baseline: the calculation that the model corrects gave no result for this "
                "geometry, see the warning. Correct the geometry or its total charge."
            )
        self.results = {
            "charges": prediction.charges,
            "dipole": prediction.dipole[0] / DEBYE_PER_E_ANGSTROM,
        }

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """List what has changed since the last calculation, including the total charge.

        Parameters
        ----------
        atoms : ase.Atoms
        tol : float, default=1e-15
        """
        changes: list[str] = super().check_state(atoms, tol)  # type: ignore[no-untyped-call]
        if self.atoms is not None and _total_charge(atoms) != self._total_charge:
            changes.append("charge")
        return changes

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> NDArray[np.float64] | None:
        """Return a property, predicted where the atoms have changed.

        Parameters
        ----------
        name : {"charges", "dipole"}
        atoms : ase.Atoms, default=None
        allow_calculation : bool, default=True
            With False the result is None where a prediction would be needed.
        """
        if name not in self.implemented_properties:
            raise PropertyNotImplementedError(
                f"{name}: dipkit predicts only charges and dipoles. Use another calculator for "
                "energies and forces, and this one for dipoles."
            )
        return super().get_property(  # type: ignore[no-untyped-call]
            name, atoms, allow_calculation
        )


def _total_charge(atoms: Atoms) -> object:
    return next((atoms.info[key] for key in TOTAL_CHARGE_KEYS if key in atoms.info), 0)


def _last_step(model: object) -> object:
    return model[-1] if isinstance(model, Pipeline) else model
