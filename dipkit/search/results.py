"""Completed trials as a table in the form of scikit-learn's searches, ``cv_results_``; as HTML.

Trials are run in `study.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..support.notebook import table_of
from .space import Params
from .study import score_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["cv_results", "results_html"]

# Trials shown in a notebook.
N_SHOWN = 5

Column: TypeAlias = "NDArray[np.generic] | list[Params]"


def cv_results(
    trials: Sequence[FrozenTrial], params_of: Callable[[FrozenTrial], Params]
) -> dict[str, Column]:
    """Tabulate completed trials.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial
        With a score each.
    params_of : callable
        Gives the parameters of a trial.

    Returns
    -------
    dict
        ``param_*`` (masked where a trial has none), ``params``, ``split{i}_test_score``,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score`` (1 is the best), ``seconds``;
        one entry for each trial.
    """
    params = [params_of(trial) for trial in trials]
    splits = np.array([trial.user_attrs["splits"] for trial in trials])
    means = np.array([score_of(trial) for trial in trials])
    results: dict[str, Column] = {
        f"param_{name}": _column(params, name) for name in sorted(set().union(*params))
    }
    results |= {f"split{k}_test_score": splits[:, k] for k in range(splits.shape[1])}
    rank = np.searchsorted(np.sort(-means), -means) + 1
    return results | {
        "params": params,
        "mean_test_score": means,
        "std_test_score": splits.std(axis=1),
        "rank_test_score": rank.astype(np.int32),
        "seconds": np.array([trial.user_attrs["seconds"] for trial in trials]),
    }


def results_html(results: Mapping[str, Column], scoring: object) -> str:
    """Return the best trials as an HTML table.

    Parameters
    ----------
    results : mapping
        Of `cv_results`.
    scoring : object
        As in `DipoleSearchCV`. Errors are shown with their unit, other scores as they are.
    """
    mean, std = np.asarray(results["mean_test_score"]), np.asarray(results["std_test_score"])
    order = np.argsort(-mean, kind="stable")[:N_SHOWN].tolist()
    errors = scoring in ("mae", "rmse")
    heading = f"{str(scoring).upper()} (D)" if errors else "score"
    rows = [
        [
            str(int(np.asarray(results["rank_test_score"])[index])),
            f"{-mean[index] if errors else mean[index]:.4f} ± {std[index]:.4f}",
            ", ".join(f"{name}={_short(value)}" for name, value in _params(results, index)),
        ]
        for index in order
    ]
    caption = f"best {len(order)} of {len(mean)} trials; ± over the folds"
    return table_of(caption, ("rank", heading, "parameters"), rows)


def _params(results: Mapping[str, Column], index: int) -> list[tuple[str, object]]:
    params = results["params"][index]
    assert isinstance(params, Mapping)
    return sorted(params.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _column(params: Sequence[Mapping[str, object]], name: str) -> NDArray[np.object_]:
    """One parameter over the trials, masked where a trial has none; values may be sequences."""
    values = np.empty(len(params), dtype=object)
    for row, each in enumerate(params):
        values[row] = each.get(name)
    return np.ma.MaskedArray(values, mask=[name not in each for each in params])
