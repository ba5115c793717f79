"""Files and summaries of `dipkit suggest`. No key has the name of a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data.formats.ase_atoms import to_atoms
from ..data.io import write_atoms
from ..support.files import PathLike

if TYPE_CHECKING:
    from ..estimator.label_suggestions import LabelSuggestion

__all__ = ["SUGGESTION_SUFFIXES", "summary_of", "write_suggestion"]

SUGGESTION_SUFFIXES = (".xyz", ".extxyz")
# Place in the order of the choice from 1, standard deviation of the predicted magnitude, and the
# error to expect with the labels up to this one, debye.
RANK, STD, ERROR = "suggested_rank", "suggested_std_debye", "suggested_error_debye"


def write_suggestion(path: PathLike, found: LabelSuggestion) -> None:
    """Write the chosen molecules as extended XYZ, the best one first."""
    frames = to_atoms(found.molecules)
    for rank, frame in enumerate(frames, start=1):
        frame.info[RANK] = rank
        frame.info[STD] = round(float(found.std[rank - 1]), 4)
        frame.info[ERROR] = round(float(found.expected_error[rank]), 4)
    write_atoms(path, frames)


def summary_of(found: LabelSuggestion) -> dict[str, object]:
    """Return what the command shows: the errors to expect, in debye."""
    return {
        "molecules": len(found.molecules),
        "expected_error_debye": {
            "now": round(float(found.expected_error[0]), 4),
            "with these labels": round(float(found.expected_error[-1]), 4),
            "with as many of random molecules": round(found.random_error, 4),
        },
    }
