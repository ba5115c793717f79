"""Imports point downwards, a dependency enters through one door, `import dipkit` stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dipkit

PACKAGE = Path(__file__).resolve().parents[1] / "dipkit"

# Lowest first: a room imports from itself and from lower floors. Rooms of one floor do not see each
# other.
FLOORS = (
    {"support"},
    {"data"},
    {"descriptors", "quantum"},
    {"learning"},
    {"estimator"},
    {"response", "report"},
    {"search"},
    {"cli"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What stands outside the rooms: the first two are seen by all, the others see all.
TOP = {"exceptions", "units", "__init__", "__main__"}

# A module, or a room, through which alone a dependency is imported.
DOORS = {
    "IPython": "support.notebook",
    "cupy": "support.backend",
    "cupyx": "support.backend",
    "dscribe": "descriptors.radial_tables",
    "matplotlib": "report.plots",
    "optuna": "search.optuna_objects",
    "pooch": "data.download",
    "psutil": "support",
    "pyscf": "quantum.mean_field",
    "requests": "data.download",
    "skops": "estimator.persistence",
    "tblite": "quantum.xtb",
    "threadpoolctl": "support.blas_threads",
    "typer": "cli",
}

# `import dipkit` loads none of them; public names load what they need.
NOT_AT_IMPORT = {
    "IPython",
    "ase",
    "cupy",
    "dask",
    "distributed",
    "dscribe",
    "joblib",
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "pooch",
    "psutil",
    "pyscf",
    "requests",
    "rich",
    "scipy",
    "skops",
    "sklearn",
    "tblite",
    "typer",
}
# Nor do all public names together load these: they are optional, or for single commands.
NOT_WITH_PUBLIC_NAMES = NOT_AT_IMPORT.intersection(
    ["IPython", "cupy", "dask", "matplotlib", "optuna", "pooch", "pyscf", "requests", "tblite"]
)

FILES = sorted(PACKAGE.rglob("*.py"))
# A public face names what a room offers.
MOST_LINES_OF_A_FACE = 60
MOST_FILES_AT_THE_TOP = 8
MOST_LINES_OF_A_MODULE = 350


def module_name(path: Path) -> str:
    """Dotted name of a module below the package, for example ``data.formats.npz``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(module: str) -> str:
    """Room of a module; the module itself where it stands outside the rooms."""
    return module.partition(".")[0]


def is_type_checking(node: ast.AST) -> bool:
    """Whether this is an `if TYPE_CHECKING:` block, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without its `if TYPE_CHECKING:` blocks."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
            continue
        yield node
        yield from nodes_that_run(node)


def imported_names(source: str, package: str = "dipkit") -> Iterator[str]:
    """Full dotted names that a module of `package` imports, at its top or inside functions."""
    for node in nodes_that_run(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = [
                *(above if node.level else []),
                *(node.module.split(".") if node.module else []),
            ]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def package_of(path: Path) -> str:
    """Package that a file's relative imports start from."""
    return ".".join(["dipkit", *path.parent.relative_to(PACKAGE).parts])


def sibling(name: str) -> str | None:
    """Module of dipkit behind an imported name; None for other packages and for the version."""
    head, _, rest = name.partition(".")
    if head != "dipkit" or rest == "__version__":
        return None
    parts = rest.split(".")
    for n in range(len(parts), 0, -1):
        base = PACKAGE.joinpath(*parts[:n])
        if base.with_suffix(".py").is_file():
            return ".".join(parts[:n])
        if base.is_dir():
            return ".".join([*parts[:n], "__init__"])
    return "__init__"


def siblings_imported(path: Path) -> set[str]:
    """Modules of dipkit that one file imports."""
    found = map(sibling, imported_names(path.read_text("utf-8"), package_of(path)))
    return {module for module in found if module} - {module_name(path)}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(module_name(path))
    others = {room_of(module) for module in siblings_imported(path)} - {room}
    if room in ("__init__", "__main__"):
        return
    if room in ("exceptions", "units"):
        assert not others
        return
    assert room in FLOOR_OF, f"dipkit/{room} is on no floor: add it to FLOORS here"
    wrong = {
        other
        for other in others - {"exceptions", "units"}
        if FLOOR_OF.get(other, len(FLOORS)) >= FLOOR_OF[room]
    }
    assert not wrong, f"{module_name(path)} imports from its own floor or above: {sorted(wrong)}"


def test_no_circular_imports() -> None:
    graph = {module_name(path): siblings_imported(path) for path in FILES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError and names the circle
    assert sorted(order) == sorted(graph)


def test_modules_are_short() -> None:
    lines = {module_name(path): path.read_text("utf-8").count("\n") for path in FILES}
    long = {module: n for module, n in lines.items() if n > MOST_LINES_OF_A_MODULE}
    assert not long, f"more than {MOST_LINES_OF_A_MODULE} lines, one idea a module: {long}"


def test_few_files_at_the_top() -> None:
    files = {module_name(path) for path in PACKAGE.glob("*.py")}
    assert files == TOP
    assert len(files) <= MOST_FILES_AT_THE_TOP


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py"], ids=module_name
)
def test_a_face_is_short_and_describes_its_room(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") < MOST_LINES_OF_A_FACE
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring is not None
    if path.parent.parent == PACKAGE:
        assert "Begin with" in docstring


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py"], ids=module_name
)
def test_a_face_hides_no_module(path: Path) -> None:
    """``from .x import x`` would make ``room.x`` the function, and the module out of reach."""
    modules = {file.stem for file in path.parent.glob("*.py")}
    names = {name.rpartition(".")[2] for name in imported_names(path.read_text("utf-8"))}
    assert not (modules & names) - {"exceptions", "units"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_dependency_enters_through_its_door(path: Path) -> None:
    heads = {name.partition(".")[0] for name in imported_names(path.read_text("utf-8"))}
    wrong = {
        head: DOORS[head]
        for head in heads.intersection(DOORS)
        if not f"{module_name(path)}.".startswith(f"{DOORS[head]}.")
    }
    assert not wrong, f"dipkit/{module_name(path)} imports what belongs elsewhere: {wrong}"


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("from . import io", "dipkit.data", {"data.io"}),
        ("from .io import read, write", "dipkit.data", {"data.io"}),
        ("from ..io import read", "dipkit.data.formats", {"data.io"}),
        ("from ...units import DEBYE", "dipkit.data.formats", {"units"}),
        ("from ..support import backend", "dipkit.data", {"support.backend"}),
        ("from ..data import Molecules", "dipkit.learning", {"data.__init__"}),
        ("import dipkit.data.io as io", "dipkit", {"data.io"}),
        ("def late():\n    from dipkit.cli.app import main", "dipkit", {"cli.app"}),
        ("if TYPE_CHECKING:\n    from .cli import main", "dipkit", set()),
        ("from numpy.linalg import norm", "dipkit", set()),
    ],
)
def test_reading_of_imports(source: str, package: str, expected: set[str]) -> None:
    found = {sibling(name) for name in imported_names(source, package)}
    assert found - {None} == expected


def packages_loaded(code: str) -> set[str]:
    """Top-level packages that a new interpreter has loaded after some code."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import dipkit", NOT_AT_IMPORT),
        ("from dipkit import *", NOT_WITH_PUBLIC_NAMES),
        ("import dipkit; dipkit.read", NOT_WITH_PUBLIC_NAMES | {"sklearn", "pandas"}),
        ("import dipkit.cli.app", NOT_AT_IMPORT - {"numpy", "psutil", "rich", "typer"}),
    ],
)
def test_import_loads_no_heavy_package(code: str, heavy: set[str]) -> None:
    loaded = sorted(heavy & packages_loaded(code))
    assert not loaded, f"`{code}` loads {loaded}; import them where they are used"


def test_info_of_molecules_loads_no_learning() -> None:
    file = str(PACKAGE / "data" / "bundled" / "organics.npz")
    code = f"from dipkit.cli.app import app; app(['info', {file!r}], standalone_mode=False)"
    assert not {"sklearn", "skops", "optuna", "matplotlib"} & packages_loaded(code)


def test_stub_names_what_the_package_offers() -> None:
    stub = (PACKAGE / "__init__.pyi").read_text("utf-8")
    public = set(imported_names(stub))
    assert {f"dipkit.{name}" for name in ("exceptions", "units")} <= public
    modules = {f"dipkit.{module}.{name}" for name, module in dipkit._MODULE_OF.items()}
    assert public == modules | {"dipkit.exceptions", "dipkit.units"}
    [listed] = [
        ast.literal_eval(node.value)
        for node in ast.parse(stub).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert sorted(listed) == dipkit.__all__


def test_every_public_name_is_there() -> None:
    for name in [*dipkit.__all__, *dipkit._ROOMS]:
        assert name in dir(dipkit)
        assert getattr(dipkit, name) is getattr(dipkit, name)
    assert set(dipkit._ROOMS) < set(FLOOR_OF)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dipkit' has no attribute 'Molecule'"):
        dipkit.Molecule  # noqa: B018
