"""Tables and bars of notebooks; the notebook itself is a stand-in for IPython."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from dipkit.support import notebook, parallel


class Shown(list):
    """Everything that was displayed, in order."""

    def display(self, html, display_id):
        """Keep what is shown; later changes come through the handle."""
        assert display_id
        self.append(html)
        return SimpleNamespace(update=self.append)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Pretend to run in the kernel of a notebook, where bars are drawn at once."""
    found, package, display = Shown(), ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.HTML, display.display = str, found.display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "DELAY", 0.0)
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    return found


def test_kernels_are_told_from_terminals(shown, monkeypatch) -> None:
    assert notebook.in_notebook()
    sys.modules["IPython"].get_ipython = lambda: SimpleNamespace()  # IPython in a terminal
    assert not notebook.in_notebook()
    sys.modules["IPython"].get_ipython = lambda: None  # imported by a script
    assert not notebook.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not notebook.in_notebook()


@pytest.mark.parametrize("verbose", ["auto", "notebook", True])
def test_bar(shown, verbose) -> None:
    with parallel.progress("<labels>", 2, verbose) as advance:
        advance()
        advance()
    assert "&lt;labels&gt;: 1 of 2" in shown[0]
    assert 'value="2" max="2"' in shown[1]
    assert shown[2:] == [""]  # removed at the end


def test_no_bar_where_none_is_wanted(shown) -> None:
    for total, verbose in ((2, False), (1, "auto")):
        with parallel.progress("labels", total, verbose) as advance:
            advance()
    assert shown == []


def test_a_bar_within_a_bar_is_not_shown(shown) -> None:
    with parallel.progress("search", 3, "auto") as outer:
        outer()
        with parallel.progress("fit", 3, "auto") as inner:
            inner()
        outer()
    assert [text.partition(":")[0] for text in shown] == ["<label>search", "<label>search", ""]


def test_short_tasks_show_nothing(shown, monkeypatch) -> None:
    monkeypatch.setattr(notebook, "DELAY", 1000.0)
    with parallel.progress("labels", 3, "auto") as advance:
        advance()
    assert shown == []


def test_a_bar_goes_after_an_error(shown) -> None:
    def fail():
        with parallel.progress("labels", 3, "auto") as advance:
            advance()
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert shown[-1] == ""
    with parallel.progress("again", 3, "auto") as advance:
        advance()
    assert "again" in shown[-2]


def test_outside_of_notebooks_there_is_no_bar_for_them(capsys) -> None:
    with parallel.progress("labels", 3, "notebook") as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_tables_show_text_as_it_is() -> None:
    text = notebook.table_of("a & b", ("<name>", "x (D)"), [["<script>", 0.12345], ["c", None]])
    assert "<script>" not in text
    assert "a &amp; b" in text
    assert "0.123<" in text
    assert ">–<" in text
    assert "<thead>" not in notebook.table_of("", (), [["a", 1]])
