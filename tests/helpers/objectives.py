"""One joint objective as a function of its weights, for tests."""

import numpy as np

from dipkit.learning.iterate import Direction
from dipkit.learning.normal_matrices import RenewedMatrix
from dipkit.learning.objective import JointObjective


def value(J: JointObjective, w: np.ndarray) -> float:
    """J at weights (r,)."""
    return float(J.at(w).value[0])


def gradient(J: JointObjective, w: np.ndarray) -> np.ndarray:
    """dJ/dw (r,)."""
    return 2 * J.half_gradient(J.at(w))[0]


def slope(J: JointObjective, w: np.ndarray, d: np.ndarray) -> float:
    """Derivative of J at w along d."""
    direction: Direction = J.direction(d[None])
    return 2 * float(J.half_slope(J.at(w), direction)(np.zeros(1))[0])


def normal_matrix(J: JointObjective, w: np.ndarray, directed: bool = False) -> np.ndarray:
    """Matrix of the majoriser at w (r, r), or the preconditioner with directions."""
    return RenewedMatrix(J, directed).matrix(J, J.at(w))
