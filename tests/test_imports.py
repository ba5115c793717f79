"""Imports point one way, a dependency enters through one door, `import dipkit` stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dipkit"

# Lowest first. A module imports from its own layer and from lower ones, and modules of one layer do
# not import each other in a circle. The second set of a layer holds the private parts of the first.
LAYERS = (
    {"exceptions", "units", "features", "_backend"}
    | {
        "_checks",
        "_elements",
        "_files",
        "_frozen",
        "_gram",
        "_keys",
        "_label_checks",
        "_label_units",
        "_ragged",
        "_scratch",
        "_shared",
    }
    | {
        "_download",
        "_gram",
        "_html",
        "_journal",
        "_plain",
        "_sparse_products",
        "_tasks",
        "_threads",
    },
    {"molecules", "_summary", "kernels", "inducing", "design", "_atomic_dipoles"},
    {"objective", "solvers", "lockstep", "statistics", "scales", "soap", "io", "labels", "datasets"}
    | {
        "_ase_files",
        "_atoms",
        "_calculate",
        "_champs",
        "_charge_features",
        "_describe",
        "_device_spectrum",
        "_discrepancy",
        "_differences",
        "_dscribe",
        "_electrons",
        "_expansion",
        "_gaussian_basis",
        "_mean_field",
        "_memory",
        "_npz",
        "_power_spectrum",
        "_qm9",
        "_records",
        "_sdf",
        "_species",
        "_xtb",
        "spread",
        "starts",
        "uncertainty",
    },
    {"regression"}
    | {"_baseline", "_described", "_direction", "_evaluate", "_fit_labels", "_fit_statistics"}
    | {"_fitting", "_parameters", "_quadrupoles", "_settings"},
    {"predicting", "metrics", "baselines", "folds", "_folded_quadrupoles"},
    {"search", "persistence", "calculator", "derivatives", "report", "vibrations"}
    | {"_labelling", "_outputs", "_study", "_training", "_trials"},
    {"demo", "_tuning", "study_report"},
    {"cli"},
    {"__init__", "__main__"},
)
LAYER_OF = {module: layer for layer, modules in enumerate(LAYERS) for module in modules}

DOORS = {
    "cupy": "_backend",
    "cupyx": "_backend",
    "dscribe": "_dscribe",
    "matplotlib": "report",
    "optuna": "_study",
    "pooch": "_download",
    "pyscf": "_mean_field",
    "requests": "_download",
    "skops": "persistence",
    "tblite": "_xtb",
    "threadpoolctl": "_threads",
    "typer": "cli",
}

NOT_AT_IMPORT = {"cupy", "dask", "matplotlib", "optuna", "pooch", "pyscf", "requests", "tblite"}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """Name of a module below the package; a subpackage counts as one module."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether this is an `if TYPE_CHECKING:` block, which never runs."""
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
    first = rest.partition(".")[0]
    is_module = (PACKAGE / f"{first}.py").is_file() or (PACKAGE / first).is_dir()
    return first if first and is_module else "__init__"


def siblings_imported(path: Path) -> set[str]:
    """Modules of dipkit that one file imports."""
    found = map(sibling, imported_names(path.read_text("utf-8"), package_of(path)))
    return {module for module in found if module} - {module_name(path)}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    module = module_name(path)
    assert module in LAYER_OF, (
        f"dipkit/{module} is in no layer: add it to LAYERS in tests/test_imports.py"
    )
    upward = {
        other for other in siblings_imported(path) if LAYER_OF.get(other, 0) > LAYER_OF[module]
    }
    assert not upward, f"dipkit/{module} imports from layers above its own: {sorted(upward)}"


def test_no_circular_imports() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(module_name(path), set()).update(siblings_imported(path))
    TopologicalSorter(graph).prepare()  # raises CycleError and names the circle


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_dependency_enters_through_its_door(path: Path) -> None:
    heads = {name.partition(".")[0] for name in imported_names(path.read_text("utf-8"))}
    wrong = {
        head: DOORS[head]
        for head in heads
        if DOORS.get(head, module_name(path)) != module_name(path)
    }
    assert not wrong, f"dipkit/{module_name(path)} imports what belongs elsewhere: {wrong}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from . import design", {"dipkit.design"}),
        ("from .io import read, write", {"dipkit.io.read", "dipkit.io.write"}),
        ("import dipkit.io as io", {"dipkit.io"}),
        ("def late():\n    from dipkit.cli import main", {"dipkit.cli.main"}),
        ("if TYPE_CHECKING:\n    from .cli import main", set()),
        ("from numpy.linalg import norm", {"numpy.linalg.norm"}),
    ],
)
def test_reading_of_imports(source: str, expected: set[str]) -> None:
    assert set(imported_names(source)) == expected


def test_import_loads_no_optional_package() -> None:
    code = "import sys, dipkit; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert NOT_AT_IMPORT.isdisjoint(result.stdout.split()), (
        f"`import dipkit` loads {sorted(NOT_AT_IMPORT.intersection(result.stdout.split()))}; "
        "import them where they are used"
    )
