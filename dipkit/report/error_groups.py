"""Errors of magnitudes in groups of molecules: by size, element, reference, standard deviation.

Symbols: N molecules, errors (N,) = predicted - reference in debye. Figures are drawn in
`error_plots.py`, the page is in `model_page.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.molecules import Molecules
from .html_page import Table

__all__ = ["Calibration", "Groups", "by_element", "by_magnitude", "by_size", "calibration"]

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Groups of a quantity that has many values hold about the same number of molecules.
N_GROUPS = 8
# Fewer molecules than this in a group of standard deviations say nothing about its spread.
LEAST_IN_GROUP = 10
# 68 % and 95 % of the errors of a normal distribution are within these multiples of its std.
WITHIN = (1.0, 1.96)


@dataclass(frozen=True)
class Groups:
    """Absolute errors in groups of molecules, which may overlap.

    Parameters
    ----------
    quantity : str
        What the groups differ in, with its unit.
    labels : list of str
        One for each group.
    counts : list of int
        Molecules of each group.
    means, medians, p95 : list of float
        Mean, median and 95th percentile of the absolute errors, debye.
    """

    quantity: str
    labels: list[str]
    counts: list[int]
    means: list[float]
    medians: list[float]
    p95: list[float]

    def table(self) -> Table:
        """Return the same as a table."""
        rows = list(zip(self.labels, self.counts, self.means, self.medians, self.p95, strict=True))
        columns = (self.quantity, "molecules", "mean (D)", "median (D)", "95 % (D)")
        return Table(f"Absolute errors by {self.quantity}", columns, rows)


@dataclass(frozen=True)
class Calibration:
    """Predicted standard deviations against the errors that were found.

    Parameters
    ----------
    std, rms : list of float, debye
        Root mean square of the predicted standard deviations, and of the errors, in groups of
        rising standard deviation.
    counts : list of int
    shares : tuple of float
        Share of all errors within 1 and within 1.96 predicted standard deviations; 0.68 and 0.95
        where the standard deviations are right.
    """

    std: list[float]
    rms: list[float]
    counts: list[int]
    shares: tuple[float, float]

    def table(self) -> Table:
        """Return the same as a table."""
        rows = list(zip(self.std, self.counts, self.rms, strict=True))
        columns = ("predicted std (D)", "molecules", "RMS error (D)")
        return Table("Errors by predicted standard deviation", columns, rows)


def by_size(molecules: Molecules, errors: FloatArray) -> Groups:
    """Group by the number of atoms."""
    return _by_value("number of atoms", molecules.natoms.astype(np.float64), errors, "{:.0f}")


def by_magnitude(molecules: Molecules, errors: FloatArray) -> Groups:
    """Group by the reference magnitude."""
    return _by_value("reference |μ| (D)", molecules.dipole_magnitude, errors, "{:.2f}")


def by_element(molecules: Molecules, errors: FloatArray) -> Groups:
    """Group by element: the molecules that hold it."""
    table, masks = chemical_symbols(), []
    for number in molecules.elements.tolist():
        holding = np.zeros(len(molecules), dtype=bool)
        holding[molecules.molecule_index[molecules.numbers == number]] = True
        masks.append(holding)
    labels = [table[number] for number in molecules.elements.tolist()]
    return _grouped("element in the molecule", labels, masks, errors)


def calibration(std: FloatArray, errors: FloatArray) -> Calibration:
    """Compare standard deviations (N,) with errors (N,), debye."""
    order = np.argsort(std, kind="stable")
    n_groups = int(np.clip(len(std) // LEAST_IN_GROUP, 1, N_GROUPS))
    parts = np.array_split(order, n_groups)
    within = [float(np.mean(np.abs(errors) <= factor * std)) for factor in WITHIN]
    return Calibration(
        [_rms(std[part]) for part in parts],
        [_rms(errors[part]) for part in parts],
        [len(part) for part in parts],
        (within[0], within[1]),
    )


def _by_value(quantity: str, values: FloatArray, errors: FloatArray, form: str) -> Groups:
    """One group for each value where there are few; else groups between quantiles."""
    distinct = np.unique(values)
    if len(distinct) <= N_GROUPS:
        labels = [form.format(value) for value in distinct.tolist()]
        return _grouped(quantity, labels, [values == value for value in distinct], errors)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, N_GROUPS + 1), method="nearest"))
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    masks = [places == place for place in range(len(edges) - 1)]
    labels = [_span(values[mask], form) for mask in masks]
    return _grouped(quantity, labels, masks, errors)


def _span(values: FloatArray, form: str) -> str:
    low, high = form.format(values.min()), form.format(values.max())
    return low if low == high else f"{low}–{high}"


def _grouped(quantity: str, labels: list[str], masks: Sequence[Mask], errors: FloatArray) -> Groups:
    found = [np.abs(errors[mask]) for mask in masks]
    return Groups(
        quantity,
        labels,
        [len(each) for each in found],
        [float(each.mean()) for each in found],
        [float(np.median(each)) for each in found],
        [float(np.percentile(each, 95)) for each in found],
    )


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
