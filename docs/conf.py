"""Sphinx configuration."""

from typing import Any

import dipkit

project = "dipkit"
author = "The dipkit developers"
copyright = "2026, The dipkit developers"
release = dipkit.__version__
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"dipkit {release}"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# docs/benchmarks may have no report yet.
suppress_warnings = ["toc.empty_glob"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the numpydoc sections give types, shapes and units
numpydoc_show_class_members = False


def skip_metadata_requests(
    app: Any, what: str, name: str, obj: object, skip: bool, options: Any
) -> bool | None:
    """Leave out the `set_*_request` methods that scikit-learn generates on every estimator."""
    generated = name.startswith("set_") and name.endswith("_request")
    return True if generated else None


def setup(app: Any) -> None:
    """Register the hook above."""
    app.connect("autodoc-skip-member", skip_metadata_requests)
