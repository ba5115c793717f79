"""Figure 7, second part: the worst molecules of the default model, and what is unusual in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from dipkit import Molecules
from dipkit.estimator.reference_models import charge_dipoles

from . import cheap
from . import results as r
from .material import Material
from .results import Results, Row
from .scope import Scope
from .worth import unit_of

N_WORST = 20
BONDED = 1.25


def functional_groups(one: Molecules) -> set[str]:
    """Name the groups of a molecule by elements and numbers of neighbours, without bond orders."""
    numbers, positions = one.numbers, one.positions
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    radii = covalent_radii[numbers]
    bonded = (distance < BONDED * (radii[:, None] + radii[None])) & (distance > 0)
    found: set[str] = set()
    for atom, number in enumerate(numbers.tolist()):
        near = sorted(numbers[bonded[atom]].tolist())
        heavy = [z for z in near if z > 1]
        hydrogens = len(near) - len(heavy)
        if number == 8:
            found.add(
                {(1, 0): "=O", (1, 1): "OH", (2, 0): "O between two"}.get(
                    (len(heavy), hydrogens), "other O"
                )
            )
        if number == 7:
            if len(near) == 1:
                found.add("≡N")
            elif len(near) == 4:
                found.add("ammonium")
            elif hydrogens == 2:
                found.add("NH2")
            elif hydrogens == 1:
                found.add("NH")
            elif hydrogens == 3:
                found.add("NH3")
            else:
                found.add(f"N with {len(near)} heavy neighbours")
        if number == 9:
            found.add("F")
    return found or {"hydrocarbon"}


def rows(
    results: Results, scope: Scope, material: Material, n: int, draws: Sequence[int]
) -> list[Row]:
    """Return the molecules with the largest errors, each once, among the test molecules of draws.

    Parameters
    ----------
    results : Results
    scope : Scope
    material : Material
    n : int
        Training molecules of the default model.
    draws : sequence of int
        Those that were run.
    """
    units = [unit_of("hint", n, draw, scope) for draw in draws]
    arrays = [results.arrays(unit) for unit in units]
    tested = np.concatenate([material.test(draw, scope.n_test) for draw in draws])
    molecules, of_draw = material.pool[tested], np.repeat(draws, scope.n_test)
    predicted = np.concatenate([each["magnitude"] for each in arrays]).astype(float)
    off = predicted - molecules.dipole_magnitude
    largest = np.argsort(-np.abs(off), kind="stable")
    # Each molecule once, with its largest error.
    first = np.unique(molecules.names[largest], return_index=True)[1]
    order = largest[np.sort(first)][:N_WORST]
    chosen = molecules[order]
    dipole, charges = material.gfn2(tested[order])
    angles = np.full(len(order), np.nan)
    if all("dipole" in each for each in arrays):
        vectors = np.concatenate([each["dipole"] for each in arrays]).astype(float)
        angles = _angles(vectors[order], dipole)
    like, known = _in_training(material, tested[order], of_draw[order], n)
    mulliken = np.linalg.norm(charge_dipoles(chosen), axis=1)
    found: list[Row] = []
    for place, one in enumerate(chosen):
        found.append(
            {
                "rank": place + 1,
                "name": str(one.names[0]),
                "formula": str(one.formulas()[0]),
                "smiles": cheap.smiles(one),
                "reference": float(one.dipole_magnitude[0]),
                "predicted": float(predicted[order[place]]),
                "gfn2": float(np.linalg.norm(dipole[place])),
                "mulliken": float(mulliken[place]),
                "angle": float(angles[place]),
                "largest_charge": float(np.abs(charges[chosen.atom_index([place])]).max()),
                "similarity": float(like[place]),
                "same_groups": int(known[place]),
                "groups": "; ".join(sorted(functional_groups(one))),
                "n": n,
                "draw": int(of_draw[order[place]]),
                "commits": r.commits(results, units),
            }
        )
    return found


def _angles(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the angles between vectors in degrees."""
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    cosine: np.ndarray = (some * others).sum(axis=1) / lengths
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _in_training(
    material: Material, indices: np.ndarray, draws: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare molecules with the training molecules of their draws.

    Returns
    -------
    similarity : ndarray of shape (k,)
        Of the least known heavy atom: the largest cosine of the descriptors of the shortest scale
        to those of an atom of the training molecules.
    same_groups : ndarray of shape (k,)
        Training molecules with at least the same functional groups.
    """
    groups_ = [sorted(functional_groups(one)) for one in material.pool[indices]]
    content = f"{material.checksum} {n} {draws.tolist()} {material.transformer().scales_} {groups_}"

    def make() -> dict[str, np.ndarray]:
        similarity, same = np.zeros(len(indices)), np.zeros(len(indices), dtype=int)
        for draw in np.unique(draws).tolist():
            train = material.described(f"train {draw}", material.pool[material.labelled(draw, n)])
            rows_, numbers = _directions(train), train.numbers
            groups = [functional_groups(one) for one in train]
            for place in np.flatnonzero(draws == draw):
                one = material.transformer().transform(material.pool[[indices[place]]])
                mine = functional_groups(one)
                same[place] = sum(mine <= each for each in groups)
                similarity[place] = min(
                    float((rows_[numbers == number] @ row).max(initial=0.0))
                    for row, number in zip(_directions(one), one.numbers, strict=True)
                    if number > 1
                )
        return {"similarity": similarity, "same": same}

    found = material.calculated("worst", content.encode() + indices.tobytes(), make)
    return found["similarity"], found["same"]


def _directions(molecules: Molecules) -> np.ndarray:
    """Descriptors of all atoms of the shortest scale, each of length 1."""
    assert molecules.features is not None
    found = np.asarray(molecules.features.compute().scales[0], dtype=float)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def frames(rows_: list[Row], material: Material) -> list[tuple[Any, str]]:
    """Return the worst molecules with captions, for a picture."""
    place = {name: index for index, name in enumerate(material.pool.names.tolist())}
    found = []
    for row in rows_:
        one = material.pool[[place[row["name"]]]]
        caption = (
            f"{row['rank']}. {row['formula']}\n"
            f"{row['reference']:.2f} D, predicted {row['predicted']:.2f} D"
        )
        found.append((Atoms(one.numbers, one.positions), caption))
    return found


def page(rows_: list[Row]) -> str:
    """Return the table of the page."""
    head = ("", "molecule", "SMILES", "reference, D", "predicted", "GFN2-xTB", "Mulliken",
            "angle, °", "largest GFN2 charge, e", "similarity", "with these groups")  # fmt: skip
    return r.markdown(
        head,
        (
            (
                row["rank"],
                row["name"],
                f"`{row['smiles']}`" if isinstance(row["smiles"], str) else "",
                f"{row['reference']:.2f}",
                f"{row['predicted']:.2f}",
                f"{row['gfn2']:.2f}",
                f"{row['mulliken']:.2f}",
                f"{row['angle']:.0f}" if np.isfinite(row["angle"]) else "",
                f"{row['largest_charge']:.2f}",
                f"{row['similarity']:.3f}",
                row["same_groups"],
            )
            for row in rows_
        ),
    )
