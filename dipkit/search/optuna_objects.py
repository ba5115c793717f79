"""Objects of Optuna: distributions, samplers, pruners, storages, figures.

No other module imports optuna, which is loaded when a function is called, never at import. How
studies are opened and run is in `study.py`, which parameters are drawn in `space.py`.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..exceptions import InputError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import BaseTrial, FixedTrial, FrozenTrial, Trial, TrialState

Storage: TypeAlias = "str | Path | BaseStorage | None"

# Seconds that one process waits for another's lock on an SQLite file.
SQLITE_TIMEOUT = 60


# Distributions


def float_range(
    low: float, high: float, step: float | None = None, log: bool = False
) -> BaseDistribution:
    """Distribution of floats."""
    from optuna.distributions import FloatDistribution

    return FloatDistribution(low, high, step=step, log=log)


def int_range(low: int, high: int) -> BaseDistribution:
    """Distribution of integers, uniform in their logarithm."""
    from optuna.distributions import IntDistribution

    return IntDistribution(low, high, log=True)


def distribution_of(entry: object) -> BaseDistribution:
    """Make a distribution of a list of choices, or of the settings of a range.

    Raises
    ------
    TypeError, ValueError
        If the entry is neither.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(entry, list):
        return CategoricalDistribution(entry)
    if not isinstance(entry, Mapping):
        raise TypeError(f"{type(entry).__name__} is not a range")
    settings = dict(entry)
    kind = IntDistribution if settings.pop("int", False) else FloatDistribution
    return kind(**settings)


def is_distribution(value: object) -> bool:
    """Whether this is a distribution."""
    from optuna.distributions import BaseDistribution

    return isinstance(value, BaseDistribution)


def text_of(distribution: BaseDistribution) -> str:
    """Text that is equal for equal distributions."""
    from optuna.distributions import distribution_to_json

    return distribution_to_json(distribution)


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Whether a distribution can draw this value."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
        return False
    steps = 0.0 if distribution.step is None else (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-8


# Trials


def suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> object:
    """Draw one parameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_int(name, low, high, step=step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )


def fixed_trial(trial: FrozenTrial) -> FixedTrial:
    """Return a trial that draws the same values as another one."""
    from optuna.trial import FixedTrial

    return FixedTrial(trial.params)


def report(trial: Trial, score: float, step: int) -> None:
    """Report the score after a fold to the pruner; raises Optuna's TrialPruned to end the trial."""
    import optuna

    trial.report(score, step)
    if trial.should_prune():
        raise optuna.TrialPruned


def ended_states() -> tuple[TrialState, ...]:
    """States of trials that have ended."""
    from optuna.trial import TrialState

    return (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def running_state() -> TrialState:
    """State of trials that have not ended."""
    from optuna.trial import TrialState

    return TrialState.RUNNING


def end_as_failed(study: Study, number: int) -> None:
    """End a trial of a process that is gone, unless another process has just done so."""
    from optuna.trial import TrialState

    with quiet():
        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def complete_state() -> TrialState:
    """State of trials that have a score."""
    from optuna.trial import TrialState

    return TrialState.COMPLETE


# Studies


def create_study(
    storage: Storage, name: str | None, sampler: BaseSampler | None, pruner: BasePruner
) -> tuple[Study, bool]:
    """Create a study whose scores are maximised, or load the one of this name.

    Returns
    -------
    study : optuna study
    is_new : bool
        Whether it was created here; True in one process only of those that try together.
    """
    import optuna

    opened = open_storage(storage)
    with quiet():
        try:
            study = optuna.create_study(
                storage=opened,
                study_name=name,
                sampler=sampler,
                pruner=pruner,
                direction="maximize",
            )
        except optuna.exceptions.DuplicatedStudyError:
            assert name is not None
            assert opened is not None
            return optuna.load_study(
                study_name=name, storage=opened, sampler=sampler, pruner=pruner
            ), False
    return study, True


def errors_of_creation() -> tuple[type[Exception], ...]:
    """Errors that end the slower of two processes which create the tables of a database together.

    A table that is there already (SQLite), a row or a type that is there already (both SQLite and
    PostgreSQL), a table that is not there yet, a lock.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    return OperationalError, ProgrammingError, IntegrityError, StorageInternalError


def is_damage(error: Exception) -> bool:
    """Whether an error means that the content of a storage is no study, and not another fault."""
    # SQLite has subclasses for locks, tables and rights: the class itself is a damaged file. In a
    # journal a line is no text (UnicodeDecodeError) or no JSON (JSONDecodeError).
    cause = getattr(error, "orig", error)
    return type(cause) is sqlite3.DatabaseError or isinstance(error, ValueError)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna, which logs every trial to stderr; the caller reports what is useful."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def default_sampler(seed: int | None, n_before: int = 0) -> BaseSampler:
    """Return Optuna's default sampler; its random numbers depend on `n_before` as well."""
    from optuna.samplers import TPESampler

    if seed is not None:
        seed = int(np.random.SeedSequence([seed, n_before]).generate_state(1)[0])
    return TPESampler(seed=seed)


def default_pruner(folds_apart: bool) -> BasePruner:
    """Stop a trial that is worse than the median after a fold; the first ten trials run in full.

    Parameters
    ----------
    folds_apart : bool
        Whether folds are computed one after the other. If not, no trial is stopped.
    """
    from optuna.pruners import MedianPruner, NopPruner

    return MedianPruner(n_startup_trials=10, n_warmup_steps=1) if folds_apart else NopPruner()


def open_storage(storage: Storage) -> str | BaseStorage | None:
    """Turn ``storage=`` into what Optuna takes.

    Parameters
    ----------
    storage : None, str, path or optuna storage
        A path is an SQLite file, ``journal:FILE`` a journal; a URL goes to SQLAlchemy.
    """
    if storage is None or not isinstance(storage, str | Path):
        return storage
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    text = str(storage)
    if text.startswith("journal:"):
        file = _checked_path(text.removeprefix("journal:"))
        # Optuna's default lock is a symbolic link, which an ordinary user of Windows cannot make.
        return JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))
    url = text if "://" in text else f"sqlite:///{_checked_path(text)}"
    if url.startswith("sqlite"):
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": SQLITE_TIMEOUT}})
    from sqlalchemy.pool import NullPool

    # Trials take seconds and use the storage rarely: connections are not kept open.
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})


def _checked_path(text: str) -> str:
    path = Path(text).expanduser().resolve()
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"storage: {path} cannot be a file: expected one in a folder that exists.")
    return str(path)


# Importances


def importances(study: Study) -> dict[str, float]:
    """Share of each parameter in the differences of the scores, largest first; they sum to 1."""
    from optuna.importance import get_param_importances

    with _no_experimental_warning():
        return dict(get_param_importances(study))


@contextmanager
def _no_experimental_warning() -> Iterator[None]:
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
