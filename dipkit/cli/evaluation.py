"""Steps of `dipkit evaluate` after reading: predict once, compare, write what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.molecules import Molecules
from ..estimator.metrics import Report, compare
from ..estimator.pipeline import keeps_std, predict_all
from ..support.files import PathLike
from .console import busy
from .error_files import write_errors
from .writers import PAGE_SUFFIXES, TABLE_SUFFIXES, check_output


def check_outputs(table: Path | None, page: Path | None, inputs: Sequence[PathLike | None]) -> None:
    """Refuse files that could not be written or would replace others, before any work is done."""
    if table is not None:
        check_output(table, TABLE_SUFFIXES, [*inputs, page])
    if page is not None:
        from ..report.plots import require_matplotlib

        require_matplotlib()
        check_output(page, PAGE_SUFFIXES, inputs)


def evaluate_model(
    model: Any, molecules: Molecules, table: Path | None, page: Path | None
) -> Report:
    """Compare a model with labels.

    Parameters
    ----------
    model : Pipeline
        Fitted.
    molecules : Molecules
        With labels.
    table : path or None
        Where to write the errors of each molecule.
    page : path or None
        Where to write the report.

    Returns
    -------
    dict
        Figures of `dipkit.estimator.compare`.
    """
    with_std = keeps_std(model) and not (table is None and page is None)
    with busy("predicting"):
        prediction = predict_all(model, molecules, return_std=with_std)
        errors = compare(model, molecules, prediction)
    if table is not None:
        write_errors(table, molecules, prediction)
    if page is not None:
        from ..report import model_report

        with busy("drawing"):
            model_report(model, molecules, prediction=prediction).save(page)
    return errors
