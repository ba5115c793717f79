"""Hartree-Fock and density functionals for one molecule.

Symbols: n atoms; positions in angstrom, charges in e, dipoles in debye about the centre of mass.
Only this module imports PySCF, when first used. Many molecules are calculated in `calculation.py`.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..exceptions import InputError
from ..units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM
from .calculation import Calculation, CalculationError
from .core_potentials import CorePotential, UnfitBasisError, core_potential
from .electrons import centred, count_unpaired
from .gaussian_basis import CORE_BASIS, GAUSSIAN_BASIS, Shell, polarization
from .programs import load, provenance

__all__ = ["CHARGE_SCHEMES", "MeanField"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A mean-field object of PySCF, which carries no types.
Solution: TypeAlias = Any

CHARGE_SCHEMES = ("mulliken", "meta-lowdin")


class _Basis(NamedTuple):
    """What the basis gives for one element."""

    shells: list[Shell]
    potential: CorePotential | None


@dataclass(frozen=True)
class MeanField:
    """Hartree-Fock or a density functional by PySCF, without density fitting.

    Parameters
    ----------
    functional : str
        ``"hf"``, or the name of a functional in PySCF; ``"b3lyp"`` is that of Gaussian.
    basis : str
        Name of a basis in PySCF, with pure functions; ``"6-31g(2df,p)"`` is that of Gaussian, see
        `gaussian_basis.py`. The effective core potential that belongs to a basis is set for each
        element that has one, see `core_potentials.py`.
    scheme : {"mulliken", "meta-lowdin"}, default="mulliken"
        Of the charges.
    unpaired : int, default=0
        Unpaired electrons; -1 for as few as possible.
    """

    functional: str
    basis: str
    scheme: str = "mulliken"
    unpaired: int = 0

    def check(self, elements: IntArray) -> None:
        """Refuse an unknown functional, basis or scheme before anything is calculated.

        Parameters
        ----------
        elements : ndarray of int
            Atomic numbers that will be calculated.

        Raises
        ------
        InputError
            Also if the basis cannot be used for one of the elements.
        """
        if self.scheme not in CHARGE_SCHEMES:
            raise InputError(
                f"charges scheme: expected one of {CHARGE_SCHEMES}, got {self.scheme!r}."
            )
        libxc = load("pyscf.dft.libxc")
        try:
            if self.functional != "hf":
                libxc.parse_xc(self._xc())
        except (KeyError, ValueError, AssertionError) as error:
            raise InputError(
                f"method: PySCF has no functional {self.functional!r}. Expected gfn2, hf/BASIS "
                "or FUNCTIONAL/BASIS, for example b3lyp/6-31g(2df,p)."
            ) from error
        for reason in self.refusals(elements).values():
            raise InputError(f"method: {reason}.")

    def refusals(self, elements: IntArray) -> dict[int, str]:
        """Return the reason for each atomic number that this basis cannot describe."""
        reasons = {}
        for number in elements.tolist():
            try:
                _basis_of(self.basis, number)
            except CalculationError as error:
                reasons[number] = str(error)
        return reasons

    def calculate(
        self, numbers: IntArray, positions: FloatArray, total_charge: float
    ) -> Calculation:
        """Calculate one molecule; see `dipkit.quantum.xtb.GFN2.calculate`."""
        lib = load("pyscf.lib")
        with lib.with_omp_threads(1):
            solution = self._solve(numbers, centred(numbers, positions), total_charge)
            dipole = solution.dip_moment(unit="AU", verbose=0)
            population = (
                solution.mulliken_pop if self.scheme == "mulliken" else solution.mulliken_meta
            )
            charges = population(verbose=0)[1]
            quadrupole = solution.quad_moment(unit="AU", verbose=0)
        dipole = np.asarray(dipole) * (ANGSTROM_PER_BOHR * DEBYE_PER_E_ANGSTROM)
        quadrupole = np.asarray(quadrupole) * (ANGSTROM_PER_BOHR**2 * DEBYE_PER_E_ANGSTROM)
        return Calculation(dipole, np.asarray(charges, dtype=np.float64), quadrupole)

    def provenance(self, elements: IntArray) -> dict[str, str]:
        """Program, version, method, basis, core potentials of these elements, charge scheme."""
        words = provenance("pyscf", self.functional, self.basis, self.scheme)
        potentials = self._potentials(elements)
        return words | ({"label_ecp": potentials} if potentials else {})

    def _potentials(self, elements: IntArray) -> str:
        """Return core potentials in words: name of the set, elements, electrons of each core."""
        symbols, cores = chemical_symbols(), dict[str, list[str]]()
        refused = self.refusals(elements)
        for number in elements.tolist():
            potential = None if number in refused else _basis_of(self.basis, number).potential
            if potential is not None:
                of_set = cores.setdefault(potential.name, [])
                of_set.append(f"{symbols[number]} {potential.n_core} electrons")
        return "; ".join(f"{name}: {', '.join(words)}" for name, words in cores.items())

    def _solve(self, numbers: IntArray, positions: FloatArray, total_charge: float) -> Solution:
        """Return the converged wave function; second-order steps where the usual ones fail."""
        solution = self._wave_function(numbers, positions, total_charge)
        solution.kernel()
        if not solution.converged:
            solution = solution.newton()
            solution.kernel()
        if not solution.converged:
            raise CalculationError(f"{self.functional}/{self.basis}: the SCF did not converge")
        return solution

    def _wave_function(
        self, numbers: IntArray, positions: FloatArray, total_charge: float
    ) -> Solution:
        gto, scf, dft = load("pyscf.gto"), load("pyscf.scf"), load("pyscf.dft")
        symbols = chemical_symbols()
        names = [symbols[number] for number in numbers.tolist()]
        bases = {symbols[number]: _basis_of(self.basis, number) for number in set(numbers.tolist())}
        potentials = {name: basis.potential for name, basis in bases.items() if basis.potential}
        n_core = sum(potentials[name].n_core for name in names if name in potentials)
        unpaired = count_unpaired(numbers, total_charge, self.unpaired, n_core)
        try:
            molecule = gto.M(
                atom=list(zip(names, positions.tolist(), strict=True)),
                basis={name: basis.shells for name, basis in bases.items()},
                ecp={name: potential.terms for name, potential in potentials.items()},
                charge=round(total_charge),
                spin=unpaired,
                verbose=0,
            )
        except RuntimeError as error:
            raise CalculationError(f"PySCF refuses the molecule: {error}") from error
        if self.functional == "hf":
            solution = scf.RHF(molecule) if unpaired == 0 else scf.UHF(molecule)
        else:
            solution = dft.RKS(molecule) if unpaired == 0 else dft.UKS(molecule)
            solution.xc = self._xc()
        solution.chkfile = None
        return solution

    def _xc(self) -> str:
        # B3LYP of Gaussian, with the third functional of Vosko, Wilk and Nusair.
        return "b3lypg" if self.functional == "b3lyp" else self.functional


# Every molecule needs the bases of its elements: files are read once.
@lru_cache(maxsize=1000)
def _basis_of(basis: str, number: int) -> _Basis:
    """Return basis and core potential of an element, or raise `CalculationError`."""
    symbol = chemical_symbols()[number]
    library = load("pyscf.gto.basis")
    gaussian = basis == GAUSSIAN_BASIS
    extra = polarization(symbol) if gaussian else []
    name = CORE_BASIS if gaussian else basis
    shells: list[Shell] | None = None
    # PySCF raises whatever its parsers raise, where a file lacks an element.
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")  # advice to install another package
        shells = None if extra is None else library.load(name, symbol)
    if not shells:
        raise CalculationError(
            f"there is no basis {basis!r} for {symbol}; name one that PySCF has, for example "
            "def2-svp, or leave out molecules with this element"
        )
    try:
        potential = core_potential(name, symbol, number, shells)
    except UnfitBasisError as error:
        raise CalculationError(f"{error}; name another basis, for example def2-svp") from error
    return _Basis([*shells, *(extra or [])], potential)
