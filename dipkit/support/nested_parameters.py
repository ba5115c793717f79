"""`NestedParameters`: an estimator whose parameters may be groups of parameters.

A group is a scikit-learn estimator that only holds values, such as ``solver=Reweighted(tol=1e-8)``.
A name or None may stand for a group (``loss="huber"``, ``solver=None``). scikit-learn itself lets
``set_params(solver__tol=1e-8)`` through only where the object is there; here a name or None becomes
its group first, so that a search can reach every parameter of an estimator with its defaults. The
groups of the model are in `dipkit.estimator.parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator, clone

from ..exceptions import InputError


class NestedParameters(BaseEstimator):
    """Base of estimators with groups of parameters."""

    #: For each group, a function from a parameter value to the group, or to None without one.
    _groups: ClassVar[Mapping[str, Callable[[Any], BaseEstimator | None]]] = {}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep` those of the groups too, as ``group__parameter``.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params: dict[str, Any] = super().get_params(deep)
        for name in self._groups if deep else ():
            if hasattr(params[name], "get_params"):
                continue  # scikit-learn has listed it
            group = _group_or_none(self._groups[name], params[name])
            if group is not None:
                params |= {f"{name}__{key}": v for key, v in group.get_params(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; a ``group__parameter`` turns a name or None into its group first.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no parameter of that name, or a group is not there.
        InputError
            If a group that is needed has an unknown name.
        """
        named = dict.fromkeys(key.partition("__")[0] for key in params if "__" in key)
        for name in named:
            if name in self._groups:
                value = params.pop(name, getattr(self, name))
                # A copy: the group of a caller, or of another estimator, is not changed.
                group = clone(value) if hasattr(value, "get_params") else self._groups[name](value)
                if group is None:
                    raise ValueError(f"{name}={value!r} has no parameters: got {name}__ names.")
                setattr(self, name, group)
        super().set_params(**params)
        return self


def named_parameters(estimator: BaseEstimator) -> dict[str, Any]:
    """Parameters of an estimator by name, for people and files.

    A group is shown by the name of its class, and its parameters under their own names.
    """
    return {
        name: type(value).__name__ if isinstance(value, BaseEstimator) else value
        for name, value in estimator.get_params(deep=True).items()
    }


def _group_or_none(make: Callable[[Any], BaseEstimator | None], value: Any) -> BaseEstimator | None:
    """Return the group, or None for a value that fit will refuse."""
    try:
        return make(value)
    except InputError:
        return None


def make_group(
    argument: str, value: Any, names: Mapping[Any, Callable[[], Any]], base: type
) -> Any:
    """Return the group that a parameter value stands for.

    Parameters
    ----------
    argument : str
        Name of the parameter, for the message.
    value : object
        A key of `names`, or a group.
    names : mapping
        Function without arguments that makes the group of each name.
    base : type
        Class of the groups.

    Raises
    ------
    InputError
        If the value is neither.
    """
    if isinstance(value, base):
        return value
    if (value is None or isinstance(value, str)) and value in names:
        return names[value]()
    examples = ", ".join(repr(name) for name in names if name is not None)
    known = f"one of {examples} or an object" if examples else "None or an object"
    raise InputError(f"{argument}: expected {known} of class {base.__name__}, got {value!r}.")
