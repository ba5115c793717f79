"""The command ``dipkit evaluate``.

The errors are computed in `dipkit.estimator.metrics`.
"""

from __future__ import annotations

from ..console import read_molecules, show
from ..options import ChargesOption, DataArgument, DipoleOption, JsonOption, ModelArgument


def evaluate(
    model: ModelArgument,
    data: DataArgument,
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare predictions with the labels in DATA."""
    from ...estimator.metrics import compare
    from ...estimator.persistence import load_model

    loaded = load_model(model)
    show(compare(loaded, read_molecules(data, dipole, charges)), as_json)
