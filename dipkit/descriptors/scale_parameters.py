"""Parameters of SOAP scales as parameters of the transformer: ``scale0__r_cut`` and the like.

scikit-learn names nested parameters after one nested estimator; here there are several, in a tuple.
The meaning of the parameters is in `scales.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from sklearn.base import BaseEstimator, clone

from ..exceptions import InputError
from .scales import SOAPScale, default_scales


class ScaleParameters(BaseEstimator):
    """Base class of an estimator with a parameter `scales`, a tuple of `SOAPScale` or None."""

    scales: tuple[SOAPScale, ...] | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with those of the scales if `deep`.

        Parameters
        ----------
        deep : bool, default=True
        """
        params: dict[str, Any] = super().get_params(deep=False)
        for index, scale in enumerate(self._scales() if deep else ()):
            params[f"scale{index}"] = scale
            nested = scale.get_params(deep=True).items()
            params |= {f"scale{index}__{key}": value for key, value in nested}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; scales are copied first, since other estimators may share them.

        Parameters
        ----------
        **params : Any
            ``scale0__r_cut=2.5`` changes one parameter of a scale, ``scale0=...`` a scale.
        """
        own = {key: value for key, value in params.items() if key in self._get_param_names()}
        super().set_params(**own)
        nested = {key: value for key, value in params.items() if key not in own}
        if nested:
            self.scales = _changed(self._scales(), nested, set(self.get_params(deep=True)))
        return self

    def _scales(self, n_molecules: int = 0) -> tuple[SOAPScale, ...]:
        """Scales that are given, or the usual ones for so many molecules."""
        return default_scales(n_molecules) if self.scales is None else tuple(self.scales)


def _changed(
    scales: tuple[SOAPScale, ...], changes: Mapping[str, object], valid: set[str]
) -> tuple[SOAPScale, ...]:
    """Return copies of scales with some parameters changed, by names such as ``scale0__r_cut``."""
    unknown = sorted(set(changes) - valid)
    if unknown:
        raise InputError(
            f"SOAPTransformer.set_params: no parameter {', '.join(unknown)}; expected some of "
            f"{', '.join(sorted(valid))}."
        )
    result = [clone(scale) for scale in scales]
    # Sorted, so that "scale0" comes before "scale0__r_cut", which changes the new scale.
    for name, value in sorted(changes.items()):
        head, _, parameter = name.partition("__")
        index = int(head.removeprefix("scale"))
        if parameter:
            result[index].set_params(**{parameter: value})
        else:
            result[index] = clone(value)
    return tuple(result)


def require_unchanged(estimator: ScaleParameters, fitted: tuple[SOAPScale, ...]) -> None:
    """Refuse an estimator whose scales were changed after `fit`.

    Only given scales are compared: with ``scales=None`` the fitted scales count.

    Parameters
    ----------
    estimator : ScaleParameters
    fitted : tuple of SOAPScale
        Scales at the time of `fit`.

    Raises
    ------
    InputError
        Names the first parameter that differs.
    """
    if estimator.scales is None:
        return
    advice = "Call fit again, or set the parameter back."
    if len(estimator.scales) != len(fitted):
        raise InputError(
            f"scales: expected {len(fitted)} scales, as in fit, got {len(estimator.scales)}. "
            + advice
        )
    for index, (scale, before) in enumerate(zip(estimator.scales, fitted, strict=True)):
        found = scale.get_params()
        for name, value in before.get_params().items():
            if found[name] != value:
                raise InputError(
                    f"scale{index}__{name}: expected {value!r}, as in fit, got {found[name]!r}. "
                    + advice
                )
