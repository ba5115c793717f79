"""The command ``dipkit evaluate``.

The errors are computed in `dipkit.estimator.metrics`.
"""

from __future__ import annotations

from ..console import read_molecules, show
from ..options import DataArgument, JsonOption, ModelArgument
from ..reading import Reading, reads_labels


@reads_labels
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Compare predictions with the labels in DATA."""
    from ...estimator.metrics import compare
    from ...estimator.persistence import load_model

    loaded = load_model(model)
    show(compare(loaded, read_molecules(data, reading)), as_json)
