"""Search objects, such as `GridSearchCV` and `DipoleSearchCV`, in place of the model they chose."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from ..exceptions import InputError

__all__ = ["chosen_model"]


def chosen_model(model: Any) -> Any:
    """Return the model itself, or the `best_estimator_` of a search object.

    Parameters
    ----------
    model : estimator
        A search object may also be the last step of a pipeline.

    Returns
    -------
    estimator

    Raises
    ------
    InputError
        If a search object has no `best_estimator_`.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from dipkit import default_model
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.estimator.chosen_model import chosen_model
    >>> molecules = load_organics()[:20]
    >>> grid = {"dipolekernelridge__alpha": [1e-3]}
    >>> search = GridSearchCV(default_model(basis__n_inducing=10), grid, cv=2)
    >>> type(chosen_model(search.fit(molecules, molecules.dipole_magnitude))).__name__
    'Pipeline'
    """
    if isinstance(model, Pipeline):
        *head, (name, last) = model.steps
        chosen = chosen_model(last)
        return model if chosen is last else Pipeline([*head, (name, chosen)])
    if hasattr(model, "best_estimator_"):
        return chosen_model(model.best_estimator_)
    if hasattr(model, "refit") and hasattr(model, "fit"):
        name = type(model).__name__
        raise InputError(
            f"model: {name} has no best_estimator_, "
            + (f"because of refit={model.refit!r}. " if not model.refit else "it is not fitted. ")
            + f"Call fit of a {name} with refit=True, or fit a model with best_params_ yourself."
        )
    return model
