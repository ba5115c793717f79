"""Steps of `dipkit predict`: checks of its files, and predictions beside labels."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..data.read_options import ReadKeywords, ReadOptions
from ..data.several_files import read_several, shifted
from ..estimator.pipeline import predict_all, predict_each
from ..estimator.predicted_molecules import Prediction
from ..exceptions import InputError
from ..support.ahead import ItemsAhead
from ..support.files import PathLike
from .read_ahead import read_file
from .writers import PREDICTION_SUFFIXES, TABLE_SUFFIXES, check_output


def check_files(
    output: Path,
    charges: Path | None,
    reference: bool,
    ase_results: bool,
    inputs: Sequence[PathLike | None],
) -> None:
    """Refuse files that could not be written, and options that do not fit them.

    Raises
    ------
    InputError
        If an option is for another kind of file, nothing can be written there, or a file that is
        read or written besides would be replaced.
    """
    check_output(output, PREDICTION_SUFFIXES, [*inputs, charges])
    if charges is not None:
        check_output(charges, TABLE_SUFFIXES, inputs)
    table = output.suffix.lower() in TABLE_SUFFIXES
    if reference and not table:
        raise InputError(
            f"--reference: expected a table as output, got {output.name!r}. Write a .csv, or use "
            "`dipkit evaluate -o errors.csv`."
        )
    if ase_results and table:
        raise InputError(
            f"--ase-results: expected a .xyz file as output, got {output.name!r}. A table always "
            "has the vectors; --charges-output writes the charges."
        )


def refuse_label_options(reading: ReadKeywords) -> None:
    """Refuse options about labels where no labels are read.

    Raises
    ------
    InputError
    """
    options = {"dipole_key": "--dipole", "dipole_unit": "--dipole-unit"}
    options |= {"charges_key": "--charges", "labels_file": "--labels"}
    given = [options[name] for name in ReadOptions(**reading).about_labels if name in options]
    if given:
        raise InputError(
            f"{', '.join(given)}: no labels are read without --reference. Add --reference to write "
            "labels and errors beside the predictions, or leave the option out."
        )


def predict_file(
    model: Any,
    data: Sequence[Path],
    with_std: bool,
    reading: ReadKeywords,
    reference: bool,
    begun: ItemsAhead[Molecules] | None = None,
) -> Iterator[Prediction]:
    """Predict part by part, or with labels all files at once.

    A file without any good record is no error here where bad records are left out.

    Parameters
    ----------
    model : Pipeline
    data : sequence of path
    with_std : bool
    reading : dict
        Keywords of `dipkit.data.io.read`.
    reference : bool
        Whether labels are read.
    begun : ItemsAhead, default=None
        The first file, from `begin_reading`.

    Yields
    ------
    Prediction

    Raises
    ------
    InputError
        If labels are wanted, and no molecule has a dipole label.
    """
    if not reference:
        n_before = 0
        for path in data:
            parts = read_file(path, reading, begun)
            predictions = predict_each(model, parts, with_std, reading["skip_invalid"])
            n_before += yield from _of_one_file(predictions, n_before)
            begun = None
        return
    molecules = read_several(data, **reading)
    if not molecules.has_magnitude.any():
        raise missing_labels_error("dipole", molecules.source_keys, molecules.notes.numeric_keys)
    yield predict_all(model, molecules, with_std, reading["skip_invalid"])


def _of_one_file(
    predictions: Iterator[Prediction], n_before: int
) -> Generator[Prediction, None, int]:
    """Pass on those of one file, with records of other files before it; return how many it has."""
    n_good = n_bad = 0
    try:
        for part in predictions:
            n_good += len(part.molecules)
            n_bad += len(part.molecules.notes.bad)
            yield replace(part, molecules=shifted(part.molecules, n_before))
    except InputError:
        # Other files may be good; the command counts and names the bad records of this one.
        if n_good or not n_bad:
            raise
    return n_good + n_bad
