"""What scikit-learn asks of the output of a transformer that returns molecules.

The output is always `Molecules`, never a data frame, and the names of columns are those of the
descriptors. The transformer itself is in `soap.py`.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..exceptions import InputError

__all__ = ["MoleculesOutput"]


class MoleculesOutput:
    """Base class of a transformer that returns molecules, with `widths_` columns of descriptors."""

    widths_: tuple[int, ...]

    def set_output(self, *, transform: object = None) -> Self:
        """Accept the usual output alone: it is always `Molecules`.

        Parameters
        ----------
        transform : {"default", None}

        Raises
        ------
        InputError
            If a data frame is asked for.
        """
        if transform not in (None, "default"):
            raise InputError(
                f'transform: expected "default" or None, got {transform!r}. The output is '
                "Molecules: descriptors belong to atoms, and molecules differ in their number, so "
                "that no data frame has one row a molecule. The rows of the atoms are in "
                "molecules.features."
            )
        return self

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.str_]:
        """Name the columns of the descriptors, one scale after another.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (sum of `widths_`,)
            ``scale0_0``, ``scale0_1``, ..., ``scale1_0``, ...: column k of scale s, in
            ``features.scales[s]``.
        """
        check_is_fitted(self)
        names = [f"scale{s}_{k}" for s, width in enumerate(self.widths_) for k in range(width)]
        return np.array(names, dtype=np.str_)
