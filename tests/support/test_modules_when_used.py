"""Modules that are imported, and loaded at their first use."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dipkit.support.imports import modules_when_used

PACKAGE = "a_large_package"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package on the path, and the modules of it whose code has run."""
    (tmp_path / PACKAGE).mkdir()
    code = "import builtins\nbuiltins.runs_of_test.append(__name__)\n"
    (tmp_path / PACKAGE / "__init__.py").write_text(f"{code}from .inner import two\nname = 'all'\n")
    (tmp_path / PACKAGE / "inner.py").write_text(f"{code}two = 2\n")
    (tmp_path / PACKAGE / "other.py").write_text(f"{code}from . import name\n")
    (tmp_path / "a_damaged_module.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []
    monkeypatch.setattr("builtins.runs_of_test", names, raising=False)
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    return names


def test_the_code_runs_at_the_first_use(runs: list[str]) -> None:
    finders = list(sys.meta_path)
    with modules_when_used([PACKAGE]):
        package = importlib.import_module(PACKAGE)
    assert sys.meta_path == finders
    assert importlib.import_module(PACKAGE) is package
    assert package.__spec__ is not None
    assert runs == []
    assert package.two == 2
    assert runs == [PACKAGE, f"{PACKAGE}.inner"]
    assert type(package) is ModuleType
    assert package.name == "all"
    assert len(runs) == 2
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_a_module_inside_is_a_use(runs: list[str]) -> None:
    with modules_when_used([PACKAGE]):
        importlib.import_module(PACKAGE)
        other = importlib.import_module(f"{PACKAGE}.other")
    assert other.name == "all"
    assert runs == [PACKAGE, f"{PACKAGE}.inner", f"{PACKAGE}.other"]


def test_names_from_it_are_a_use(runs: list[str]) -> None:
    with modules_when_used([PACKAGE]):
        scope: dict[str, object] = {}
        exec(f"from {PACKAGE} import two", scope)
    assert scope["two"] == 2
    assert runs == [PACKAGE, f"{PACKAGE}.inner"]


@pytest.mark.usefixtures("runs")
def test_modules_that_are_not_there_and_damaged_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a_damaged_module"
    with modules_when_used(["nothing_of_this_name", name]):
        with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
            importlib.import_module("nothing_of_this_name")
        damaged = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        _ = damaged.anything
