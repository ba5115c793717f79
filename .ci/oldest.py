"""Print pip constraints that hold every dependency of pyproject.toml at its declared lower bound.

Run from the repository root: ``python .ci/oldest.py EXTRA... > constraints.txt``. The packages are
those of the project itself and of the extras named, extras of extras included.
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement


def requirements(project: dict, texts: Iterable[str]) -> Iterator[Requirement]:
    """Parse requirements; the project's own extras, such as ``dipkit[plot]``, become theirs."""
    for requirement in map(Requirement, texts):
        if requirement.name != project["name"]:
            yield requirement
        for extra in requirement.extras if requirement.name == project["name"] else ():
            yield from requirements(project, project["optional-dependencies"][extra])


def constraint(requirement: Requirement) -> str:
    """Hold one requirement at its lower bound; pip allows no extras in constraints."""
    bounds = [bound.version for bound in requirement.specifier if bound.operator in (">=", "==")]
    if len(bounds) != 1:
        raise SystemExit(f"pyproject.toml: expected one lower bound, got: {requirement}")
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={bounds[0]}{marker}"


def main() -> None:
    """Print one constraint a line."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    named = [*project["dependencies"], f"{project['name']}[{','.join(sys.argv[1:])}]"]
    print(*sorted({constraint(found) for found in requirements(project, named)}), sep="\n")


if __name__ == "__main__":
    main()
