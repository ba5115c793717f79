"""Figure 3: how much predictions change with the training molecules and with the seed.

All models predict the same molecules of the test part (the probe), and the bundled molecules, whose
vectors are known. Symbols: models k = 1..K of one kind, charges q_ki (K, n) and dipoles mu_kA
(K, N, 3). The spread is the root mean square over atoms (molecules) of the standard deviation over
models; of vectors, of the length of the difference from the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dipkit import Molecules

from . import results as r
from .labels import KINDS
from .material import Material
from .models import qm9_unit
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import ALSO, MARKED, VARIANTS, WORDS

NAMES = ("random", "joint", "magnitudes", "start", "term", "hint", "gfn2", "baseline")
KINDS_SHOWN = ("gfn2", "gasteiger", "shuffled", "reversed")
# Each as the arguments of `qm9_unit`, by its words: variants of figure 1, kinds of charges of 2.
MODELS: dict[str, dict[str, Any]] = {WORDS[name]: VARIANTS[name] for name in NAMES} | {
    f"charges: {KINDS[kind]}": {"charges": kind} for kind in KINDS_SHOWN
}
# Without random starts the seed only draws candidates of inducing environments; at these N most
# environments are candidates, so that three seeds must do.
N_SEEDS, RANDOM = {True: 5, False: 3}, (WORDS["random"], WORDS["joint"])
# A shorter vector has no direction worth comparing, debye.
DIRECTED = 0.1
SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}


def draw_units(words: str, n: int, scope: Scope) -> list[Unit]:
    """Return a model on all draws, a unit of figure 1 or 2."""
    also = ALSO if n in MARKED and scope.is_full else ()
    return [
        qm9_unit(n, draw, **MODELS[words], also=also, n_test=scope.n_test)
        for draw in range(scope.draws)
    ]


def seed_units(words: str, n: int, scope: Scope) -> list[Unit]:
    """Return a model of the first draw with several seeds of inducing environments and starts."""
    model = MODELS[words]
    return [
        qm9_unit(
            n,
            0,
            **model | {"ridge": model.get("ridge", {}) | {"random_state": seed}},
            also=ALSO,
            n_test=scope.n_test,
            tier=3,
        )
        for seed in range(N_SEEDS[words in RANDOM])
    ]


def units(scope: Scope) -> list[Unit]:
    """Return the units over seeds; those over draws belong to figures 1 and 2."""
    if not scope.is_full:
        return []
    sizes = scope.marked(MARKED)
    return [unit for n in sizes for words in MODELS for unit in seed_units(words, n, scope)]


def tables(results: Results, scope: Scope, material: Material) -> dict[str, list[Row]]:
    """Return ``consistency``."""
    rows: list[Row] = []
    probe = None
    for n in scope.marked(MARKED):
        groups: list[tuple[str, str, Sequence[Unit]]] = [
            (over, words, units_of(words, n, scope))
            for over, units_of in (("draws", draw_units), ("seeds", seed_units))
            for words in MODELS
        ]
        for over, words, mine in groups:
            done = [unit for unit in mine if results.of(unit)]
            arrays = [results.arrays(unit) for unit in done]
            kept = [each for each in arrays if "probe_charges" in each]
            if len(kept) < 2:
                continue
            probe = probe if probe is not None else _Probe(material)
            figures = probe.figures(kept)
            for key in ("vector_angle_deg", "vector_reversed"):
                values = [results.of(unit)["result"].get(f"organics_{key}") for unit in done]  # type: ignore[index]
                figures[f"organics_{key}"] = float(np.mean([v for v in values if v is not None]))
            row = {"n": n, "over": over, "variant": words, "models": len(kept)}
            rows.append(row | figures | {"commits": r.commits(results, done)})
    return {"consistency": rows}


class _Probe:
    """The molecules that all models predict, with what predictions are compared with."""

    def __init__(self, material: Material) -> None:
        self.molecules: Molecules = material.pool[material.probe()]
        self.vectors, _ = material.gfn2(material.probe())

    def figures(self, arrays: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Spread over models, sign, correlation with Mulliken charges."""
        charges = np.stack([each["probe_charges"] for each in arrays]).astype(float)
        dipoles = np.stack([each["probe_dipole"] for each in arrays]).astype(float)
        off = dipoles - dipoles.mean(axis=0)
        count = len(arrays) - 1
        figures = {
            "charge_spread": float(np.sqrt((charges.var(axis=0, ddof=1)).mean())),
            "dipole_spread": float(np.sqrt((off**2).sum(axis=(0, 2)) / count).mean()),
            "magnitude_spread": float(np.linalg.norm(dipoles, axis=2).std(axis=0, ddof=1).mean()),
        }
        long = np.linalg.norm(self.vectors, axis=1) > DIRECTED
        along = np.einsum("kad,ad->ka", dipoles[:, long], self.vectors[long])
        figures["reversed"] = float((along < 0).mean())
        reference = np.asarray(self.molecules.charges)
        for number, symbol in SYMBOLS.items():
            atoms = self.molecules.numbers == number
            found = [np.corrcoef(each[atoms], reference[atoms])[0, 1] for each in charges]
            figures[f"correlation_{symbol}"] = float(np.mean(found))
        return figures


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    rows = tables_.get("consistency", [])
    if not rows:
        return {}
    head = ["N", "over", "learned from", "models", "charges, e", "dipoles, D", "magnitudes, D"]
    head += ["reversed, %", "angle, °", "reversed (bundled), %", *SYMBOLS.values()]
    body = (
        [
            f"{row['n']:,}",
            row["over"],
            row["variant"],
            row["models"],
            f"{row['charge_spread']:.3f}",
            f"{row['dipole_spread']:.3f}",
            f"{row['magnitude_spread']:.3f}",
            f"{100 * row['reversed']:.1f}",
            f"{row['organics_vector_angle_deg']:.1f}",
            f"{100 * row['organics_vector_reversed']:.1f}",
            *(f"{row[f'correlation_{symbol}']:.2f}" for symbol in SYMBOLS.values()),
        ]
        for row in rows
    )
    return {"consistency": r.markdown(head, body)}
