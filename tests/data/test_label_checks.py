"""Tolerances of labels are those of the documentation, and units that look wrong are noticed."""

import warnings
from typing import Any

import numpy as np
import pytest

from dipkit.data.label_units import UNITS, likely_unit, warn_units
from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError


def pair(**labels: Any) -> Molecules:
    return Molecules([1, 9], [[0, 0, 0], [0, 0, 0.9]], [0, 2], **labels)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"charges": [0.419, -0.4]}, {"charges": [0.421, -0.4]}),
        # Within 0.01 debye and 1 % of the magnitude.
        (
            {"dipole_magnitude": [0.1], "dipole_vector": [[0, 0, 0.1105]]},
            {"dipole_magnitude": [0.1], "dipole_vector": [[0, 0, 0.1115]]},
        ),
        (
            {"dipole_magnitude": [10.0], "dipole_vector": [[0, 0, 10.105]]},
            {"dipole_magnitude": [10.0], "dipole_vector": [[0, 0, 10.115]]},
        ),
        # Within 0.01 debye*angstrom and 0.1 % of the largest component.
        (
            {"quadrupole": [np.diag([0.1, 0.1, -0.1905])]},
            {"quadrupole": [np.diag([0.1, 0.1, -0.1885])]},
        ),
        (
            {"quadrupole": [np.diag([10, 10, -19.972])]},
            {"quadrupole": [np.diag([10, 10, -19.965])]},
        ),
    ],
)
def test_labels_agree_within_their_tolerance(good: dict[str, Any], bad: dict[str, Any]) -> None:
    pair(**good)
    with pytest.raises(InputError):
        pair(**bad)


@pytest.mark.parametrize(
    ("median", "doubted"), [(0.051, False), (49.0, False), (0.049, True), (51.0, True)]
)
def test_medians_outside_the_usual_range_are_doubted(median: float, doubted: bool) -> None:
    magnitudes = np.array([0.0, 0.0, 0.0, median, np.nan])  # zeros are symmetric molecules
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_units(magnitudes)
    assert bool(caught) == doubted


@pytest.mark.parametrize("unit", UNITS)
def test_the_likely_unit_is_the_one_that_gives_usual_dipoles(unit: str) -> None:
    assert likely_unit(2.5 / UNITS[unit]) == unit
