"""Labels of a fit: dipoles, charges and sample weights, checked, from arguments or the molecules.

Symbols: N molecules A, n atoms; magnitudes (N,) and vectors (N, 3) in debye, charges (n,) in e,
sample weights s_A (N,). A molecule of weight k counts like k copies of it, and a molecule of weight
0 like one that is absent. NaN in an argument is an error; NaN on the molecules is a missing label.
Not here: labels in files and their units (`dipkit.data`), and their use in the objective
(`objective.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.geometry_checks import Locator
from ..data.given_dipoles import warn_given
from ..data.label_checks import MAX_DIPOLE, check_size
from ..data.label_keys import missing_labels_error
from ..data.label_units import warn_units
from ..data.large_dipoles import warn_large
from ..data.molecules import Molecules
from ..data.predicted_keys import warn_predictions
from ..exceptions import InputError
from ..support.validation import real_array
from .charge_sign import warn_of_wrong_sign
from .objective import DipoleTarget

FloatArray = NDArray[np.float64]

# From here on every float64 is a whole number, so that whole weights need not be numbers of copies.
_ALL_WHOLE = 2.0**53


@dataclass(frozen=True)
class FitLabels:
    """Labels of one fit.

    Parameters
    ----------
    target : DipoleTarget
        Dipole labels, and the sample weights of all molecules.
    charges : ndarray of shape (n_atoms,), e
        NaN where missing.
    molecules : Molecules
        They carry the same labels.
    """

    target: DipoleTarget
    charges: FloatArray
    molecules: Molecules

    @property
    def has_charges(self) -> bool:
        """Whether any molecule of positive weight has charges."""
        return bool(self._with_charges.any())

    @property
    def n_charges(self) -> int:
        """Number of molecules of positive weight with charges."""
        return int(self._with_charges.sum())

    @property
    def has_quadrupoles(self) -> bool:
        """Whether any molecule of positive weight has a quadrupole."""
        return bool((self._used & self.molecules.has_quadrupole).any())

    @property
    def n_dipoles(self) -> int:
        """Number of molecules of positive weight with a dipole label."""
        return len(self._dipole_weights)

    @property
    def n_effective(self) -> float:
        """Number of dipole labels that the sample weights stand for.

        Whole weights are numbers of copies, and the result is their sum. Other weights are
        relative, and the result is (sum s)^2 / sum s^2: the number of labels if all weights are
        equal. A common factor of the weights changes nothing then. So are weights with a sum of
        2^53 or more.
        """
        weights = self._dipole_weights
        if _are_copies(weights):
            return float(weights.sum())
        weights = weights / weights.max()  # squares of tiny weights would be zero
        return float(weights.sum() ** 2 / (weights @ weights))

    @property
    def copies(self) -> FloatArray:
        """Numbers of copies that the molecules stand for (n_molecules,), by their sample weights.

        Whole weights are these numbers. Others are scaled so that their sum is the effective
        number of molecules, (sum s)^2 / sum s^2.
        """
        weights = self.target.weights
        if _are_copies(weights):
            return weights
        relative = weights / weights.max()
        return relative * (relative.sum() / (relative @ relative))

    @property
    def _dipole_weights(self) -> FloatArray:
        """Positive sample weights of the molecules with a dipole label."""
        unlabelled = np.isnan(self.target.magnitudes) & np.isnan(self.target.vectors[:, 0])
        return self.target.weights[~unlabelled & (self.target.weights > 0)]

    def summary(self) -> dict[str, int]:
        """Count molecules and labels, without those of weight 0."""
        used, has_vector = self._used, ~np.isnan(self.target.vectors[:, 0])
        has_magnitude = ~np.isnan(self.target.magnitudes) & ~has_vector
        return {
            "n_molecules": int(used.sum()),
            "n_atoms": int(self.molecules.natoms[used].sum()),
            "n_magnitudes": int((used & has_magnitude).sum()),
            "n_vectors": int((used & has_vector).sum()),
            "n_charges": self.n_charges,
            "n_quadrupoles": int((used & self.molecules.has_quadrupole).sum()),
        }

    @property
    def _used(self) -> NDArray[np.bool_]:
        return self.target.weights > 0

    @property
    def _with_charges(self) -> NDArray[np.bool_]:
        # Charges are known for all atoms of a molecule or for none.
        return self._used & ~np.isnan(self.charges[self.molecules.offsets[:-1]])


def read_labels(
    molecules: Molecules,
    y: ArrayLike | None,
    charges: ArrayLike | Sequence[ArrayLike] | None,
    sample_weight: ArrayLike | None,
) -> FitLabels:
    """Collect the labels of a fit and check them.

    Parameters
    ----------
    molecules : Molecules
    y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, or None
        Magnitudes or vectors; None reads them from the molecules.
    charges : array-like of shape (n_atoms,), list of n_molecules arrays, or None, e
        None reads them from the molecules.
    sample_weight : array-like of shape (n_molecules,) or None
        None is 1 for each molecule.

    Returns
    -------
    FitLabels

    Raises
    ------
    InputError
        If a label does not fit the molecules, or no molecule of positive weight has a dipole label
        to learn from.
    """
    magnitudes, vectors = _dipole_labels(molecules, y)
    weights = _sample_weight(sample_weight, len(molecules))
    labelled = _has_dipole(magnitudes, vectors)
    if not labelled.any():
        raise missing_labels_error("dipole", molecules.source_keys, molecules.notes.numeric_keys)
    labelled &= weights > 0
    if not labelled.any():
        raise InputError(
            "sample_weight: expected a positive weight for a molecule with a dipole label, got "
            "weight 0 for each of them. Give the molecules to learn from a positive weight."
        )
    _warn_single_atoms(molecules, labelled)
    if y is None:
        warn_predictions(molecules.source_keys)
    if charges is not None:
        # `Molecules` checks the sums of the charges, and its error names the molecule.
        molecules = molecules.replace(charges=_flat_charges(charges, molecules))
    sizes = np.where(np.isnan(magnitudes), np.linalg.norm(vectors, axis=1), magnitudes)
    if y is None or not _warn_given(molecules, magnitudes, vectors, labelled):
        warn_units(sizes[labelled])
    warn_large(molecules, np.where(labelled, sizes, np.nan))
    target = DipoleTarget(magnitudes, vectors, weights)
    of_used_atoms = (weights > 0)[molecules.molecule_index]
    warn_of_wrong_sign(molecules, np.where(of_used_atoms, molecules.charges, np.nan))
    return FitLabels(target, molecules.charges, molecules)


def _warn_given(
    molecules: Molecules, magnitudes: FloatArray, vectors: FloatArray, used: NDArray[np.bool_]
) -> bool:
    """Check given dipoles of the molecules that are used (n_molecules,)."""
    return warn_given(
        molecules, np.where(used, magnitudes, np.nan), np.where(used[:, None], vectors, np.nan)
    )


def _are_copies(weights: FloatArray) -> bool:
    """Whether weights are numbers of copies: whole, of sizes at which others exist."""
    return bool((weights == np.round(weights)).all() and weights.sum() < _ALL_WHOLE)


def _has_dipole(magnitudes: FloatArray, vectors: FloatArray) -> NDArray[np.bool_]:
    has_dipole: NDArray[np.bool_] = ~(np.isnan(magnitudes) & np.isnan(vectors[:, 0]))
    return has_dipole


def _dipole_labels(molecules: Molecules, y: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    n = len(molecules)
    if y is None:
        return molecules.dipole_magnitude, molecules.dipole_vector
    labels = real_array("y", y, "debye")
    if labels.shape not in ((n,), (n, 3)):
        raise InputError(
            f"y: expected shape ({n},) (magnitudes) or ({n}, 3) (vectors) in debye, for "
            f"{n} molecules; got {labels.shape}."
        )
    finite = np.isfinite(labels).reshape(n, -1).all(axis=1)
    if not finite.all():
        raise InputError(
            f"y: expected finite debye, got {labels[~finite][0]} for molecule "
            f"{np.flatnonzero(~finite)[0]}. Leave y out to read labels from the molecules, where "
            "labels may be missing."
        )
    locate = Locator(molecules.names, molecules.offsets)
    check_size("y", labels, MAX_DIPOLE, "debye", locate)
    if labels.ndim == 2:
        return np.full(n, np.nan), labels
    if (labels < 0).any():
        raise InputError(
            f"y: a magnitude cannot be negative, got {labels.min():g} D for molecule "
            f"{int(labels.argmin())}. For a vector component, pass y of shape ({n}, 3)."
        )
    return labels, np.full((n, 3), np.nan)


def _sample_weight(sample_weight: ArrayLike | None, n: int) -> FloatArray:
    if sample_weight is None:
        return np.ones(n)
    weights = real_array("sample_weight", sample_weight, bools=True)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError(
            f"sample_weight: expected {n} finite numbers >= 0, got shape {weights.shape}"
            + (f" with minimum {weights.min():g}." if weights.size else ".")
        )
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise InputError(
                f"sample_weight: expected weights with a finite sum, got a maximum of "
                f"{weights.max():g}. Divide the weights by it."
            )
    return weights


def _flat_charges(charges: ArrayLike | Sequence[ArrayLike], molecules: Molecules) -> FloatArray:
    """Return the charges of all atoms (n_atoms,), from one array or from one per molecule."""
    items: list[ArrayLike] = list(charges) if np.iterable(charges) else [charges]
    if items and all(np.ndim(item) == 0 for item in items):
        flat = real_array("charges", items, "e")
        if len(flat) != molecules.n_atoms:
            raise InputError(
                f"charges: expected {molecules.n_atoms} (one for each atom, concatenated) or one "
                f"array for each of {len(molecules)} molecules, got {len(flat)} numbers."
            )
    else:
        flat = np.concatenate(_charges_of_each(items, molecules))
    if not np.isfinite(flat).all():
        atom = int(np.isfinite(flat).argmin())
        molecule = int(molecules.molecule_index[atom])
        raise InputError(
            f"charges: expected finite values in e, got {flat[atom]} for molecule {molecule} "
            f"({molecules.names[molecule]}). Leave charges out to read them from the molecules, "
            "where they may be missing."
        )
    return flat


def _charges_of_each(items: Sequence[ArrayLike], molecules: Molecules) -> list[FloatArray]:
    if len(items) != len(molecules):
        raise InputError(f"charges: expected {len(molecules)} arrays, got {len(items)}.")
    arrays = [np.atleast_1d(real_array("charges", item, "e")) for item in items]
    for index, array in enumerate(arrays):
        if array.shape != (molecules.natoms[index],):
            raise InputError(
                f"charges: molecule {index} ({molecules.names[index]}) has "
                f"{molecules.natoms[index]} atoms, got {array.size} charges."
            )
    return arrays


def _warn_single_atoms(molecules: Molecules, labelled: NDArray[np.bool_]) -> None:
    """Warn of single atoms among the molecules to learn from; refuse single atoms alone."""
    single = (molecules.natoms == 1) & labelled
    if single.sum() == labelled.sum():
        raise InputError(
            "X: expected molecules of two atoms or more, got only single atoms with a dipole label "
            "of positive weight. The dipole of a single atom is zero whatever its charge, so that "
            "there is nothing to learn. Add larger molecules with dipole labels."
        )
    if single.any():
        warnings.warn(
            f"{single.sum()} of {len(molecules)} molecules are single atoms. Their dipole is zero "
            "whatever their charge. Such molecules only add environments to choose from.",
            stacklevel=5,
        )
