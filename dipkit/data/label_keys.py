"""Keys under which labels are looked for, and the error when none is found.

How each key is read, and in which unit, is described in `io.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from ..exceptions import InputError
from .label_hints import hint, list_keys
from .predicted_keys import prediction_hint

# Dipole magnitude, debye.
DIPOLE_KEYS = ("dipole_debye", "mu", "mu_debye")
# Dipole vector, e*angstrom, as ASE keeps it.
VECTOR_KEYS = ("dipole",)
# Traceless quadrupole in Buckingham's convention, about the centre of mass, debye*angstrom.
QUADRUPOLE_KEY = "quadrupole_debye_angstrom"
# Charges of the atoms, e.
CHARGES_KEYS = ("mulliken", "mulliken_charges", "charges")
# Total charge of the molecule, e; in any spelling, such as "Total Charge". All of them are read,
# see `total_charge.py`.
TOTAL_CHARGE_KEYS = ("charge", "total_charge", "net_charge", "q", "PUBCHEM_TOTAL_CHARGE")
# Spin multiplicity of the molecule, for calculations.
MULTIPLICITY_KEYS = ("multiplicity", "spin_multiplicity")


# Name of the scheme of the charges, as `dipkit label` writes it.
SCHEME_KEY = "label_charges"


def warn_mixed_schemes(schemes: Mapping[str, int]) -> None:
    """Warn where charges of several schemes would be learned as if they were one.

    Parameters
    ----------
    schemes : mapping
        Molecules by name of the scheme, where the file names it.
    """
    if len(schemes) > 1:
        found = ", ".join(f"{name} ({count})" for name, count in sorted(schemes.items()))
        warnings.warn(
            f"charges: {SCHEME_KEY} names several schemes: {found} molecules. Their charges differ "
            "in meaning: use one scheme, or no charges with charge_weight=0.",
            stacklevel=4,
        )


def missing_labels_error(
    kind: str, source_keys: tuple[str, ...], numeric_keys: Mapping[str, str] | None = None
) -> InputError:
    """Build the error for molecules that carry no label of a kind.

    Parameters
    ----------
    kind : {"dipole", "charges"}
        Which label is missing.
    source_keys : tuple of str
        Keys present where the molecules were read (`Molecules.source_keys`).
    numeric_keys : mapping of str to str, default=None
        What numbers stand under them (`Molecules.notes`).
    """
    looked_for: tuple[str, ...]
    if kind == "dipole":
        looked_for = (*DIPOLE_KEYS, *VECTOR_KEYS)
        advice = (
            "Name the key (dipole_key=, or --dipole on the command line; a number is taken as "
            "debye, three as a vector in e*angstrom, unless --dipole-unit says otherwise), or give "
            "the magnitudes as y."
        )
    else:
        looked_for = CHARGES_KEYS
        advice = (
            "Name the key (charges_key=, or --charges on the command line), give them as "
            "charges=, or go on without charges by charge_weight=0."
        )
    present = ", ".join(source_keys) or "none"
    likely = hint(kind, numeric_keys or {})
    if numeric_keys:
        present += f"; with numbers: {list_keys(numeric_keys)}"
    advice = f"{likely} {advice}" if likely else advice
    return InputError(
        f"no {kind} label found: looked for {', '.join(looked_for)}; keys present: {present}. "
        f"{' '.join(filter(None, (prediction_hint(source_keys), advice)))}"
    )
