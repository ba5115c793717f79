"""`DipkitCalculator`: charges and dipoles of a fitted model for ASE, beside another calculator.

ASE's dipole is in e*angstrom, dipkit's in debye. Energies and forces are those of the other
calculator. Derivatives of dipoles are computed in `derivatives.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    BaseCalculator,
    CalculationFailed,
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..data.label_keys import TOTAL_CHARGE_KEYS
from ..data.predicted_keys import CALCULATOR_NAME
from ..estimator.baseline import make_baseline, require_following
from ..estimator.chosen_model import chosen_model
from ..estimator.persistence import load_model
from ..estimator.pipeline import predict_all
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import InputError
from ..support.files import PathLike
from ..units import DEBYE_PER_E_ANGSTROM
from .derivatives import charge_derivatives, dipole_derivatives
from .mixing import refuse_sum_with_others

FloatArray = NDArray[np.float64]

# What the model predicts; everything else is asked of the other calculator.
PREDICTED = ("charges", "dipole")


class DipkitCalculator(Calculator):
    """ASE calculator with ``charges`` (e) and ``dipole`` (e*angstrom) of a model.

    With a `base` it also has energy, forces and all else that the base has, so that molecular
    dynamics, relaxations and `ase.vibrations.Infrared` work. Charges and dipole of the base are not
    used. Each calculation predicts both properties too, so that trajectories hold them.

    The total charge is ``atoms.info["charge"]``, or 0 without this key; the base has a total
    charge of its own. The dipole of a charged molecule is about its centre of mass. With atomic
    dipoles, or with a baseline that has more than charges, the dipole is not the sum over the
    charges alone.

    dipkit does not read the results of this calculator as labels, neither from atoms nor from a
    trajectory. A file that `ase.io.write` makes in another format does not name the calculator:
    use `dipkit predict` there.

    Parameters
    ----------
    model : Pipeline, str or path
        A fitted pipeline from geometries to magnitudes, or a file of `save_model`.
    base : ase calculator, default=None
        Calculator of energies and forces, such as ``tblite.ase.TBLite()``.
    **parameters
        Parameters of every ASE calculator, for example ``atoms`` and ``label``.

    Raises
    ------
    InputError
        If the baseline of the model is "given": it does not change when atoms move. If the base is
        no ASE calculator.
    PropertyNotImplementedError
        If a property is asked for that neither the model nor the base has; in a `SumCalculator`
        with another calculator, where dipoles would be added twice.
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

    With forces of GFN2-xTB: ``DipkitCalculator(model, base=TBLite())``.
    """

    # These have the types of the base class.
    implemented_properties = list(PREDICTED)  # noqa: RUF012
    default_parameters: dict[str, object] = {}  # noqa: RUF012
    ignored_changes = {"initial_charges", "initial_magmoms"}  # noqa: RUF012
    name = CALCULATOR_NAME

    def __init__(
        self,
        model: Pipeline | PathLike,
        base: BaseCalculator | None = None,
        **parameters: object,
    ) -> None:
        super().__init__(**parameters)  # type: ignore[no-untyped-call]
        is_file = isinstance(model, str | os.PathLike)
        self.model = load_model(model) if is_file else chosen_model(model)
        ridge = _last_step(self.model)
        if isinstance(ridge, DipoleKernelRidge):
            require_following(make_baseline(ridge.baseline))
        self.base = base
        if base is not None:
            offered = getattr(base, "implemented_properties", None)
            if offered is None:
                raise InputError(
                    f"base: expected an ASE calculator, got {type(base).__name__}. Give an object, "
                    "for example tblite.ase.TBLite()."
                )
            others = [name for name in offered if name not in PREDICTED]
            self.implemented_properties = [*others, *PREDICTED]
            # What the base ignores does not matter to the energy either.
            self.ignored_changes = self.ignored_changes & set(
                getattr(base, "ignored_changes", self.ignored_changes)
            )
        self._total_charge: object = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = PREDICTED,
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Calculate one molecule; ASE calls this after a change of the atoms.

        Parameters
        ----------
        atoms : ase.Atoms, default=None
            None takes the atoms of the last call.
        properties : sequence of str
            Asked of the base, if it has them; charges and dipole are always predicted.
        system_changes : sequence of str
            Without any, earlier results are kept.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        bare: Atoms = self.atoms.copy()  # type: ignore[union-attr]  # the line above sets them
        self._total_charge = _total_charge(bare)
        results: dict[str, Any] = {} if system_changes else dict(self.results)
        if "dipole" not in results:
            results |= self._predict(bare)
        self.results = self._of_base(bare, properties) | results

    def _predict(self, atoms: Atoms) -> dict[str, FloatArray]:
        prediction = predict_all(self.model, atoms)
        if np.isnan(prediction.dipole).any():
            raise CalculationFailed(
                "baseline: the calculation that the model corrects gave no result for this "
                "geometry, see the warning. Correct the geometry or its total charge."
            )
        return {
            "charges": prediction.charges,
            "dipole": prediction.dipole[0] / DEBYE_PER_E_ANGSTROM,
        }

    def _of_base(self, atoms: Atoms, properties: Sequence[str]) -> dict[str, Any]:
        """Ask the base, and take all that it found at once."""
        wanted = [name for name in properties if name not in PREDICTED]
        if self.base is None or not wanted:
            return {}
        asked = {name: self.base.get_property(name, atoms) for name in wanted}
        found = getattr(self.base, "results", {})
        known = {name: found[name] for name in self.implemented_properties if name in found}
        return known | asked

    def get_dipole_derivatives(self, atoms: Atoms | None = None) -> FloatArray:
        """Return the derivatives of the dipole with respect to the positions, without differences.

        Parameters
        ----------
        atoms : ase.Atoms, default=None
            None takes the atoms of the last calculation.

        Returns
        -------
        ndarray of shape (n_atoms, 3, 3), e
            ``[j, b, c]`` of component c with respect to coordinate b of atom j;
            `dipkit.response.dipole_derivatives` gives the same in debye / angstrom.
        """
        return dipole_derivatives(self.model, self._given(atoms)) / DEBYE_PER_E_ANGSTROM

    def get_charge_derivatives(self, atoms: Atoms | None = None) -> FloatArray:
        """Return the derivatives of the charges with respect to the positions.

        Parameters
        ----------
        atoms : ase.Atoms, default=None
            None takes the atoms of the last calculation.

        Returns
        -------
        ndarray of shape (n_atoms, n_atoms, 3), e / angstrom
            As `dipkit.response.charge_derivatives` gives them.
        """
        (found,) = charge_derivatives(self.model, [self._given(atoms)])
        return found

    def _given(self, atoms: Atoms | None) -> Atoms:
        chosen = self.atoms if atoms is None else atoms
        if chosen is None:
            raise InputError("atoms: expected ase.Atoms, since nothing was calculated before.")
        bare: Atoms = chosen.copy()
        return bare

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
        name : str
            ``"charges"``, ``"dipole"``, or a property of the base.
        atoms : ase.Atoms, default=None
        allow_calculation : bool, default=True
            With False the result is None where a prediction would be needed.
        """
        if name not in self.implemented_properties:
            advice = "Use another calculator as base=, for energies and forces."
            if self.base is not None:
                advice = f"The base, {type(self.base).__name__}, does not have it either."
            raise PropertyNotImplementedError(
                f"{name}: dipkit predicts only charges and dipoles. {advice}"
            )
        if name in PREDICTED:
            refuse_sum_with_others(name, self)
        return super().get_property(  # type: ignore[no-untyped-call]
            name, atoms, allow_calculation
        )


def _total_charge(atoms: Atoms) -> object:
    return next((atoms.info[key] for key in TOTAL_CHARGE_KEYS if key in atoms.info), 0)


def _last_step(model: object) -> object:
    return model[-1] if isinstance(model, Pipeline) else model
