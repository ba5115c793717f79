"""Steps of `dipkit tune` between reading and saving: split, search, measure, fit to everything.

Symbols: N molecules, errors in debye. A fifth of the labelled molecules is kept out of the search,
so that the reported error is that of molecules with no influence on the choice. Options are read in
`commands/tune.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..estimator.metrics import predicted_report
from ..exceptions import FileFormatError
from ..report.html_page import Table
from ..search import DipoleSearchCV, space_from_json
from ..search.study import has_scores, score_of
from ..support.json_values import plain
from .signals import be_patient, exit_code
from .writers import rich_table

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

HELD_OUT_SHARE = 0.2
# Fewer labelled molecules than this are not split.
LEAST_PARTED = 10


def read_space(path: Path | None) -> dict[str, Any] | None:
    """Read a search space from a JSON file; None stays None."""
    if path is None:
        return None
    try:
        return space_from_json(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: expected JSON text: {error}.") from error


def storage_file(storage: str | None) -> Path | None:
    """Return the file of a storage; None where it is in memory or behind a URL of a server."""
    if storage is None:
        return None
    text = storage.removeprefix("journal:").removeprefix("sqlite:///")
    return None if "://" in text else Path(text).expanduser()


def part(molecules: Molecules) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split into molecules to search with and molecules to measure on, always in the same way.

    Molecules without a label, or with an element that would else be missing, are searched with.

    Returns
    -------
    search, held_out : ndarray of int
    """
    order = np.random.default_rng(0).permutation(np.flatnonzero(molecules.has_magnitude))
    if len(order) < LEAST_PARTED:
        return np.arange(len(molecules)), order[:0]
    held_out = np.sort(order[: round(HELD_OUT_SHARE * len(order))])
    rest = np.setdiff1d(np.arange(len(molecules)), held_out)
    rare = np.setdiff1d(molecules.elements, molecules[rest].elements)
    holding = np.unique(molecules.molecule_index[np.isin(molecules.numbers, rare)])
    return np.union1d(rest, holding), np.setdiff1d(held_out, holding)


def tune_model(
    molecules: Molecules,
    settings: Mapping[str, Any],
    holdout: bool,
    busy: Callable[[str], AbstractContextManager[Any]],
) -> tuple[DipoleSearchCV, Any, dict[str, Any]]:
    """Search, measure on molecules kept out, and fit the best parameters to all molecules.

    Parameters
    ----------
    molecules : Molecules
    settings : mapping
        Parameters of `DipoleSearchCV`.
    holdout : bool
        Whether to keep a fifth of the molecules out of the search.
    busy : callable
        Gives a context that shows the present step.

    Returns
    -------
    search : DipoleSearchCV
        Fitted to the molecules that were not kept out.
    model : Pipeline
        Fitted to all molecules; to those that were not kept out where a signal ended the search.
    summary : dict
    """
    if not molecules.has_magnitude.any():
        raise missing_labels_error("dipole", molecules.source_keys, molecules.notes.numeric_keys)
    everything = np.arange(len(molecules)), np.arange(0)
    inside, outside = part(molecules) if holdout else everything
    with LiveTable(settings["n_trials"]) as table:
        callbacks = [table.update, _keep_best]
        search = DipoleSearchCV(**settings, callbacks=callbacks).fit(molecules[inside])
    model = search.best_estimator_
    summary: dict[str, Any] = {
        "molecules": len(molecules),
        "trials": search.n_trials_,
        "best_parameters": plain(search.best_params_),
    }
    inner = -search.best_score_
    if not np.isnan(search.gain_):
        summary["kept_untuned"] = search.kept_untuned_
        summary["gain_debye"] = plain([search.gain_, search.gain_error_])
        inner += search.gain_ if search.kept_untuned_ else 0.0
    summary["inner_mae_debye"] = inner
    if len(outside):
        # A signal leaves no time for this, and the model of the search is there.
        with suppress(KeyboardInterrupt):
            if not exit_code():
                model = _measure_and_fit(model, molecules, outside, summary, busy)
    return search, model, summary


def _measure_and_fit(
    model: Any,
    molecules: Molecules,
    outside: NDArray[np.intp],
    summary: dict[str, Any],
    busy: Callable[[str], AbstractContextManager[Any]],
) -> Any:
    """Measure the model on the molecules kept out, and return one that is fitted to all."""
    held_out = molecules[outside]
    with busy("measuring on the molecules kept out"):
        report = predicted_report(held_out.dipole_magnitude, model.predict(held_out))
    summary["held_out"] = report
    if report["mae_debye"] is not None:
        summary["optimism_debye"] = report["mae_debye"] - summary["inner_mae_debye"]
    with busy("fitting to all molecules"):
        return clone(model).fit(molecules)


def _keep_best(study: Study, _: FrozenTrial) -> None:
    """From the first score on, a signal leaves time to write the best model."""
    if has_scores(study):
        be_patient()


class LiveTable:
    """Best so far, trials and time left, on a terminal; nothing in a pipe.

    Parameters
    ----------
    n_trials : int
        Number of trials at the end.
    """

    def __init__(self, n_trials: int):
        self.n_trials, self.started, self.n_here = n_trials, time.monotonic(), 0
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, study: Study, trial: FrozenTrial) -> None:
        """Show the study after a trial."""
        self.n_here += 1
        if self._live is not None:
            self._live.update(rich_table(self.table(study)))

    def table(self, study: Study) -> Table:
        """Tabulate the study."""
        trials = study.get_trials(deepcopy=False)
        states = [trial.state.name for trial in trials]
        scored = [trial for trial in trials if trial.state.name == "COMPLETE"]
        done = sum(name in ("COMPLETE", "PRUNED", "FAIL") for name in states)
        seconds = time.monotonic() - self.started
        left = max(self.n_trials - done, 0) * seconds / max(self.n_here, 1)
        rows: list[list[object]] = [
            ["trials", f"{done} of {self.n_trials}"],
            ["pruned, failed", f"{states.count('PRUNED')}, {states.count('FAIL')}"],
            ["seconds, left about", f"{seconds:.0f}, {left:.0f}"],
        ]
        if scored:
            best = max(scored, key=score_of)
            rows.append(["best MAE, debye", f"{-score_of(best):.4f} (trial {best.number})"])
            shown = best.params | best.user_attrs.get("grid_params", {})
            rows += [
                [name.rpartition("soaptransformer__")[2], f"{value:.4g}"]
                for name, value in shown.items()
                if isinstance(value, int | float)
            ]
        return Table("Search", ("", "now"), rows)
