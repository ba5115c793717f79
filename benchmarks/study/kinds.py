"""Figure 4, second part: surroundings that training has not seen.

Environments of heavy atoms of the pool are put into clusters; some clusters are held out. Test
molecules contain an environment of a held-out cluster. One model is trained on molecules without
any, another on as many molecules drawn at random: the difference is the price of the unseen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from dipkit import Molecules

from . import results as r
from .material import Material
from .models import fit_and_test, predicted_molecules, qm9_unit, training_molecules
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import VARIANTS, WORDS

NAMES = ("magnitudes", "hint", "gfn2", "baseline")
KINDS_SIZES = (200, 1000)
SPLITS = {"unseen": "without these surroundings", "random": "drawn at random"}
# Molecules of which environments are clustered, and those of the test part among them.
N_TRAIN, N_TEST = 4000, 2000
N_CLUSTERS, HELD_OUT, N_DIRECTIONS = 60, 6, 24


def unit(name: str, split: str, n: int, draw: int) -> Unit:
    """Return one model with one kind of training molecules."""
    baseline = bool(VARIANTS[name].get("baseline"))
    config = {"n": n, "draw": draw, "variant": VARIANTS[name], "split": split}
    return Unit("kinds", config | {"scales": "baseline" if baseline else None}, 4)


def units(scope: Scope) -> list[Unit]:
    """Return all units of this part."""
    if not scope.is_full:
        return []
    return [
        unit(name, split, n, draw)
        for name in NAMES
        for split in SPLITS
        for n in KINDS_SIZES
        for draw in range(min(scope.draws, 3))
    ]


def run_kinds(material: Material, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit one model and test it on molecules with held-out surroundings."""
    draw, n = config["draw"], config["n"]
    order = material.training_order(draw)[:N_TRAIN]
    others = material.test(draw, N_TEST)
    train_has, test_has = _held_out(material, order, others, draw)
    seen = config["split"] == "random"
    chosen = order[:n] if seen else order[~train_has][:n]
    full = qm9_unit(n, draw, **config["variant"]).config
    name = f"train {draw}" if seen else f"kinds {draw}"
    train = training_molecules(material, full, chosen, name)
    test = predicted_molecules(material, full, others[test_has], f"kinds test {draw}")
    _, figures, _ = fit_and_test(material, full, train, test)
    shares = {"n_test": int(test_has.sum()), "held_out_share": float(train_has.mean())}
    return figures | shares, {}


def _held_out(
    material: Material, order: np.ndarray, others: np.ndarray, draw: int
) -> tuple[np.ndarray, np.ndarray]:
    """Say which molecules contain an environment of a held-out cluster."""
    key = ("held out", draw)
    if key not in material.kept:
        indices = np.concatenate([order, others])
        molecules = material.pool[indices]
        rows = _environments(material, molecules, draw)
        heavy = np.flatnonzero(molecules.numbers > 1)
        clusters = MiniBatchKMeans(N_CLUSTERS, random_state=draw, n_init=3).fit_predict(rows)
        # Clusters of middling size: a small one gives no test molecules, a large one leaves few.
        sizes = np.bincount(clusters, minlength=N_CLUSTERS)
        middling = np.argsort(sizes)[N_CLUSTERS // 4 : N_CLUSTERS * 3 // 4]
        held = np.random.default_rng(7000 + draw).choice(middling, HELD_OUT, replace=False)
        owner = molecules.molecule_index[heavy][np.isin(clusters, held)]
        has = np.zeros(len(molecules), dtype=bool)
        has[owner] = True
        material.kept[key] = has[: len(order)], has[len(order) :]
    found: tuple[np.ndarray, np.ndarray] = material.kept[key]
    return found


def _environments(material: Material, molecules: Molecules, draw: int) -> np.ndarray:
    """Leading directions of the middle SOAP scale of all heavy atoms."""
    soap = material.transformer()
    blocks = []
    pca: PCA | None = None
    for start in range(0, len(molecules), 500):
        part = soap.transform(molecules[start : start + 500].replace(features=None))
        assert part.features is not None
        rows = np.asarray(part.features.compute().scales[1])[part.numbers > 1]
        if pca is None:
            pca = PCA(N_DIRECTIONS, svd_solver="randomized", random_state=draw).fit(rows)
        blocks.append(pca.transform(rows))
    return np.concatenate(blocks)


def tables(results: Results, scope: Scope) -> dict[str, list[Row]]:
    """Return ``kinds``."""
    rows: list[Row] = []
    for n in KINDS_SIZES:
        for split, words in SPLITS.items():
            draws = range(min(scope.draws, 3))
            alone = results.by_draw([unit("magnitudes", split, n, draw) for draw in draws])
            for name in NAMES:
                mine = [unit(name, split, n, draw) for draw in draws]
                row = r.error_row(results, mine)
                if row is None:
                    continue
                better, spread, _ = r.gain(results.by_draw(mine), alone)
                more = {"gain": better, "gain_se": spread}
                row = {"n": n, "training": words, "words": WORDS[name]} | row | more
                rows.append(row)
    return {"kinds": rows}


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    rows = tables_.get("kinds", [])
    if not rows:
        return {}
    head = ("N", "training molecules", "learned from", "draws", "MAE, D", "gain, %")
    alone = WORDS["magnitudes"]
    body = (
        (
            f"{row['n']:,}",
            row["training"],
            row["words"],
            row["draws"],
            r.plus_minus(row["mae"], row["mae_se"], 3),
            "" if row["words"] == alone else r.percent(row["gain"], row["gain_se"]),
        )
        for row in rows
    )
    return {"kinds": r.markdown(head, body)}
