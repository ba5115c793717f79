"""The command ``dipkit label``.

Its steps are in `dipkit.quantum.labelling`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, show
from ..options import DataArgument, JsonOption, StrictOption
from ..reading import Reading, reads_geometries
from ..streams import name_of, writes


@reads_geometries
@writes("output", to_stdout=True)
def label(
    data: DataArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File of molecules to write; - is extended XYZ on stdout.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str,
        typer.Option(help="gfn2, hf/BASIS or FUNCTIONAL/BASIS, such as b3lyp/6-31g(2df,p)."),
    ],
    charges_scheme: Annotated[
        str, typer.Option(help="Charges from PySCF: mulliken or meta-lowdin.")
    ] = "mulliken",
    multiplicity: Annotated[
        str,
        typer.Option(
            help="For molecules whose file has none; 'lowest': 1, or 2 if the number of "
            "electrons is odd."
        ),
    ] = "1",
    jobs: Annotated[int, typer.Option(help="Number of processes; -1: one for each core.")] = -1,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Calculate dipoles and charges; a run that was killed can be continued."""
    from ...data.several_files import read_several
    from ...quantum.journal import journal_of
    from ...quantum.labelling import label_file
    from ...quantum.labels import parse_method
    from ...support.files import require_other_file
    from ..writers import MOLECULE_SUFFIXES, check_output

    check_output(output, MOLECULE_SUFFIXES, data)
    require_other_file(journal_of(output), data)
    spin: int | str = int(multiplicity) if multiplicity.isdecimal() else multiplicity
    calculation = parse_method(method, charges_scheme, spin)
    with busy("reading"):
        molecules = read_several(data, **reading | {"labels": False, "skip_invalid": not strict})
    start = time.perf_counter()
    result = label_file(molecules, calculation, output, jobs, strict)
    report = {
        "output": name_of(output),
        "molecules": len(result.molecules),
        "resumed": result.resumed,
        "failed": result.failures,
        "unread": len(molecules.notes.bad),
        **calculation.provenance(result.molecules.elements),
        "seconds": time.perf_counter() - start,
    }
    show(report, as_json, err=True)
