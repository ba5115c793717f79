"""How much of the study to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """Sizes and draws.

    Parameters
    ----------
    sizes : tuple of int
        Labels.
    draws : int
    n_test : int
        Test molecules of each draw.
    is_full : bool
        False for a quick run, which leaves out what takes long.
    curve : tuple of int
        Larger numbers of labels, of the learning curve alone.
    """

    sizes: tuple[int, ...] = (50, 100, 200, 500, 1000, 2000)
    draws: int = 5
    n_test: int = 1000
    is_full: bool = True
    curve: tuple[int, ...] = (5000, 10_000, 20_000, 50_000, 120_000)

    def marked(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes at which something is looked at closely; in a quick run the largest."""
        found = tuple(n for n in sizes if n in self.sizes)
        return found or self.sizes[-1:]


QUICK = Scope(sizes=(50, 100), draws=1, n_test=200, is_full=False, curve=())
