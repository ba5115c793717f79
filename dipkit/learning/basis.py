"""Basis functions of atoms: whitened kernels of the inducing environments, a constant per element.

Symbols, for each element e: environments z_1..z_Me, kernel matrix K_MM (M_e, M_e), whitening W
(M_e, r_e - 1) with W^T K_MM W = 1, basis functions phi(x) = [k(x, z) W, BIAS] (r_e,). All elements:
r columns, weights w (r,); E elements, S sets of weights. Equation (7) of the theory page. How the
environments are chosen is in `inducing.py`, sums of basis functions over molecules are in
`accumulate.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..support.backend import NUMPY, Array, Backend
from .atomic_dipoles import count_leading
from .compensation import BOND_STIFFNESS, EVEN, Compensation, count_bond_directions
from .kernels import EnvironmentKernel
from .whitening import whiten

FloatArray = NDArray[np.float64]
# Descriptors of some environments of one element, one array of shape (M_e, d_s) per SOAP scale.
Environments = tuple[NDArray[np.floating], ...]

# The constant column of each element. Large, so that the ridge penalty hardly affects its weight.
BIAS = 10.0


@dataclass(frozen=True)
class ElementBasis:
    """Basis functions of one element.

    Parameters
    ----------
    number : int
        Atomic number.
    environments : tuple of array of shape (M_e, d_s), float32 or float64
        Descriptors of the inducing environments, one array per SOAP scale. Their type is that of
        the kernel values.
    whitening : array of shape (M_e, r_e - 1)
    columns : slice
        Columns of the charges of this element, among all r.
    bond_columns : slice, default=None
        Columns of the bond charges of this element, without a constant. They follow the charge
        columns of all elements. None without bond charges.
    dipole_columns : tuple of slice
        Columns of the atomic dipoles of this element: one slice for the neighbours of each element,
        the constant last in each. They are the last columns. Empty without atomic dipoles.
    """

    number: int
    environments: tuple[Array, ...]
    whitening: Array
    columns: slice
    bond_columns: slice | None = None
    dipole_columns: tuple[slice, ...] = ()

    @property
    def n_leading(self) -> int:
        """Number of whitened directions in each amplitude of an atomic dipole."""
        return count_leading(int(self.whitening.shape[1]))

    @property
    def n_bond(self) -> int:
        """Number of whitened directions of the bond charges; 0 without them."""
        columns = self.bond_columns
        return 0 if columns is None else int(columns.stop - columns.start)

    @property
    def all_columns(self) -> tuple[slice, ...]:
        """All columns of this element: charges, bond charges, atomic dipoles."""
        bonds = () if self.bond_columns is None else (self.bond_columns,)
        return (self.columns, *bonds, *self.dipole_columns)


@dataclass(frozen=True)
class Basis:
    """Basis functions of all elements; an atom has entries only in the columns of its element.

    Parameters
    ----------
    elements : mapping
        `ElementBasis` by atomic number, ascending.
    kernel : EnvironmentKernel
    weights : tuple of float
        Weight of each SOAP scale in the kernel.
    backend : Backend
        Holds the arrays.
    dipole_scale : float, default=0.0
        Scale s of atomic dipoles (21). Above 0, their columns are the last ones.
    compensation : Compensation, default=EVEN
        Of the charges (24).
    bonds : Compensation, default=None
        Of the bond charges, a second function of charges with the leading directions alone; None
        for none.
    eigenvalue_cut : float, default=0.0
        Directions were dropped whose eigenvalue is below this share of the largest one.
    """

    elements: Mapping[int, ElementBasis]
    kernel: EnvironmentKernel
    weights: tuple[float, ...]
    backend: Backend
    dipole_scale: float = 0.0
    compensation: Compensation = EVEN
    bonds: Compensation | None = None
    eigenvalue_cut: float = 0.0

    @property
    def n_columns(self) -> int:
        """Number r of all columns, those of bond charges and atomic dipoles included."""
        return max(columns.stop for part in self.elements.values() for columns in part.all_columns)

    @property
    def n_charge_columns(self) -> int:
        """Number of columns of charges, the first of all."""
        return max(part.columns.stop for part in self.elements.values())

    @property
    def coupled_columns(self) -> slice:
        """Columns whose charges are not block-sparse by element, after compensation along bonds.

        Those of bond charges, and those of all charges where they are compensated along bonds.
        """
        n = self.n_charge_columns
        ends = [part.bond_columns.stop for part in self.elements.values() if part.bond_columns]
        return slice(n if self.compensation.is_even else 0, max(ends, default=n))

    @property
    def dipole_elements(self) -> list[int]:
        """Elements of the neighbours that atomic dipoles point to; empty without atomic dipoles."""
        return sorted(self.elements) if self.dipole_scale > 0 else []

    def basis_functions(self, number: int, scales: Iterable[Array]) -> Array:
        """Compute the basis functions of the charges of atoms of one element.

        Parameters
        ----------
        number : int
            Atomic number.
        scales : iterable of array of shape (n_e, d_s)
            Descriptors of the atoms, on the device. They are read one by one, so that a generator
            holds one at a time.

        Returns
        -------
        array of shape (n_e, r_e), float64
        """
        element, xp = self.elements[number], self.backend.xp
        k = self.kernel(scales, element.environments, self.weights, self.backend)
        phi = self.backend.empty((k.shape[0], element.whitening.shape[1] + 1))
        k = xp.astype(k, xp.float64, copy=False)
        self.backend.into(phi[:, :-1], xp.matmul, k, element.whitening)
        phi[:, -1] = BIAS
        return phi

    def dual(self, w: Array) -> dict[int, tuple[FloatArray, float]]:
        """Turn weights into one coefficient per environment and one constant per element.

        The scale of the compensation is included.

        Parameters
        ----------
        w : array of shape (r,)

        Returns
        -------
        dict
            By atomic number: coefficients of shape (M_e,), e, and the constant, e.
        """
        found = {}
        for number, element in self.elements.items():
            part = self.compensation.scale * w[element.columns]
            coefficients = self.backend.to_host(element.whitening @ part[:-1])
            found[number] = (coefficients, float(BIAS * part[-1]))
        return found

    def dual_of_many(self, w: Array) -> tuple[FloatArray, FloatArray]:
        """Turn several sets of weights into coefficients and constants, as `dual` does with one.

        Parameters
        ----------
        w : array of shape (r, S)

        Returns
        -------
        coefficients : ndarray of shape (M, S), e
            Elements one after the other.
        constants : ndarray of shape (E, S), e
        """
        to_host, parts = self.backend.to_host, list(self.elements.values())
        w = self.compensation.scale * w
        coefficients = [to_host(part.whitening @ w[part.columns, :][:-1, :]) for part in parts]
        constants = [to_host(BIAS * w[part.columns, :][-1, :]) for part in parts]
        return np.concatenate(coefficients), np.array(constants)

    def bond_dual(self, w: Array) -> FloatArray | None:
        """Turn weights into coefficients of the bond charges; None without bond charges.

        Parameters
        ----------
        w : array of shape (r,) or (r, S)

        Returns
        -------
        ndarray of shape (M,) or (M, S), e
            Elements one after the other; the scale of the bond charges is included.
        """
        if self.bonds is None:
            return None
        found = []
        for element in self.elements.values():
            assert element.bond_columns is not None
            part = self.bonds.scale * w[element.bond_columns, ...]
            found.append(self.backend.to_host(element.whitening[:, : element.n_bond] @ part))
        return np.concatenate(found)

    def dipole_dual(self, w: Array) -> tuple[FloatArray, FloatArray]:
        """Turn weights into coefficients and constants of the amplitudes of atomic dipoles.

        Parameters
        ----------
        w : array of shape (r,) or (r, S)

        Returns
        -------
        coefficients : ndarray of shape (M, E) or (M, E, S), e
            Elements one after the other; `dipole_scale` is included.
        constants : ndarray of shape (E, E) or (E, E, S), e
            First axis: element of the atom. Second axis: element of its neighbours.
        """
        to_host, coefficients, constants = self.backend.to_host, [], []
        for element in self.elements.values():
            parts = [self.dipole_scale * w[run, ...] for run in element.dipole_columns]
            leading = element.whitening[:, : element.n_leading]
            of_element = [to_host(leading @ part[:-1, ...]) for part in parts]
            coefficients.append(np.stack(of_element, axis=1))
            constants.append(np.stack([to_host(BIAS * part[-1, ...]) for part in parts]))
        return np.concatenate(coefficients), np.array(constants)


def build_basis(
    environments: Mapping[int, Environments],
    kernel: EnvironmentKernel,
    weights: Sequence[float],
    eigenvalue_cut: float,
    backend: Backend = NUMPY,
    dipole_scale: float = 0.0,
    precise: bool = False,
    compensation: Compensation = EVEN,
    bond_scale: float = 0.0,
) -> Basis:
    """Whiten the kernel matrix of the environments of each element.

    Parameters
    ----------
    environments : mapping
        By atomic number: descriptors of the inducing environments, one array per SOAP scale.
    kernel : EnvironmentKernel
    weights : sequence of float
        Weight of each SOAP scale in the kernel.
    eigenvalue_cut : float
        Directions are dropped whose eigenvalue is below this share of the largest one.
    backend : Backend
    dipole_scale : float, default=0.0
        Scale of atomic dipoles; 0 for charges alone.
    precise : bool, default=False
        Compute kernel values in float64 instead of float32.
    compensation : Compensation, default=EVEN
        Of the charges.
    bond_scale : float, default=0.0
        Scale of the bond charges; 0 for none.

    Returns
    -------
    Basis
    """
    elements, start = {}, 0
    for number, scales in sorted(environments.items()):
        # In float64: rounding noise in K_MM would be whitened together with the signal, and the
        # eigenvalue cut would have to be orders of magnitude higher.
        there = [backend.asarray(scale) for scale in scales]
        exact = [backend.xp.astype(scale, backend.xp.float64) for scale in there]
        whitening = whiten(kernel(exact, exact, weights, backend), eigenvalue_cut, backend)
        stop = start + whitening.shape[1] + 1
        elements[number] = ElementBasis(
            number=number,
            environments=tuple(_environments(x, precise, backend) for x in there),
            whitening=whitening,
            columns=slice(start, stop),
        )
        start = stop
    bonds = Compensation(BOND_STIFFNESS, bond_scale) if bond_scale > 0 else None
    if bonds is not None:
        elements, start = _with_bond_columns(elements, start)
    if dipole_scale > 0:
        elements = _with_dipole_columns(elements, start)
    return Basis(
        elements,
        kernel,
        tuple(weights),
        backend,
        dipole_scale,
        compensation,
        bonds,
        eigenvalue_cut,
    )


def _environments(described: Array, precise: bool, backend: Backend) -> Array:
    """Return descriptors of environments in the type of kernel values."""
    if backend.on_host:
        # Fortran order: `sparse_products.dot` needs it to leave out zeros.
        return np.asfortranarray(described, kernel_dtype(precise))
    xp = backend.xp
    return xp.astype(described, xp.float64 if precise else xp.float32, copy=False)


def kernel_dtype(precise: bool) -> type[np.float32 | np.float64]:
    """Type of kernel values: float64 where `precise`, else float32."""
    return np.float64 if precise else np.float32


def _with_bond_columns(
    elements: Mapping[int, ElementBasis], start: int
) -> tuple[dict[int, ElementBasis], int]:
    """Give each element columns of its bond charges, from `start` on; return where they end."""
    found = {}
    for number, element in elements.items():
        stop = start + count_bond_directions(int(element.whitening.shape[1]))
        found[number] = replace(element, bond_columns=slice(start, stop))
        start = stop
    return found, start


def _with_dipole_columns(
    elements: Mapping[int, ElementBasis], start: int
) -> dict[int, ElementBasis]:
    """Give each element columns of its atomic dipoles, the first of all at `start`."""
    found = {}
    for number, element in elements.items():
        size = element.n_leading + 1
        runs = [slice(start + i * size, start + (i + 1) * size) for i in range(len(elements))]
        found[number] = replace(element, dipole_columns=tuple(runs))
        start = runs[-1].stop
    return found
