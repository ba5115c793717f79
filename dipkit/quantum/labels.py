"""Methods that calculate dipoles and charges: their names, checks before any work, GFN2-xTB.

Symbols: N molecules, n atoms in all; positions in angstrom, charges in e, dipoles in debye about
the centre of mass. Each program has a separate module (`xtb.py`, `mean_field.py`);
`calculation.py` spreads the work over processes, `labelling.py` labels files.
"""

from __future__ import annotations

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
from .xtb import GFN2

__all__ = [
    "CHARGE_SCHEMES",
    "GFN2",
    "Calculated",
    "Calculation",
    "CalculationError",
    "MeanField",
    "check_electrons",
    "gfn2",
    "parse_method",
]


def gfn2(
    molecules: Molecules,
    n_jobs: int | None = None,
    memory: MemoryLike | None = None,
    verbose: bool | str = "auto",
) -> Calculated:
    """Calculate dipoles and charges by GFN2-xTB, about 10 ms for a molecule of 18 atoms.

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
    method = GFN2()
    method.check(molecules.elements)
    result = calculate(method, molecules, n_jobs, memory, verbose, "GFN2-xTB")
    reasons = ", ".join(sorted(set(result.failures.values()))[:3])
    warn_failures(
        "GFN2-xTB gave no result", molecules, result.failures, f"Their rows are NaN ({reasons})."
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
        Of all molecules; ``"lowest"`` is 2 where the number of electrons is odd, else 1.

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


def check_electrons(molecules: Molecules, unpaired: int) -> None:
    """Refuse molecules whose electrons do not fit a multiplicity, before anything is calculated.

    Parameters
    ----------
    molecules : Molecules
    unpaired : int
        As in `count_unpaired`.

    Raises
    ------
    InputError
        With the first of these molecules in the message.
    """
    bad = {}
    for index in range(len(molecules)):
        atoms = slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))
        charge = float(molecules.total_charge[index])
        try:
            count_unpaired(molecules.numbers[atoms], charge, unpaired)
        except CalculationError as error:
            bad[index] = str(error)
    if bad:
        first, reason = next(iter(bad.items()))
        raise InputError(
            f"multiplicity: it does not fit {len(bad)} of {len(molecules)} molecules, the first of "
            f"them molecule {first} ({molecules.names[first]}): {reason}. Open shells need "
            '--multiplicity (a number for all molecules, or "lowest"); correct total charges, or '
            "leave these molecules out."
        )
