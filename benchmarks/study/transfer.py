"""Figure 4, first part: larger molecules, and a set of more diverse molecules.

No better method is cheap enough for all of these molecules: GFN2-xTB makes the labels, magnitudes
and charges, on both sides, and GFN1-xTB, another method, the cheap vectors and the baseline. The
larger molecules are those of `larger_molecules.py`, whose geometries are kept in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from larger_molecules import SIZES, large_molecules, require

from dipkit import DipoleKernelRidge, Molecules, PowerKernel
from dipkit.estimator.auxiliary import AUTO_ERRORS
from dipkit.estimator.pipeline import BASELINE_DEGREE

from . import cheap
from . import results as r
from .material import Material
from .results import Results, Row
from .runner import Unit
from .scope import Scope

# GFN1-xTB overestimates dipoles of GFN2-xTB in the same way as those of B3LYP: the factor is that
# of the training molecules.
VARIANTS: dict[str, dict[str, Any]] = {
    "magnitudes alone": {},
    "charges (default)": {"charges": True},
    "GFN1-xTB vectors": {"charges": True, "vectors": True},
    "GFN1-xTB baseline": {"baseline": True},
    "magnitudes alone, compensated along bonds": {"bonds": True},
    "charges, compensated along bonds": {"charges": True, "bonds": True},
    "GFN1-xTB vectors, compensated along bonds": {"charges": True, "vectors": True, "bonds": True},
}
MEAN, SCALED = "mean of the training molecules", "GFN1-xTB times one fitted factor"
TRANSFER_SIZES = (200, 1000)
DIVERSE_SIZES = (200, 450)
SMALL = "up to 9, QM9"
N_SMALL = 200


def unit(experiment: str, name: str, n: int, draw: int) -> Unit:
    """Return a unit of one of the two experiments, "larger" or "diverse"."""
    variant = VARIANTS[name]
    scales = "baseline" if variant.get("baseline") else None
    config = {"n": n, "draw": draw, "scales": scales} | variant
    return Unit(experiment, config, 4)


def units(scope: Scope) -> list[Unit]:
    """Return all units of this part."""
    if not scope.is_full:
        return []
    draws = range(min(scope.draws, 3))
    found = [
        unit("larger", name, n, draw) for name in VARIANTS for n in TRANSFER_SIZES for draw in draws
    ]
    return found + [
        unit("diverse", name, n, draw) for name in VARIANTS for n in DIVERSE_SIZES for draw in draws
    ]


def run_larger(material: Material, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train on QM9, test on molecules of QM9's size and on larger ones."""
    train, small, large = _larger(material, config)
    return _run(material, config, train, {SMALL: small} | _by_size(large)), {}


def prepare_larger(material: Material, config: dict[str, Any]) -> None:
    """Make geometries and labels of the larger molecules, and labels of those of QM9."""
    _larger(material, config)


def _larger(material: Material, config: dict[str, Any]) -> tuple[Molecules, Molecules, Molecules]:
    draw = config["draw"]
    train = _of_pool(material, material.labelled(draw, config["n"]), draw)
    small = _of_pool(material, material.test(draw, N_SMALL), None)
    return train, small, _large(material)


def run_diverse(
    material: Material, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and test on the bundled molecules together with the larger ones."""
    everything = _diverse(material)
    order = np.random.default_rng(6000 + config["draw"]).permutation(len(everything))
    train, test = everything[order[: config["n"]]], everything[order[max(DIVERSE_SIZES) :]]
    found = _run(material, config, train, {"all": test})
    return found | {"mae": found["groups"]["all"]["mae"]}, {}


def prepare_diverse(material: Material, config: dict[str, Any]) -> None:
    """Make geometries and labels of the larger molecules, and labels of the bundled ones."""
    _diverse(material)


def _diverse(material: Material) -> Molecules:
    return Molecules.concatenate([_organics(material), _large(material)])


def _run(
    material: Material, config: dict[str, Any], train: Molecules, test: dict[str, Molecules]
) -> dict[str, Any]:
    """Fit one variant and test it on groups."""
    model = DipoleKernelRidge(device=material.device, random_state=config["draw"])
    if config.get("bonds"):
        model.set_params(basis__compensation="bonds")
    if config.get("baseline"):
        model.set_params(baseline="given", basis__kernel=PowerKernel(BASELINE_DEGREE))
    elif config.get("vectors"):
        errors = AUTO_ERRORS["gfn2"]
        model.set_params(auxiliary="given")
        model.set_params(auxiliary__discrepancy=errors.discrepancy, auxiliary__noise=errors.noise)
        factor = _factor(train)
        train = train.replace(baseline_dipole=factor * np.asarray(train.baseline_dipole))
    if not config.get("charges"):
        train = train.replace(charges=None)
    if not (config.get("baseline") or config.get("vectors")):
        train = train.replace(baseline_dipole=None, baseline_charges=None)
    soap = material.transformer(config["scales"])
    model.fit(soap.transform(train))
    groups = {}
    for name, molecules in test.items():
        if not config.get("baseline"):
            molecules = molecules.replace(baseline_dipole=None, baseline_charges=None)
        error = np.abs(model.predict(soap.transform(molecules)) - molecules.dipole_magnitude)
        groups[name] = {
            "n": len(molecules),
            "mae": float(error.mean()),
            "median": float(np.median(error)),
            "mean_magnitude": float(molecules.dipole_magnitude.mean()),
        }
    return {"groups": groups, "mae": next(iter(groups.values()))["mae"]}


def _factor(train: Molecules) -> float:
    """Fit one factor of the cheap vectors to the magnitudes of the training molecules."""
    length = np.linalg.norm(np.asarray(train.baseline_dipole), axis=1)
    return float(length @ train.dipole_magnitude / (length @ length))


def _of_pool(material: Material, indices: np.ndarray, draw: int | None) -> Molecules:
    """Molecules of QM9 with GFN2-xTB in the place of all labels."""
    dipole, charges = material.gfn2(indices, draw)
    low = material.gfn1(indices, draw)
    return _labelled(material.pool[indices], dipole, charges, low)


def _large(material: Material) -> Molecules:
    """Return the larger molecules with labels; geometries are made where the cache has none."""
    file = material.cache / "large.npz"
    if not file.exists():
        require("rdkit", "tblite")
    molecules = large_molecules(file)
    found = material.of_molecules("gfn2-large", molecules, cheap.gfn2)
    low = material.of_molecules("gfn1-large", molecules, cheap.gfn1)
    return _labelled(molecules, found["dipole"], found["charges"], low)


def _organics(material: Material) -> Molecules:
    """Return the bundled molecules with labels of GFN2-xTB, which they carry."""
    molecules = material.organics
    found = molecules.baseline_dipole, molecules.baseline_charges
    low = material.of_molecules("gfn1-bundled", molecules, cheap.gfn1)
    return _labelled(molecules, *found, low)


def _labelled(molecules: Molecules, dipole: Any, charges: Any, low: dict[str, Any]) -> Molecules:
    return Molecules(
        molecules.numbers,
        molecules.positions,
        molecules.offsets,
        names=molecules.names,
        dipole_magnitude=np.linalg.norm(dipole, axis=1),
        charges=charges,
        baseline_dipole=low["dipole"],
        baseline_charges=low["charges"],
    )


def _by_size(large: Molecules) -> dict[str, Molecules]:
    heavy = np.array([(one.numbers > 1).sum() for one in large])
    return {name: large[np.isin(heavy, size)] for name, size in SIZES.items()}


def tables(results: Results, scope: Scope, material: Material) -> dict[str, list[Row]]:
    """Return ``larger`` and ``diverse``."""
    found: dict[str, list[Row]] = {}
    for experiment, sizes in (("larger", TRANSFER_SIZES), ("diverse", DIVERSE_SIZES)):
        rows: list[Row] = []
        for n in sizes:
            draws = range(min(scope.draws, 3))
            for name in VARIANTS:
                mine = [unit(experiment, name, n, draw) for draw in draws]
                alone = [unit(experiment, next(iter(VARIANTS)), n, draw) for draw in draws]
                rows += _group_rows(results, name, n, mine, alone)
        if experiment == "larger":
            there = {row["n"] for row in rows}
            rows += [row for n in sorted(there) for row in _untrained(material, n, scope)]
        found[experiment] = rows
    return found


def _untrained(material: Material, n: int, scope: Scope) -> list[Row]:
    """Return the errors of what needs no descriptors: the mean, and the cheap method scaled."""
    errors: dict[tuple[str, str], list[float]] = {}
    for draw in range(min(scope.draws, 3)):
        train, small, large = _larger(material, {"n": n, "draw": draw})
        mean, factor = float(train.dipole_magnitude.mean()), _factor(train)
        for group, molecules in ({SMALL: small} | _by_size(large)).items():
            low = np.linalg.norm(np.asarray(molecules.baseline_dipole), axis=1)
            for name, predicted in ((MEAN, mean), (SCALED, factor * low)):
                error = float(np.abs(predicted - molecules.dipole_magnitude).mean())
                errors.setdefault((name, group), []).append(error)
    return [
        {"n": n, "variant": name, "group": group, "draws": len(found), "mae": float(np.mean(found)),
         "gain": np.nan}
        for (name, group), found in errors.items()
    ]  # fmt: skip


def _group_rows(
    results: Results, name: str, n: int, mine: list[Unit], alone: list[Unit]
) -> list[Row]:
    rows = []
    errors, others = _errors(results, mine), _errors(results, alone)
    for group, by_draw in errors.items():
        mean, spread = r.mean_of(by_draw)
        better, better_se, _ = r.gain(by_draw, others.get(group, {}))
        row = {"n": n, "variant": name, "group": group, "draws": len(by_draw)}
        row |= {"mae": mean, "mae_se": spread, "gain": better, "gain_se": better_se}
        rows.append(row | {"commits": r.commits(results, mine)})
    return rows


def _errors(results: Results, units_: list[Unit]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for unit_ in units_:
        record = results.of(unit_)
        for group, figures in (record["result"]["groups"] if record else {}).items():
            found.setdefault(group, {})[unit_.config["draw"]] = figures["mae"]
    return found


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    passages = {}
    for name in ("larger", "diverse"):
        parts = []
        rows = tables_.get(name, [])
        for n in dict.fromkeys(row["n"] for row in rows):
            mine = [row for row in rows if row["n"] == n]
            head = f"MAE, D (N = {n:,})"
            parts.append(r.pivot(mine, "variant", "group", _cell, head))
        if parts:
            passages[name] = "\n\n".join(parts)
    return passages


def _cell(row: Row) -> str:
    text = f"{row['mae']:.3f}"
    alone = row["variant"] == next(iter(VARIANTS))
    lonely = not np.isfinite(row["gain"])
    return text if alone or lonely else f"{text} ({r.percent(row['gain'], row['gain_se'])} %)"
