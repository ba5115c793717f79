"""Molecules and their summary in a notebook."""

import re

import numpy as np

from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules

MOLECULES = load_organics()[:12]


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_first_rows_with_units() -> None:
    html = MOLECULES._repr_html_()
    head, *rows = cells(html)
    assert head == ["name", "formula", "|μ| (D)", "x (D)", "y (D)", "z (D)"]
    assert len(rows) == 5
    assert rows[0][2] == f"{MOLECULES.dipole_magnitude[0]:.3f}"
    assert rows[4][1] == MOLECULES.formulas()[4]
    assert "12 molecules" in html
    assert "the first 5" in html


def test_missing_labels() -> None:
    magnitudes = MOLECULES.dipole_magnitude.copy()
    magnitudes[1] = np.nan
    some = MOLECULES.replace(dipole_vector=None, dipole_magnitude=magnitudes)[:2]
    head, *rows = cells(some._repr_html_())
    assert head == ["name", "formula", "|μ| (D)"]
    assert rows[1][2] == "–"
    assert "the first" not in some._repr_html_()
    bare = Molecules([8], [[0.0, 0, 0]], [0, 1], names=["<b>"], total_charge=[-2.0])
    assert cells(bare._repr_html_()) == [
        ["name", "formula", "charge (e)"],
        ["&lt;b&gt;", "O", "-2.000"],
    ]


def test_no_molecules() -> None:
    assert "0 molecules" in MOLECULES[:0]._repr_html_()


def test_summary_says_units() -> None:
    rows = dict(cells(MOLECULES.summary()._repr_html_()))
    assert rows["molecules"] == "12"
    low, middle, high = MOLECULES.summary().magnitude_range
    assert rows["smallest, median and largest magnitude, debye"] == (
        f"{low:.3g}, {middle:.3g}, {high:.3g}"
    )
    assert rows["molecules of each total charge, e"] == "0: 12"
