"""Bessel functions of the radial integrals, against those of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ive

from dipkit.descriptors.radial_integrals import _bessel_functions


@pytest.mark.parametrize("l_max", [0, 1, 2, 5, 9, 20])
def test_equal_to_those_of_any_order(l_max: int) -> None:
    z = np.concatenate([np.geomspace(1e-12, 1e4, 500), np.linspace(0.1, 450.0, 999)])
    found = list(_bessel_functions(z.reshape(1, -1), l_max))
    assert len(found) == l_max + 1
    for l, values in enumerate(found):  # noqa: E741
        expected = np.sqrt(np.pi / (2 * z)) * ive(l + 0.5, z)
        np.testing.assert_allclose(values[0], expected, rtol=1e-11)
