"""Molecules of the study: draws, cheap labels calculated once, descriptors kept between units.

All is a function of the data and of the number of a draw. GFN2-xTB and other cheap labels are kept
in files of the cache folder, a block of molecules each, which all processes share. Symbols: indices
(k,) of molecules in the pool, charges (n,) of all atoms of some molecules.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw_indices, parts
from numpy.typing import NDArray

from dipkit import Molecules, SOAPTransformer, read
from dipkit.data.datasets import load_organics
from dipkit.descriptors.scales import MANY_MOLECULES, baseline_scales
from dipkit.learning.charge_maps import conserve_charge
from dipkit.support.files import atomic_write

from . import cheap

Index = NDArray[np.intp]
# Labelled molecules of a draw at most, before those without a label: these are the same for all N.
LABELLED, UNLABELLED = 2000, 5000
# Molecules that the radial channels of all descriptors are learned from, without labels.
CHANNEL_MOLECULES = 1000
N_PROBE = 500
# Numbers of test molecules of a draw; the fewer are not the first of the more.
TESTED = (1000, 2000)
# Molecules of one file of calculations.
BLOCK = 500
# Described sets that are in memory at once, and molecules above which none is.
KEPT, MOST_IN_MEMORY = 5, 3000


class Material:
    """The pool and what is made of it.

    Parameters
    ----------
    data : path
        QM9 in the flat npz layout.
    cache : path
        Folder for calculations.
    device : {"cpu", "cuda"}, default="cpu"
    """

    def __init__(self, data: Path, cache: Path, device: str = "cpu") -> None:
        self.data, self.cache, self.device = data, cache, device
        self._described: OrderedDict[Any, Molecules] = OrderedDict()
        #: Files of calculations that were read or made.
        self.used: set[Path] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand only the names to another process."""
        return Material, (self.data, self.cache, self.device)

    @cached_property
    def pool(self) -> Molecules:
        """All molecules."""
        return read(self.data)

    @cached_property
    def checksum(self) -> str:
        """Checksum of geometries and labels."""
        pool = self.pool
        digest = hashlib.sha256()
        for array in (pool.numbers, pool.positions, pool.offsets, pool.dipole_magnitude):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    # Draws

    @lru_cache(maxsize=8)  # noqa: B019  (one object lives as long as its process)
    def training_order(self, draw: int) -> Index:
        """Molecules in the order in which they are trained on.

        The first are those of `_common.draw`; more of the development part, for large N, follow in
        random order. Last are those of the test part that no model of this draw is tested on.
        """
        development, others = parts(self.pool)
        most = min(LABELLED + UNLABELLED, len(development))
        first, _ = draw_indices(self.pool, most, 0, draw, False)
        rest = np.setdiff1d(development, first)
        tested = np.concatenate([*(self.test(draw, n) for n in TESTED), self.probe()])
        return np.concatenate(
            [
                first,
                np.random.default_rng(2000 + draw).permutation(rest),
                np.setdiff1d(others, tested),
            ]
        )

    def labelled(self, draw: int, n: int) -> Index:
        """Return the N molecules with a label."""
        order = self.training_order(draw)
        if n > len(order):
            raise ValueError(f"n: expected at most {len(order)} labelled molecules, got {n}")
        return order[:n]

    def unlabelled(self, draw: int, n: int, n_more: int) -> Index:
        """Return further molecules, the same for all N up to `LABELLED`."""
        first = max(LABELLED, n)
        return self.training_order(draw)[first : first + n_more]

    @lru_cache(maxsize=8)  # noqa: B019
    def test(self, draw: int, n_test: int) -> Index:
        """Return test molecules of a draw, from the test part."""
        return np.random.default_rng(3000 + draw).choice(parts(self.pool)[1], n_test, replace=False)

    def validation(self, draw: int, n: int) -> Index:
        """Return molecules of the development part that no draw up to half of it trains on."""
        end = len(parts(self.pool)[0])
        return self.training_order(draw)[end - n : end]

    def probe(self) -> Index:
        """Return the molecules that all models predict, from the test part."""
        return np.random.default_rng(4000).choice(parts(self.pool)[1], N_PROBE, replace=False)

    @cached_property
    def organics(self) -> Molecules:
        """The bundled molecules, with vectors."""
        return load_organics()

    # Cheap labels

    def gfn2(self, indices: Index, draw: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Dipoles (k, 3), debye, and charges (n,), e, of GFN2-xTB.

        Parameters
        ----------
        indices : ndarray of shape (k,)
        draw : int, default=None
            Where the molecules are training molecules: blocks are then those of the draw.
        """
        found = self._in_blocks("gfn2", indices, draw, cheap.gfn2, ("dipole", "charges"))
        return found["dipole"], found["charges"]

    def ipea1(self, indices: Index, draw: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Dipoles (k, 3), debye, and charges (n,), e, of IPEA1-xTB; see `gfn2`."""
        found = self._in_blocks("ipea1", indices, draw, cheap.ipea1, ("dipole", "charges"))
        return found["dipole"], found["charges"]

    def gfn1(self, indices: Index, draw: int | None = None) -> dict[str, np.ndarray]:
        """``dipole`` (k, 3), debye, and ``charges`` (n,), e, of GFN1-xTB."""
        return self._in_blocks("gfn1", indices, draw, cheap.gfn1, ("dipole", "charges"))

    def charges(self, kind: str, indices: Index, draw: int) -> np.ndarray | None:
        """Charges of one kind for some training molecules (n,), e; None for none.

        Parameters
        ----------
        kind : {"none", "mulliken", "gfn2", "gasteiger", "shuffled", "reversed"}
        indices : ndarray of shape (k,)
        draw : int
        """
        molecules = self.pool[indices]
        mulliken = np.asarray(molecules.charges)
        if kind == "none":
            return None
        if kind == "mulliken":
            return mulliken
        if kind == "reversed":
            return -mulliken
        if kind == "shuffled":
            rng, mixed = np.random.default_rng(5000 + draw), mulliken.copy()
            for number in molecules.elements:
                atoms = np.flatnonzero(molecules.numbers == number)
                mixed[atoms] = mulliken[rng.permutation(atoms)]
            return conserve_charge(mixed, molecules)
        if kind == "gfn2":
            return conserve_charge(self.gfn2(indices, draw)[1], molecules)
        if kind == "gasteiger":
            found = self._in_blocks("gasteiger", indices, draw, cheap.gasteiger, ("charges",))
            return conserve_charge(found["charges"], molecules)
        raise ValueError(f"charges: no kind {kind!r}")

    def _in_blocks(
        self,
        name: str,
        indices: Index,
        draw: int | None,
        calculate: Callable[[Molecules], dict[str, np.ndarray]],
        fields: Sequence[str],
    ) -> dict[str, np.ndarray]:
        """Take values from files, each of a block of molecules, and make those that lack."""
        # Of training molecules the blocks are those of the draw, so that all N share them.
        wanted = indices
        if draw is not None:
            order = self.training_order(draw)
            place = np.empty(len(self.pool), dtype=np.intp)
            place[order] = np.arange(len(order))
            blocks = np.unique(place[indices] // BLOCK)
            wanted = np.concatenate([order[b * BLOCK : (b + 1) * BLOCK] for b in blocks])
        made = [
            self._block(name, wanted[start : start + BLOCK], calculate)
            for start in range(0, len(wanted), BLOCK)
        ]
        values = {field: np.concatenate([block[field] for block in made]) for field in fields}
        where = {int(index): place for place, index in enumerate(wanted)}
        chosen = np.array([where[int(index)] for index in indices], dtype=np.intp)
        atoms = self.pool[wanted].atom_index(chosen)
        return {
            field: array[chosen] if len(array) == len(wanted) else array[atoms]
            for field, array in values.items()
        }

    def _block(
        self, name: str, indices: Index, calculate: Callable[[Molecules], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        content = self.checksum.encode() + np.asarray(indices, "<i8").tobytes()
        return self.calculated(name, content, lambda: calculate(self.pool[indices]))

    def of_molecules(
        self, name: str, molecules: Molecules, calculate: Callable[[Molecules], dict[str, Any]]
    ) -> dict[str, np.ndarray]:
        """Calculate something for molecules that are not those of the pool, or read it.

        Parameters
        ----------
        name : str
            Of what is calculated.
        molecules : Molecules
        calculate : callable
        """
        content = molecules.numbers.tobytes() + molecules.positions.tobytes()
        return self.calculated(name, content, lambda: calculate(molecules))

    def calculated(
        self, name: str, content: bytes, make: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Read arrays of an earlier calculation, or make them; `content` tells them apart."""
        digest = hashlib.sha256(content).hexdigest()[:16]
        file = self.cache / "calculated" / f"{name}-{digest}.npz"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as temporary:
                np.savez_compressed(temporary, **make())
        self.used.add(file)
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    # Descriptors

    @lru_cache(maxsize=4)  # noqa: B019
    def transformer(self, scales: str | None = None, on_demand: bool = False) -> SOAPTransformer:
        """Return the transformer for the elements of the pool, fitted.

        Its radial channels are learned from geometries of the development part, the same for all
        draws, so that descriptors can be kept.

        Parameters
        ----------
        scales : {None, "baseline", "many"}, default=None
            "many" for the usual scales of a fit to more than 10,000 molecules.
        on_demand : bool, default=False
            On a GPU descriptors are always computed where they are read.
        """
        n = MANY_MOLECULES + 1 if scales == "many" else CHANNEL_MOLECULES
        soap = SOAPTransformer(
            baseline_scales() if scales == "baseline" else None,
            species=self.pool.elements.tolist(),
            n_jobs=1,
            on_demand=on_demand or self.device == "cuda",
            verbose=False,
        )
        return soap.fit(self.pool[self.training_order(0)[:n]])

    def described(
        self, name: str, molecules: Molecules, scales: str | None = None, on_demand: bool = False
    ) -> Molecules:
        """Describe molecules without labels, or find them among those described before.

        Parameters
        ----------
        name : str
            Of this set; only the first molecules of a set may be asked for too.
        molecules : Molecules
        scales : {None, "baseline"}, default=None
        on_demand : bool, default=False
        """
        on_demand = on_demand or len(molecules) > MOST_IN_MEMORY
        transformer = self.transformer(scales, on_demand)
        if on_demand or self.device == "cuda":
            return transformer.transform(molecules)
        key = name, scales
        known = self._described.pop(key, None)
        n_known = 0 if known is None else len(known)
        if n_known < len(molecules):
            more = transformer.transform(molecules[n_known:].replace(features=None))
            known = more if known is None else Molecules.concatenate([known, more])
        assert known is not None
        self._described[key] = known
        while len(self._described) > KEPT:
            self._described.popitem(last=False)
        found = known[: len(molecules)]
        return molecules.replace(features=found.features)
