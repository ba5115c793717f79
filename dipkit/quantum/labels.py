"""Methods that calculate dipoles and charges: their names, checks before any work, GFN2-xTB.

Symbols: N molecules, n atoms in all; positions in angstrom, charges in e, dipoles in debye about
the centre of mass. Each program has a separate module (`xtb.py`, `mean_field.py`);
`calculation.py` spreads the work over processes, `labelling.py` labels files.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data.molecules import Molecules
from ..exceptions import InputError
from .calculation import (
    Calculated,
    Calculation,
    CalculationError,
    MemoryLike,
    calculate,
    warn_failures,
)
from .electrons import count_unpaired
from .mean_field import CHARGE_SCHEMES, MeanField
from .xtb import GFN2, IPEA1, ExtendedTightBinding

__all__ = [
    "CHARGE_SCHEMES",
    "GFN2",
    "Calculated",
    "Calculation",
    "CalculationError",
    "MeanField",
    "gfn2",
    "ipea1",
    "methods_of",
    "parse_method",
    "unfit",
]


def gfn2(
    molecules: Molecules,
    n_jobs: int | None = None,
    memory: MemoryLike | None = None,
    verbose: bool | str = "auto",
) -> Calculated:
    """Calculate dipoles and charges by GFN2-xTB, about 6 ms for a molecule of 18 atoms.

    Parameters
    ----------
    molecules : Molecules
    n_jobs : int, default=None
        Processes; None takes all cores where the work is worth it.
    memory : joblib.Memory, str or path, default=None
        Keeps results on disk.
    verbose : bool or "auto", default="auto"
        Whether to show a progress bar; ``"auto"`` on a terminal only.

    Returns
    -------
    Calculated
        NaN where xTB did not converge or the total charge is a fraction; one warning counts and
        names these molecules.

    Raises
    ------
    MissingDependencyError
        If tblite is not installed.
    InputError
        If an element has no parameters.
    """
    return _by_xtb(GFN2(), molecules, n_jobs, memory, verbose)


def ipea1(
    molecules: Molecules,
    n_jobs: int | None = None,
    memory: MemoryLike | None = None,
    verbose: bool | str = "auto",
) -> Calculated:
    """Calculate dipoles and charges by IPEA1-xTB, about 14 ms for a molecule of 18 atoms.

    Parameters, results and errors are those of `gfn2`.
    """
    return _by_xtb(IPEA1(), molecules, n_jobs, memory, verbose)


def _by_xtb(
    method: ExtendedTightBinding,
    molecules: Molecules,
    n_jobs: int | None,
    memory: MemoryLike | None,
    verbose: bool | str,
) -> Calculated:
    method.check(molecules.elements)
    result = calculate(method, molecules, n_jobs, memory, verbose, method.name)
    reasons = ", ".join(sorted(set(result.failures.values()))[:3])
    warn_failures(
        f"{method.name} gave no result",
        molecules,
        result.failures,
        f"Their rows are NaN ({reasons}).",
    )
    return result


def parse_method(
    text: str, scheme: str = "mulliken", multiplicity: int | str = 1
) -> GFN2 | MeanField:
    """Read the name of a method.

    Parameters
    ----------
    text : str
        ``"gfn2"``, or ``"hf/BASIS"`` or ``"FUNCTIONAL/BASIS"`` with PySCF's names.
    scheme : str, default="mulliken"
        Of the charges, one of `CHARGE_SCHEMES`; GFN2-xTB has its own charges.
    multiplicity : int or "lowest", default=1
        Of molecules that carry none themselves; ``"lowest"`` is 2 where the number of electrons is
        odd, else 1.

    Raises
    ------
    InputError
        If there is no method of this name.

    Examples
    --------
    >>> from dipkit.quantum.labels import parse_method
    >>> parse_method("HF/def2-SVP")
    MeanField(functional='hf', basis='def2-svp', scheme='mulliken', unpaired=0)
    """
    if multiplicity == "lowest":
        unpaired = -1
    elif isinstance(multiplicity, int) and multiplicity >= 1:
        unpaired = multiplicity - 1
    else:
        raise InputError(
            f'multiplicity: expected a whole number >= 1 or "lowest", got {multiplicity!r}.'
        )
    name, slash, basis = text.strip().lower().partition("/")
    if name == "gfn2" and not slash:
        if scheme != "mulliken":
            raise InputError(f"charges scheme: gfn2 has only its own charges, got {scheme!r}.")
        return GFN2(unpaired)
    if not (name and basis):
        raise InputError(
            f"method: expected gfn2, hf/BASIS or FUNCTIONAL/BASIS, got {text!r}. For example "
            "b3lyp/6-31g(2df,p)."
        )
    return MeanField(name, basis, scheme, unpaired)


def methods_of(molecules: Molecules, method: GFN2 | MeanField) -> list[GFN2 | MeanField]:
    """Return the method for each molecule: with its own multiplicity, where it has one."""
    if molecules.multiplicity is None:
        return [method] * len(molecules)
    return [
        method if np.isnan(given) else replace(method, unpaired=int(given) - 1)
        for given in molecules.multiplicity
    ]


def unfit(molecules: Molecules, method: GFN2 | MeanField) -> dict[int, str]:
    """Find molecules that a method cannot calculate, before anything is calculated.

    Parameters
    ----------
    molecules : Molecules
        Their multiplicities, where known, go before that of the method.
    method : GFN2 or MeanField

    Returns
    -------
    dict
        Reason by index: an element without basis or parameters, a multiplicity or total charge
        that does not fit the electrons.
    """
    refusals = method.refusals(molecules.elements)
    bad = {}
    for index, own in enumerate(methods_of(molecules, method)):
        atoms = slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))
        numbers = molecules.numbers[atoms]
        refused = [number for number in numbers.tolist() if number in refusals]
        if refused:
            bad[index] = refusals[refused[0]]
            continue
        try:
            count_unpaired(numbers, float(molecules.total_charge[index]), own.unpaired)
        except CalculationError as error:
            bad[index] = str(error)
    return bad
