"""Sphinx configuration."""

import sys
from pathlib import Path
from typing import Any

import dipkit

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "dipkit"
author = "The dipkit developers"
copyright = "2026, The dipkit developers"
release = dipkit.__version__
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "gallery",
    "mathml",
]
html_math_renderer = "mathml"
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # names in docstrings become links
html_theme = "furo"
html_title = f"dipkit {release}"
html_static_path = ["_static"]
html_css_files = ["dipkit.css"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# docs/benchmarks may have no report yet.
suppress_warnings = ["toc.empty_glob"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the numpydoc sections give types, shapes and units
numpydoc_show_class_members = False
# The page of a class shows its own public members. The exceptions:
autosummary_context = {
    "shown_members": {
        "DipkitCalculator": "get_dipole_derivatives, get_charge_derivatives",
        "EnvironmentKernel": "of_dot_products, derivative, check",
    },
    # What these classes do for a fit is internal. A user only makes them.
    "without_members": [
        *("InducingBasis", "SquaredLoss", "HuberLoss", "AbsoluteLoss", "Reweighted"),
        *("ChargeStart", "ZeroStart", "RandomStart"),
        *("GFN2Baseline", "GivenBaseline", "AuxiliaryDipoles"),
        *("PowerKernel", "GaussianKernel", "SOAPScale"),
        *("StdModel", "GFN2", "MeanField", "Calculated", "Table"),
    ],
    "inherited_members": {"DipoleKernelRidge": "RegressorMixin"},
}
# File systems that ignore case have no room for two pages called gfn2.
autosummary_filename_map = {"dipkit.quantum.GFN2": "dipkit.quantum.GFN2-class"}


def skip_metadata_requests(
    app: Any, what: str, name: str, obj: object, skip: bool, options: Any
) -> bool | None:
    """Leave out the methods for metadata routing that scikit-learn gives to every estimator."""
    request = name.startswith("set_") and name.endswith("_request")
    return True if request or name == "get_metadata_routing" else None


def setup(app: Any) -> None:
    """Register the hook above."""
    app.connect("autodoc-skip-member", skip_metadata_requests)
