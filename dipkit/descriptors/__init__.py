"""SOAP power spectra: numbers that describe the environment of each atom.

A `SOAPTransformer` takes molecules and returns the same molecules with descriptors on them, in
memory (`Features`) or computed each time they are read (`OnDemandFeatures`). Descriptors carry a
text about their origin (`provenance.py`), which estimators check (`requirements.py`).

Not here: kernels that compare descriptors (`dipkit.learning`), and molecules and their labels
(`dipkit.data`).

Begin with `soap.py`, the transformer, and `features.py`, its result. Then, from the outside in:
`describer.py` (pieces and threads), `radial_tables.py` (one scale; dscribe), `spectra_host.py` and
`spectra_device.py` (the power spectra), `radial_integrals.py` and `harmonics.py`.
"""

from __future__ import annotations

from .features import Features
from .on_demand import OnDemandFeatures
from .scales import SOAPScale, baseline_scales, default_scales
from .soap import SOAPTransformer

__all__ = [
    "Features",
    "OnDemandFeatures",
    "SOAPScale",
    "SOAPTransformer",
    "baseline_scales",
    "default_scales",
]
