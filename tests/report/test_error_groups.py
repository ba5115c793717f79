"""Groups of errors: every molecule counts where it belongs, tables say what plots show."""

import numpy as np
import pytest

from dipkit.data.datasets import load_organics
from dipkit.report import error_groups
from dipkit.report.error_plots import draw_calibration, draw_groups

MOLECULES = load_organics()[:200]
ERRORS = np.random.default_rng(0).normal(0, 0.2, 200)


@pytest.mark.parametrize("group", [error_groups.by_size, error_groups.by_magnitude])
def test_each_molecule_is_in_one_group(group) -> None:
    groups = group(MOLECULES, ERRORS)
    assert sum(groups.counts) == 200
    assert len(groups.counts) <= error_groups.N_GROUPS
    total = np.dot(groups.counts, groups.means) / 200
    assert total == pytest.approx(np.abs(ERRORS).mean())
    assert all(n > 0 for n in groups.counts)
    assert len(set(groups.labels)) == len(groups.labels)


def test_few_sizes_are_groups_of_their_own() -> None:
    some = MOLECULES[np.isin(MOLECULES.natoms, [8, 12])]
    groups = error_groups.by_size(some, ERRORS[: len(some)])
    assert groups.labels == ["8", "12"]
    assert groups.counts == [(some.natoms == 8).sum(), (some.natoms == 12).sum()]


def test_one_molecule() -> None:
    groups = error_groups.by_size(MOLECULES[:1], ERRORS[:1])
    assert groups.counts == [1]
    assert error_groups.calibration(np.array([0.1]), ERRORS[:1]).counts == [1]


def test_elements() -> None:
    groups = error_groups.by_element(MOLECULES, ERRORS)
    at = groups.labels.index("F")
    holding = [index for index, one in enumerate(MOLECULES) if 9 in one.numbers]
    assert groups.counts[at] == len(holding)
    assert groups.means[at] == pytest.approx(np.abs(ERRORS[holding]).mean())
    assert groups.medians[at] == pytest.approx(np.median(np.abs(ERRORS[holding])))


def test_right_deviations_are_found_right() -> None:
    rng = np.random.default_rng(1)
    std = rng.uniform(0.05, 0.5, 20000)
    found = error_groups.calibration(std, std * rng.standard_normal(20000))
    np.testing.assert_allclose(found.rms, found.std, rtol=0.05)
    np.testing.assert_allclose(found.shares, (0.683, 0.95), atol=0.01)
    assert sum(found.counts) == 20000


def test_figures_and_tables_hold_the_same() -> None:
    pytest.importorskip("matplotlib")
    groups = error_groups.by_element(MOLECULES, ERRORS)
    (axes,) = draw_groups(groups).axes
    assert [bar.get_height() for bar in axes.patches] == groups.means
    assert [row[2] for row in groups.table().rows] == groups.means
    assert [text.get_text() for text in axes.get_xticklabels()] == groups.labels
    found = error_groups.calibration(np.abs(ERRORS) + 0.01, ERRORS)
    (axes,) = draw_calibration(found).axes
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), found.rms)
    assert [row[2] for row in found.table().rows] == found.rms
    assert len(axes.get_xticks()) >= 2
