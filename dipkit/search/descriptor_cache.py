"""Descriptors of the molecules of a search, kept from trial to trial.

Descriptors are kept scale by scale: a trial that changes one scale computes only this scale.
Weights of scales are added afterwards. How descriptors are computed is in `descriptors/`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..data.molecules import Molecules
from ..descriptors.features import Features
from ..descriptors.soap import SOAPTransformer
from ..support.system_memory import host_memory

__all__ = ["DescriptorCache"]

# Share of the free memory that the kept descriptors may take.
CACHE_SHARE = 0.25


class DescriptorCache:
    """Describe the same molecules with the first steps of many pipelines.

    Parameters
    ----------
    molecules : Molecules
    """

    def __init__(self, molecules: Molecules):
        self.molecules = molecules
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def describe(self, head: Pipeline) -> tuple[Pipeline, Molecules]:
        """Fit the first steps of a pipeline, and describe all molecules with them.

        Parameters
        ----------
        head : Pipeline
            The steps before the last one.

        Returns
        -------
        head : Pipeline
            The same, fitted.
        described : Molecules
        """
        if not head.steps:
            return head, self.molecules
        if len(head.steps) > 1 or not isinstance(head[0], SOAPTransformer):
            return head, head.fit_transform(self.molecules)
        soap = head[0].fit(self.molecules)  # checks parameters, describes nothing
        if soap.forecast_bytes(self.molecules) > CACHE_SHARE * host_memory():
            return head, soap.transform(self.molecules)
        scales = tuple(self._scale(soap, index) for index in range(len(soap.scales_)))
        features = Features(scales, tuple(scale.weight for scale in soap.scales_), soap.made_by_)
        return head, self.molecules.replace(features=features)

    def _scale(self, soap: SOAPTransformer, index: int) -> NDArray[np.float32]:
        """Descriptors of one scale (n_atoms, d_s), computed where they are not kept."""
        key = joblib.hash((soap.species_, soap.scale_keys()[index]))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        alone = soap.of_scale(index).set_params(on_demand=False)
        features = alone.transform(self.molecules).features
        assert isinstance(features, Features)
        descriptors: NDArray[np.float32] = features.scales[0]
        with self._lock:
            self._kept[key] = descriptors
            limit = CACHE_SHARE * host_memory()
            while sum(kept.nbytes for kept in self._kept.values()) > limit:
                self._kept.popitem(last=False)
        return descriptors

    def __getstate__(self) -> dict[str, Molecules]:
        """Leave out the kept descriptors and the lock: a worker process begins without them."""
        return {"molecules": self.molecules}

    def __setstate__(self, state: dict[str, Molecules]) -> None:
        """Begin without kept descriptors."""
        self.__init__(state["molecules"])  # type: ignore[misc]
