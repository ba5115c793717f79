"""The command ``dipkit suggest``.

The choice is made in `dipkit.estimator.label_suggestions`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, read_molecules, read_unlabelled, show
from ..options import JsonOption, ModelArgument
from ..reading import Reading, files_read, reads_labels
from ..streams import expand, name_of, writes


@reads_labels
@writes("output", to_stdout=True)
def suggest(
    model: ModelArgument,
    pool: Annotated[
        list[Path],
        typer.Argument(
            metavar="POOL...",
            help="Molecules to choose from, as DATA of other commands; - is stdin.",
            show_default=False,
            callback=expand,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File of the chosen molecules: .xyz; - is stdout.",
            show_default=False,
        ),
    ],
    number: Annotated[int, typer.Option("--number", "-k", min=1, help="Molecules to choose.")] = 50,
    labelled: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Molecules that MODEL was fitted to. May be given more than once.",
            show_default="those of POOL with a label",
            callback=expand,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the choice of 5,000 candidates from a larger pool.")
    ] = 0,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Choose the molecules of POOL whose labels would lower the error of MODEL most."""
    from ...estimator.label_suggestions import suggest_labels
    from ...estimator.persistence import load_model
    from ..suggestion_files import SUGGESTION_SUFFIXES, summary_of, write_suggestion
    from ..writers import check_output

    inputs = [model, *pool, *files_read(labelled or pool, reading)]
    check_output(output, SUGGESTION_SUFFIXES, inputs)
    loaded = load_model(model)
    if not labelled:
        molecules, known = read_molecules(pool, reading), None
    else:
        molecules, known = read_unlabelled(pool, reading), read_molecules(labelled, reading)
    with busy("choosing"):
        found = suggest_labels(loaded, molecules, number, known, seed)
    write_suggestion(output, found)
    show({"output": name_of(output), **summary_of(found)}, as_json, err=True)
