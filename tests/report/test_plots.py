"""Plots are labelled and leave no state behind; the page needs no other file."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dipkit.exceptions import InputError, MissingDependencyError
from dipkit.report.html_page import Table
from dipkit.report.plots import (
    plot_convergence,
    plot_learning_curve,
    plot_parity,
    save_figure,
    write_html_report,
)

TRUE, PREDICTED = np.array([0.5, 1.0, 2.5, 4.0]), np.array([0.4, 1.3, 2.5, 3.0])


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib")


@pytest.mark.usefixtures("matplotlib")
def test_parity_plot() -> None:
    parity, errors = plot_parity(TRUE, PREDICTED, label="B3LYP").axes
    assert parity.get_xlabel() == "|μ| B3LYP (D)"
    assert "(D)" in parity.get_ylabel()
    assert "(D)" in errors.get_xlabel()
    assert parity.get_xlim() == parity.get_ylim()
    assert parity.get_box_aspect() == 1
    assert "0.350 D" in parity.texts[0].get_text()  # the mean absolute error
    assert sum(bar.get_height() for bar in errors.patches) == len(TRUE)


@pytest.mark.usefixtures("matplotlib")
def test_parity_plot_refuses_vectors() -> None:
    with pytest.raises(InputError, match="magnitudes"):
        plot_parity(np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.usefixtures("matplotlib")
def test_learning_curve_and_convergence() -> None:
    curves = {"a": [1.0, 0.5], "b": [[0.8, 0.9], [0.3, 0.4]]}
    (axes,) = plot_learning_curve([100, 1000], curves).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [0.85, 0.35])
    (axes,) = plot_convergence(SimpleNamespace(history=[3.0, 2.0, 1.5, 1.5])).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1.0, 1 / 3])
    estimator = SimpleNamespace(history_=np.array([3.0, 2.0]))
    assert "1 iterations" in plot_convergence(estimator).axes[0].get_title()


@pytest.mark.usefixtures("matplotlib")
def test_files(tmp_path) -> None:
    figure = plot_parity(TRUE, PREDICTED)
    save_figure(figure, tmp_path / "parity.png")
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "report.html"
    write_html_report(
        page,
        title="A <title>",
        tables=[Table("Errors", ("model", "MAE (D)"), [["a & b", 0.1], ["c", None]], highlight=0)],
        figures={"Parity": figure},
        settings={"alpha": 3e-5},
    )
    text = page.read_text("utf-8")
    assert "A &lt;title&gt;" in text
    assert "a &amp; b" in text
    assert "3e-05" in text
    assert "debye" in text
    # Nothing is fetched: the only source of a picture is the page itself.
    assert re.findall(r'(?:src|href)="([^"]{0,22})', text) == ["data:image/png;base64,"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["parity.png", "report.html"]


def test_page_without_pictures_needs_no_matplotlib(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_html_report(tmp_path / "report.html", title="Only a table")
    with pytest.raises(MissingDependencyError, match=r"dipkit\[plot\]"):
        plot_parity(TRUE, PREDICTED)
