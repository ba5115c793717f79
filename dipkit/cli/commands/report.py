"""The command ``dipkit report``.

The page is made in `dipkit.report.model_page`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, read_molecules, show
from ..options import DataArgument, JsonOption, ModelArgument
from ..reading import Reading, files_read, reads_labels
from ..streams import writes


@reads_labels
@writes("output")
def report(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Page to write: .html", show_default=False)
    ],
    title: Annotated[
        str | None, typer.Option(help="Heading of the page.", show_default="number of molecules")
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Learning curve to show besides: a table with the columns train_size and mae.",
        ),
    ] = None,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Write a page with the errors of MODEL on DATA, and its molecules in 3D."""
    from ...estimator.persistence import load_model
    from ...report import LearningCurveDisplay, model_report
    from ...report.plots import require_matplotlib
    from ..writers import PAGE_SUFFIXES, check_output

    require_matplotlib()
    check_output(output, PAGE_SUFFIXES, [model, curve, *files_read(data, reading)])
    shown = None if curve is None else LearningCurveDisplay.from_csv(curve)
    loaded, molecules = load_model(model), read_molecules(data, reading)
    with busy("predicting"):
        page = model_report(loaded, molecules, title=title, learning_curve=shown)
    page.save(output)
    show({"output": str(output), **page.errors}, as_json, err=True)
