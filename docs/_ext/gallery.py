"""The gallery: one page for each script in examples/, and a page that lists them.

The docstring of a script is its text on the page: the first line is the title, the next paragraph
says what a reader learns. What the script prints with its full settings is in
docs/example_output/NAME.txt, kept by hand. The pages are written to docs/examples before a build.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# In the order in which a new user needs them.
GROUPS = {
    "First steps": ["quickstart", "own_folder", "charges"],
    "Better models": ["cheap_vectors", "correct_gfn2", "search"],
    "With other programs": ["infrared", "calculator", "ase_atoms"],
    "Going further": ["large_sets", "own_kernel"],
}
_TOP = """# Examples

Each page is a script of the folder `examples/` of the repository. Each runs in the continuous
integration of dipkit, with fewer molecules. There is also a notebook, `examples/notebook.ipynb`.
"""
_PAGE = """# {title}

{text}

{output}## The script

```python
{code}
```
"""
_OUTPUT = """## What it prints

```text
{}
```

"""


def write_pages(app: Sphinx) -> None:
    """Write the pages, before Sphinx looks for documents."""
    docs = Path(app.srcdir)
    scripts = {path.stem: path for path in (docs.parent / "examples").glob("*.py")}
    listed = {name for names in GROUPS.values() for name in names}
    if listed != set(scripts):
        raise ValueError(f"gallery.py: GROUPS differs from examples/ in {listed ^ set(scripts)}")
    folder = docs / "examples"
    folder.mkdir(exist_ok=True)
    lines = [_TOP]
    for group, names in GROUPS.items():
        lines += [f"## {group}\n", "| example | what you learn |", "|---|---|"]
        for name in names:
            title, text, code = _parts(scripts[name])
            printed = docs / "example_output" / f"{name}.txt"
            output = _OUTPUT.format(printed.read_text().strip()) if printed.exists() else ""
            page = _PAGE.format(title=title, text=text, output=output, code=code)
            _write(folder / f"{name}.md", page)
            lines.append(f"| [{title}]({name}.md) | {_learned(text)} |")
        lines.append("")
    pages = [name for names in GROUPS.values() for name in names]
    lines += ["```{toctree}", ":hidden:", "", *pages, "```", ""]
    _write(folder / "index.md", "\n".join(lines))


def _parts(path: Path) -> tuple[str, str, str]:
    """Title, text and code of a script."""
    source = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    title, _, text = docstring.partition("\n\n")
    code = source[source.index('"""', 3) + 3 :].strip()
    return title.rstrip("."), text, code


def _learned(text: str) -> str:
    """First sentences of a text, without the words 'You learn'."""
    sentence = " ".join(text.split("\n\n")[0].split()).removeprefix("You learn ")
    return sentence[0].upper() + sentence[1:]


def _write(path: Path, text: str) -> None:
    """Write a page if it is new, so that Sphinx builds only what changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before each build."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
