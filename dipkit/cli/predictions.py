"""Steps of `dipkit predict`: checks of its files, and predictions beside labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..estimator.pipeline import PART_MOLECULES, Prediction, predict_all
from ..exceptions import InputError
from .writers import PREDICTION_SUFFIXES, TABLE_SUFFIXES, check_output


def check_files(output: Path, charges: Path | None, reference: bool, ase_results: bool) -> None:
    """Refuse files that could not be written, and options that do not fit them.

    Raises
    ------
    InputError
        If an option is for another kind of file, or nothing can be written there.
    """
    check_output(output, PREDICTION_SUFFIXES)
    if charges is not None:
        check_output(charges, TABLE_SUFFIXES)
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


def predict_labelled(model: Any, molecules: Molecules, with_std: bool) -> Iterator[Prediction]:
    """Predict part by part; the molecules of each part keep their labels.

    Raises
    ------
    InputError
        If no molecule has a dipole label.
    """
    if not molecules.has_magnitude.any():
        raise missing_labels_error("dipole", molecules.source_keys)
    starts = range(0, len(molecules), PART_MOLECULES)
    return (
        predict_all(model, molecules[start : start + PART_MOLECULES], with_std) for start in starts
    )
