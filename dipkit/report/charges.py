"""`ChargesDisplay`: one molecule seen from its broad side, atoms coloured by charge.

Symbols: n atoms, charges (n,) in e, dipole (3,) in debye. Molecules that can be turned are on the
page of `model_page.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import ArrayLike, NDArray

from ..data.elements import chemical_symbols
from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..estimator.pipeline import predict_all
from ..exceptions import InputError
from .plots import BLUE, GREY, ORANGE, figure_and_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

__all__ = ["ChargesDisplay"]

FloatArray = NDArray[np.float64]

# Atoms closer than this factor times the sum of their covalent radii are drawn as bound.
BOND_FACTOR = 1.25
# Length of an arrow, angstrom for each debye; the longer one of a molecule has at least the second.
ARROW_SCALE, SHORTEST_ARROW = 0.7, 1.5
# Distance between the starts of both arrows, angstrom.
ARROW_GAP = 0.5


class ChargesDisplay:
    """Drawing of one molecule with its charges, in the plane in which it extends most.

    Parameters
    ----------
    molecule : Molecules or ase.Atoms
        Of one molecule.
    charges : array-like of shape (n_atoms,), e
    dipole : array-like of shape (3,), debye, default=None
        Predicted dipole, drawn as an arrow from negative to positive.
    reference : array-like of shape (3,), debye, default=None
        Reference dipole, drawn as a second arrow.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes

    Raises
    ------
    InputError
        If there is not one molecule, or not one charge for each atom.
    """

    figure_: Figure
    ax_: Axes

    def __init__(
        self,
        molecule: Molecules | Atoms,
        charges: ArrayLike,
        dipole: ArrayLike | None = None,
        reference: ArrayLike | None = None,
    ):
        self.molecule_ = _one(molecule)
        self.charges_ = np.asarray(charges, np.float64)
        if self.charges_.shape != (self.molecule_.n_atoms,):
            raise InputError(
                f"charges: expected one for each of {self.molecule_.n_atoms} atoms, got an array "
                f"of shape {self.charges_.shape}."
            )
        self.dipole_, self.reference_ = _vector("dipole", dipole), _vector("reference", reference)

    @classmethod
    def from_estimator(
        cls, estimator: Any, molecule: Molecules | Atoms, *, ax: Axes | None = None
    ) -> Self:
        """Predict the charges and the dipole of a molecule, and draw them.

        Parameters
        ----------
        estimator : Pipeline or DipoleKernelRidge
            As in `predict_all`.
        molecule : Molecules or ase.Atoms
            One molecule; its dipole vector is drawn as the reference where it has one.
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure with pyplot.

        Returns
        -------
        ChargesDisplay
        """
        one = _one(molecule)
        found = predict_all(estimator, one)
        reference = one.dipole_vector[0] if one.has_vector[0] else None
        return cls(one, found.charges, found.dipole[0], reference).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None, limit: float | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure with pyplot.
        limit : float, default=None
            Charge of the strongest colours, e; None is the largest charge of the molecule.

        Returns
        -------
        ChargesDisplay
            Itself, with `figure_` and `ax_`.
        """
        self.figure_, self.ax_ = figure_and_axes(ax, 6.0, 5.0)
        axes = self.ax_
        plane = broad_side(self.molecule_.positions)
        places = (self.molecule_.positions - self.molecule_.positions.mean(axis=0)) @ plane.T
        for i, j in _bonds(self.molecule_):
            axes.plot(*places[[i, j], :2].T, color=GREY, lw=2, zorder=1)
        top = limit or max(float(np.abs(np.nan_to_num(self.charges_)).max()), 1e-3)
        circles = self._draw_atoms(places, top)
        self._draw_arrows(places, plane)
        axes.set(aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.margins(0.18)
        self.figure_.colorbar(circles, ax=axes, label="charge (e)", shrink=0.8)
        return self

    def _draw_atoms(self, places: FloatArray, top: float) -> PathCollection:
        """Draw far atoms first: each atom covers circles and labels behind it."""
        numbers, symbols = self.molecule_.numbers, chemical_symbols()
        for rank, atom in enumerate(np.argsort(places[:, 2]).tolist()):
            x, y = places[atom, :2]
            charge, size = self.charges_[atom], 1100 * covalent_radii[numbers[atom]]
            depth, dark = 2 + rank / len(places), abs(charge) > 0.6 * top
            circle = self.ax_.scatter(
                [x], [y], c=[np.nan_to_num(charge)], cmap="RdBu", vmin=-top, vmax=top, s=size,
                edgecolors="black", linewidths=0.8, zorder=depth,
            )  # fmt: skip
            self.ax_.text(
                x, y, f"{symbols[numbers[atom]]}\n{charge:+.2f}", ha="center", va="center",
                fontsize=7.5, color="white" if dark else "black", zorder=depth, clip_on=True,
            )  # fmt: skip
        return circle

    def _draw_arrows(self, places: FloatArray, plane: FloatArray) -> None:
        """Draw both arrows beside each other below the molecule, so that they hide no atom."""
        kinds = [
            (name, dipole, colour, line)
            for name, dipole, colour, line in (
                ("predicted", self.dipole_, BLUE, "-"),
                ("reference", self.reference_, ORANGE, "--"),
            )
            if dipole is not None and not np.isnan(dipole).any()
        ]
        longest = max((float(np.linalg.norm(dipole)) for _, dipole, *_ in kinds), default=0.0)
        scale = max(ARROW_SCALE, SHORTEST_ARROW / max(longest, 1e-6))
        drawn = [scale * (plane @ dipole)[:2] for _, dipole, *_ in kinds]
        highest = max((float(end[1]) for end in drawn), default=0.0)
        for index, (end, (name, dipole, colour, line)) in enumerate(zip(drawn, kinds, strict=True)):
            x, y = ARROW_GAP * (index - 0.5), float(places[:, 1].min()) - 1.2 - max(highest, 0.0)
            label = f"{name} dipole, {np.linalg.norm(dipole):.2f} D"
            x_end, y_end = x + float(end[0]), y + float(end[1])
            self.ax_.plot([x, x_end], [y, y_end], color=colour, ls=line, lw=2, label=label)
            head = {"arrowstyle": "-|>", "color": colour, "lw": 0, "mutation_scale": 16}
            self.ax_.annotate("", (x_end, y_end), (x, y), arrowprops=head, zorder=4)
        if kinds:
            self.ax_.legend(
                frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.02), fontsize=8.5,
                ncols=2, columnspacing=1.2,
            )  # fmt: skip


def _one(molecule: Molecules | Atoms) -> Molecules:
    molecules = as_molecules(molecule)
    if len(molecules) != 1:
        raise InputError(
            f"molecule: expected one molecule, got {len(molecules)}. Choose one: molecules[0]."
        )
    return molecules


def _vector(name: str, values: ArrayLike | None) -> FloatArray | None:
    if values is None:
        return None
    vector = np.asarray(values, np.float64)
    if vector.shape != (3,):
        raise InputError(f"{name}: expected a vector of shape (3,), debye, got {vector.shape}.")
    return vector


def broad_side(positions: FloatArray) -> FloatArray:
    """Axes (3, 3) of the view: the first two along the greatest extents, the last towards us."""
    _, _, axes = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=True)
    axes = axes * np.sign(np.linalg.det(axes))
    return np.asarray(axes)


def _bonds(molecule: Molecules) -> NDArray[np.intp]:
    """Pairs of bound atoms, (n_bonds, 2)."""
    radii = covalent_radii[molecule.numbers]
    apart = np.linalg.norm(molecule.positions[:, None] - molecule.positions, axis=2)
    bound = np.triu(apart < BOND_FACTOR * (radii[:, None] + radii), k=1)
    return np.argwhere(bound)
