"""Optuna studies: opening, running of trials, trials with a score.

A study is kept in memory or in a storage that several processes share. Not here: the computation of
a trial (`trial.py`), the parameters to draw (`space.py`), the comparison of searches
(`identity.py`), and objects of Optuna (`optuna_objects.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ..exceptions import DipkitError, InputError
from ..support.processes import is_gone, this_process
from .optuna_objects import (
    Storage,
    complete_state,
    contains,
    create_study,
    end_as_failed,
    ended_states,
    errors_of_creation,
    is_damage,
    quiet,
    running_state,
)
from .space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

__all__ = [
    "Callback",
    "TrialFailure",
    "best",
    "completed",
    "enqueue",
    "fail_abandoned",
    "finished",
    "has_scores",
    "open_study",
    "run_trials",
    "score_of",
]

Callback: TypeAlias = "Callable[[Study, FrozenTrial], None]"

# User attributes of studies and trials.
IDENTITY, REASON, OWNER = "dipkit_identity", "reason", "dipkit_process"
DEFAULT_NAME = "dipkit"
# Seconds between attempts while another process creates the same study.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class TrialFailure(DipkitError):
    """A trial that ended in an error of its parameters; the study goes on."""


def open_study(
    storage: Storage,
    name: str | None,
    sampler: BaseSampler | None,
    pruner: BasePruner,
    identity: Mapping[str, str],
) -> Study:
    """Create a study, or load the one of this name, which must belong to the same search.

    Parameters
    ----------
    storage : None, str, path or optuna storage
    name : str or None
        None is ``"dipkit"`` in a storage.
    sampler : optuna sampler or None
    pruner : optuna pruner
    identity : mapping
        From `identity_of`.

    Raises
    ------
    InputError
        If the storage cannot be read, or its study belongs to another search.
    """
    if name is None and storage is not None:
        name = DEFAULT_NAME
    try:
        study, is_new = _create(storage, name, sampler, pruner)
        found = None if is_new else _identity_in(study)
        is_empty = is_new or not study.get_trials(deepcopy=False)
    except DipkitError:
        raise
    except Exception as error:  # SQLAlchemy, JSON, the file system, a missing driver
        raise _unusable(storage, error) from error
    if found is None and is_empty:
        study.set_user_attr(IDENTITY, dict(identity))
        return study
    differing = [key for key in identity if (found or {}).get(key) != identity[key]]
    if differing:
        raise InputError(
            f"study_name: the study {study.study_name!r} in {storage} belongs to a search with "
            f"another {', '.join(differing)}. Choose another study_name or storage."
        )
    return study


def _create(
    storage: Storage, name: str | None, sampler: BaseSampler | None, pruner: BasePruner
) -> tuple[Study, bool]:
    """Create or load a study; try again where another process creates the tables just now."""
    for pause in PAUSES:
        try:
            return create_study(storage, name, sampler, pruner)
        except errors_of_creation():
            time.sleep(pause)
    return create_study(storage, name, sampler, pruner)


def _identity_in(study: Study) -> Mapping[str, str] | None:
    """Identity of a loaded study; wait for that of a study which another process just created."""
    for pause in PAUSES:
        found: Mapping[str, str] | None = study.user_attrs.get(IDENTITY)
        if found is not None or study.get_trials(deepcopy=False):
            break
        time.sleep(pause)
    return study.user_attrs.get(IDENTITY)


def _unusable(storage: Storage, error: Exception) -> InputError:
    lines = str(error).splitlines()
    advice = (
        "It is damaged or no study: name another storage, or restore this one from a copy"
        if is_damage(error)
        else "Check that the storage can be reached and written, and start again"
    )
    return InputError(
        f"storage: {storage} cannot be opened as a study: {type(error).__name__}: "
        f"{lines[0] if lines else ''}. {advice}."
    )


def fail_abandoned(study: Study) -> int:
    """End the trials whose process was killed, and return their number.

    Only processes of this machine are known to be gone: trials of others go on.
    """
    trials = study.get_trials(deepcopy=False, states=(running_state(),))
    gone = [trial for trial in trials if is_gone(str(trial.user_attrs.get(OWNER, "")))]
    for trial in gone:
        end_as_failed(study, trial.number)
    return len(gone)


def enqueue(study: Study, space: Space, untuned: Mapping[str, object]) -> None:
    """Give the first trial the untuned parameters, as far as the space contains them."""
    if callable(space) or study.get_trials(deepcopy=False):
        return
    inside = {
        name: untuned[name]
        for name, distribution in space.items()
        if contains(distribution, untuned[name])
    }
    if inside:
        study.enqueue_trial(inside)


def run_trials(
    study: Study,
    task: Callable[[Trial], float],
    n_trials: int,
    timeout: float | None,
    n_jobs: int,
    callbacks: Iterable[Callback],
) -> None:
    """Run trials until this number has ended in the study, including those of other processes."""
    fail_abandoned(study)
    left = n_trials - len(finished(study))
    if left <= 0:
        return
    owner = this_process()

    def owned(trial: Trial) -> float:
        trial.set_user_attr(OWNER, owner)
        return task(trial)

    def stop(study: Study, _: FrozenTrial) -> None:
        if len(finished(study)) >= n_trials:
            study.stop()

    with quiet():
        try:
            study.optimize(
                owned,
                n_trials=left,
                timeout=timeout,
                n_jobs=n_jobs,
                catch=(TrialFailure,),
                callbacks=[stop, *callbacks],
            )
        except Exception as error:
            # An interrupt while Optuna stores a result makes another error in its cleaning up.
            interrupt = _interrupt_behind(error)
            if interrupt is None:
                raise
            raise interrupt from error


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Return the interrupt during whose handling an error arose."""
    before: BaseException | None = error
    while before is not None and not isinstance(before, KeyboardInterrupt):
        before = before.__cause__ or before.__context__
    return before


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that have ended: completed, pruned, or failed for a reason of their own.

    Those that a signal ended are not among them: they are drawn again.
    """
    trials = study.get_trials(deepcopy=False, states=ended_states())
    return [trial for trial in trials if not was_stopped(trial)]


def was_stopped(trial: FrozenTrial) -> bool:
    """Whether a trial failed because its process was stopped."""
    known = trial.user_attrs
    return trial.state.name == "FAIL" and OWNER in known and REASON not in known


def has_scores(study: Study) -> bool:
    """Whether any trial has a score."""
    return bool(study.get_trials(deepcopy=False, states=(complete_state(),)))


def completed(study: Study) -> list[FrozenTrial]:
    """Trials with a score.

    Raises
    ------
    InputError
        If there is none; the message has the reason of the first failure.
    """
    trials = study.get_trials(deepcopy=False, states=(complete_state(),))
    if trials:
        return trials
    reasons = [trial.user_attrs[REASON] for trial in finished(study) if REASON in trial.user_attrs]
    if reasons:
        raise InputError(f"space: all {len(reasons)} trials failed. The first: {reasons[0]}")
    raise InputError("n_trials, timeout: no trial was finished. Give more of both.")


def best(study: Study) -> FrozenTrial:
    """Trial of the highest score; the first one of equals."""
    return max(completed(study), key=score_of)


def score_of(trial: FrozenTrial) -> float:
    """Score of a completed trial."""
    assert trial.value is not None
    return trial.value
