"""A page needs no other file, and shows text as it is."""

import re
import sys

import pytest

from dipkit.report.html_page import Table, write_html_report
from dipkit.report.parity import ParityDisplay
from dipkit.report.plots import new_figure, save_figure, svg_of


def figure():
    pytest.importorskip("matplotlib")
    made = new_figure(5, 5)
    ParityDisplay.from_predictions([0.5, 1.0], [0.4, 1.3], ax=made.subplots())
    return made


def test_files(tmp_path) -> None:
    save_figure(figure(), tmp_path / "parity.png")
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "report.html"
    write_html_report(
        page,
        title="A <title>",
        tables=[Table("Errors", ("model", "MAE (D)"), [["a & b", 0.1], ["c", None]], highlight=0)],
        figures={"Parity": figure()},
        settings={"alpha": 3e-5},
    )
    text = page.read_text("utf-8")
    assert "A &lt;title&gt;" in text
    assert "a &amp; b" in text
    assert "3e-05" in text
    assert "debye" in text
    # Nothing is fetched: the only source of a picture is the page itself.
    sources = re.findall(r'(?:src|href)="([^"]{0,18})', text)
    assert sources == ["data:,", "data:image/svg+xml"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["parity.png", "report.html"]


def test_the_same_figure_gives_the_same_svg() -> None:
    assert svg_of(figure()) == svg_of(figure())


def test_page_without_pictures_needs_no_matplotlib(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_html_report(tmp_path / "report.html", title="Only a table")
    assert "Only a table" in (tmp_path / "report.html").read_text("utf-8")
