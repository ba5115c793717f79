"""SOAP power spectra of the environments of atoms.

Begin with `soap.py`, the transformer; `features.py` is what it puts on the molecules. Kernels that
compare descriptors are not here (`dipkit.learning`).
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
