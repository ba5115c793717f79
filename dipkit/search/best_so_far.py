"""The best trial so far and its model, which an interrupted search keeps.

A fit may take longer than a signal leaves. So the model is fitted as soon as a trial turns out to
be the best. The model of the best of all trials is not fitted again at the end.
"""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any

from . import study
from .space import Params
from .trial import FAILURES, SearchTask

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["BestSoFar", "warn_interrupted"]


class BestSoFar:
    """Callback of a study that keeps its best trial, and fits that to all molecules.

    Parameters
    ----------
    task : SearchTask
    fits : bool
        False keeps the trial alone.

    Attributes
    ----------
    trial : FrozenTrial or None
        None until the first trial has a score, and a model if `fits`.
    params : dict
        Parameters of the trial.
    model : estimator or None
    """

    def __init__(self, task: SearchTask, fits: bool) -> None:
        self.trial: FrozenTrial | None = None
        self.params: Params = {}
        self.model: Any = None
        self._task, self._fits, self._lock = task, fits, threading.Lock()

    def __call__(self, opened: Study, trial: FrozenTrial) -> None:
        """Keep a trial that is the best one of the study."""
        if trial.value is None or study.best(opened).number != trial.number:
            return
        params = self._task.params_of(trial)
        try:
            model = self._task.fit_all(params) if self._fits else None
        except FAILURES:
            return  # the fit at the end of the search says why
        with self._lock:  # trials may run in several threads
            if self.trial is None or study.score_of(trial) > study.score_of(self.trial):
                self.trial, self.params, self.model = trial, params, model


def warn_interrupted(n_trials: int, compares: bool) -> None:
    """Warn of what an interrupted search has left out.

    Parameters
    ----------
    n_trials : int
        Finished trials.
    compares : bool
        Whether the search would have compared the best trial with the untuned parameters.
    """
    text = f"The search was interrupted after {n_trials} finished trials; the best one is kept"
    if compares:
        text += ", and was not compared with the untuned parameters"
    warnings.warn(f"{text}.", UserWarning, stacklevel=3)
