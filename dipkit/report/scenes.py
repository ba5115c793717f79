"""Molecules in 3D for a page: which ones, their data, and the files of the viewer.

Symbols: n atoms, charges in e, dipoles in debye. The viewer itself is `viewer/viewer.js`, drawn by
3Dmol.js.
"""

from __future__ import annotations

import json
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.molecules import Molecules
from ..estimator.predicted_molecules import Prediction
from .charges import broad_side

__all__ = [
    "charge_limit",
    "choose_scenes",
    "scene_data",
    "scene_html",
    "viewer_scripts",
    "viewer_style",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Molecules shown in 3D: those with the largest errors, and some with ordinary ones.
N_WORST, N_ORDINARY = 12, 8
# All together, so that a page of large molecules stays small.
MOST_ATOMS = 5000

_SCENE = Template("""<div class="controls">
<button id="previous" type="button" aria-label="Previous molecule">&larr;</button>
<select id="molecule" aria-label="Molecule"></select>
<button id="next" type="button" aria-label="Next molecule">&rarr;</button>
<label><input id="numbers" type="checkbox" checked> charges as numbers</label>
</div>
<div class="scene">
<div>
<div id="view" tabindex="0" role="application"></div>
<div class="key"><span>$low e <span class="ramp"></span> $high e, charge</span>
<span><span class="line"></span> predicted dipole (thick)</span>
<span><span class="line reference"></span> reference dipole (thin)</span></div>
<p class="key">Arrows point from negative to positive. Drag or use the arrow keys to turn, the wheel
or + and - to zoom. The lengths of the arrows compare the two dipoles of one molecule.</p>
</div>
<div>
<table><tbody id="facts"></tbody></table>
<div class="scroll atoms" role="region" aria-label="Charges of the atoms" tabindex="0"><table>
<thead><tr><th scope="col">atom</th><th scope="col">charge (e)</th>
<th scope="col" id="reference-column">reference (e)</th></tr></thead>
<tbody id="atoms"></tbody></table></div>
</div>
</div>
<noscript><p>The molecules in 3D need JavaScript.</p></noscript>""")


def choose_scenes(molecules: Molecules, errors: FloatArray) -> IntArray:
    """Return the molecules to show: the worst ones first, then some with smaller errors.

    Parameters
    ----------
    molecules : Molecules
    errors : ndarray of shape (n_molecules,), debye
        NaN where there is none; these molecules come last.

    Returns
    -------
    ndarray of int
        At least one molecule.
    """
    order = np.argsort(-np.nan_to_num(np.abs(errors), nan=-1.0), kind="stable")
    rest = order[N_WORST:]
    places = np.unique(np.linspace(0, max(len(rest) - 1, 0), N_ORDINARY).astype(int))
    chosen = np.concatenate([order[:N_WORST], rest[places] if len(rest) else rest])
    fits = np.cumsum(molecules.natoms[chosen]) <= MOST_ATOMS
    fits[0] = True
    kept: IntArray = chosen[fits]
    return kept


def charge_limit(prediction: Prediction, chosen: IntArray) -> float:
    """Return the charge of the strongest colours, e, for all molecules that are shown."""
    shown = np.concatenate([prediction.charges_of(index) for index in chosen.tolist()])
    known = np.abs(shown[np.isfinite(shown)])
    return round(max(float(np.percentile(known, 98)), 0.05), 2) if len(known) else 1.0


def scene_html(limit: float) -> str:
    """Return the place of the viewer on a page, with the key of its colours."""
    return _SCENE.substitute(low=f"−{limit:g}", high=f"+{limit:g}")


def scene_data(
    prediction: Prediction, chosen: IntArray, facts: list[list[list[str]]], limit: float
) -> str:
    """Return the data of the viewer as JSON that may stand in a script element.

    Parameters
    ----------
    prediction : Prediction
        With labels of the molecules where they have any.
    chosen : ndarray of int
        Molecules to show.
    facts : list
        For each of them, names and values to show beside it; the first is its name.
    limit : float, e
        Charge of the strongest colours.
    """
    data = {
        "limit": limit,
        "molecules": [
            _scene(prediction, index, about)
            for index, about in zip(chosen.tolist(), facts, strict=True)
        ],
    }
    # "<" would end the script element in a name such as "</script>".
    return json.dumps(data, allow_nan=False, ensure_ascii=True).replace("<", "\\u003c")


def viewer_style() -> str:
    """Return the CSS of the viewer."""
    return _file("viewer.css")


def viewer_scripts(data: str) -> list[str]:
    """Return script elements: the data, 3Dmol.js after its licence, and the viewer."""
    licence = _file("3Dmol-LICENSE.txt")
    return [
        f'<script type="application/json" id="scenes">{data}</script>',
        f"<script>/*\n{licence}\n*/\n{_file('3Dmol-min.js')}</script>",
        f"<script>{_file('viewer.js')}</script>",
    ]


def _scene(prediction: Prediction, index: int, facts: list[list[str]]) -> dict[str, Any]:
    molecules, table = prediction.molecules[index], chemical_symbols()
    reference = molecules.dipole_vector[0] if molecules.has_vector[0] else None
    # A view along a linear molecule, or along its dipole, would hide it: turn the broad side to us.
    axes = broad_side(molecules.positions).T
    return {
        "label": f"{facts[0][1]}: {molecules.formulas()[0]}",
        "symbols": [table[number] for number in molecules.numbers.tolist()],
        "positions": np.round(molecules.positions @ axes, 3).tolist(),
        "centre": np.round(molecules.centers_of_mass()[0] @ axes, 3).tolist(),
        "charges": _numbers(prediction.charges_of(index)),
        "reference_charges": _numbers(molecules.charges) if molecules.has_charges[0] else None,
        "dipole": _vector(prediction.dipole[index] @ axes),
        "reference": _vector(None if reference is None else reference @ axes),
        "facts": facts,
    }


def _numbers(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 4) for value in values.tolist()]


def _vector(values: FloatArray | None) -> list[float] | None:
    if values is None or np.isnan(values).any():
        return None
    return [round(value, 4) for value in values.tolist()]


def _file(name: str) -> str:
    return files("dipkit.report").joinpath("viewer", name).read_text("utf-8")
