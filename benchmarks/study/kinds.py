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

from dipkit import Molecules, SOAPScale, SOAPTransformer

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
# Of the environments: not a default of dipkit, so that the same molecules are held out whatever
# the defaults are.
SCALE: dict[str, Any] = {"r_cut": 3.5, "n_max": 6, "l_max": 4, "sigma": 0.3, "rbf": "gto"}


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
    chosen, tested, share = _split(material, config)
    draw = config["draw"]
    full = qm9_unit(config["n"], draw, **config["variant"]).config
    name = f"train {draw}" if config["split"] == "random" else f"kinds {draw}"
    train = training_molecules(material, full, chosen, name)
    test = predicted_molecules(material, full, tested, f"kinds test {draw}")
    _, figures, _ = fit_and_test(material, full, train, test)
    return figures | {"n_test": len(tested), "held_out_share": share}, {}


def prepare_kinds(material: Material, config: dict[str, Any]) -> None:
    """Choose the molecules, and calculate their cheap labels."""
    chosen, tested, _ = _split(material, config)
    if "vectors" in config["variant"] or "baseline" in config["variant"]:
        material.gfn2(chosen, config["draw"])
    if "baseline" in config["variant"]:
        material.ipea1(chosen, config["draw"])
        material.gfn2(tested)
        material.ipea1(tested)


def _split(material: Material, config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return training molecules, test molecules, and the share of all with held-out clusters."""
    draw, n = config["draw"], config["n"]
    order = material.training_order(draw)[:N_TRAIN]
    others = material.test(draw, N_TEST)
    train_has, test_has = _held_out(material, order, others, draw)
    chosen = order[:n] if config["split"] == "random" else order[~train_has][:n]
    return chosen, others[test_has], float(train_has.mean())


def _held_out(
    material: Material, order: np.ndarray, others: np.ndarray, draw: int
) -> tuple[np.ndarray, np.ndarray]:
    """Say which molecules contain an environment of a held-out cluster."""
    indices = np.concatenate([order, others])
    content = f"{material.checksum} {draw} {N_CLUSTERS} {HELD_OUT} {N_DIRECTIONS} {SCALE}"

    def make() -> dict[str, np.ndarray]:
        return {"has": _has_held_out(material.pool[indices], draw)}

    has = material.calculated("kinds", content.encode() + indices.tobytes(), make)["has"]
    return has[: len(order)], has[len(order) :]


def _has_held_out(molecules: Molecules, draw: int) -> np.ndarray:
    """Cluster environments, choose clusters to hold out, and say which molecules have them."""
    rows = _environments(molecules, draw)
    heavy = np.flatnonzero(molecules.numbers > 1)
    clusters = MiniBatchKMeans(N_CLUSTERS, random_state=draw, n_init=3).fit_predict(rows)
    # Clusters of middling size: a small one gives no test molecules, a large one leaves few.
    sizes = np.bincount(clusters, minlength=N_CLUSTERS)
    middling = np.argsort(sizes)[N_CLUSTERS // 4 : N_CLUSTERS * 3 // 4]
    held = np.random.default_rng(7000 + draw).choice(middling, HELD_OUT, replace=False)
    has = np.zeros(len(molecules), dtype=bool)
    has[molecules.molecule_index[heavy][np.isin(clusters, held)]] = True
    return has


def _environments(molecules: Molecules, draw: int) -> np.ndarray:
    """Leading directions of the descriptors of all heavy atoms."""
    soap = SOAPTransformer(
        (SOAPScale(**SCALE),),
        species=molecules.elements.tolist(),
        n_jobs=1,
        on_demand=False,
        verbose=False,
        compression=None,
    )
    soap.fit(molecules[:1])
    blocks = []
    pca: PCA | None = None
    for start in range(0, len(molecules), 500):
        part = soap.transform(molecules[start : start + 500].replace(features=None))
        assert part.features is not None
        rows = np.asarray(part.features.compute().scales[0])[part.numbers > 1]
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
                errors = results.by_draw(mine)
                better, spread, _ = r.gain(errors, alone)
                each = r.paired(errors, alone, lambda e, other: 100 * (1 - e / other))
                shares = results.by_draw(mine, "held_out_share").values()
                more = {"gain": better, "gain_se": spread, "share": r.mean_of([*shares])[0]}
                more["gains"] = " ".join(f"{value:+.0f}" for value in each)
                more["errors"] = " ".join(f"{errors[draw]:.3f}" for draw in sorted(errors))
                row = {"n": n, "training": words, "words": WORDS[name]} | row | more
                rows.append(row)
    return {"kinds": rows}


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    rows = tables_.get("kinds", [])
    if not rows:
        return {}
    head = ("N", "training molecules", "learned from", "MAE, D", "MAE of each draw", "gain, %",
            "gain of each draw")  # fmt: skip
    alone = WORDS["magnitudes"]
    body = (
        (
            f"{row['n']:,}",
            row["training"],
            row["words"],
            r.plus_minus(row["mae"], row["mae_se"], 3),
            row["errors"],
            "" if row["words"] == alone else r.percent(row["gain"], row["gain_se"]),
            "" if row["words"] == alone else row["gains"],
        )
        for row in rows
    )
    return {"kinds": r.markdown(head, body)}
