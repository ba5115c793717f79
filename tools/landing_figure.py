"""Draw the two figures of README.md and of the first page of the documentation.

    python tools/landing_figure.py

docs/_static/molecule.svg: a molecule that the model did not see, with predicted charges and dipole
beside the reference dipole. docs/_static/learning_curve.svg: the errors of
docs/benchmarks/learning_curve.json. Run it again after that benchmark.
"""

import json
from pathlib import Path

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter
from sklearn.model_selection import train_test_split

from dipkit import default_model
from dipkit.data import load_organics
from dipkit.report import ChargesDisplay, save_figure
from dipkit.report.plots import BLUE, GREY, ORANGE, new_figure

DOCS = Path(__file__).parent.parent / "docs"
MODELS = {
    "kernel ridge on averaged SOAP": (GREY, "s"),
    "dipkit, no charges": (BLUE, "o"),
    "dipkit, with charges": (ORANGE, "D"),
}


def draw_curves(axes):
    """Draw mean errors over the draws, with bands of one standard deviation."""
    rows = json.loads((DOCS / "benchmarks" / "learning_curve.json").read_text())["rows"]
    sizes = sorted({row["size"] for row in rows})
    for model, (colour, marker) in MODELS.items():
        errors = np.array(
            [
                [row["mae_debye"] for row in rows if (row["model"], row["size"]) == (model, size)]
                for size in sizes
            ]
        )
        mean, spread = errors.mean(axis=1), errors.std(axis=1, ddof=1)
        axes.fill_between(sizes, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
        axes.plot(sizes, mean, color=colour, marker=marker, label=model)
    axes.set(xscale="log", yscale="log", ylim=(0.08, 1.2))
    for axis, ticks in ((axes.xaxis, sizes), (axes.yaxis, [0.1, 0.2, 0.5, 1.0])):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("training molecules")
    axes.set_ylabel("mean absolute error of |μ|, D")
    axes.set_title("1,000 test molecules of QM9", fontsize=10)
    axes.legend(frameon=False, fontsize=9)


def main():
    """Fit on three quarters of the bundled molecules and draw one of the others."""
    train, test = train_test_split(load_organics(), test_size=0.25, random_state=0)
    model = default_model().fit(train, train.dipole_magnitude)
    shown = test.names.tolist().index("COc1c[nH]c(N)c1")
    picture, curves = new_figure(5.6, 4.0), new_figure(4.8, 4.0)
    axes = picture.subplots()
    ChargesDisplay.from_estimator(model, test[shown], ax=axes)
    axes.set_title("A new molecule: predicted charges and dipole", fontsize=10)
    draw_curves(curves.subplots())
    save_figure(picture, DOCS / "_static" / "molecule.svg")
    save_figure(curves, DOCS / "_static" / "learning_curve.svg")
    print(f"shown: {test.names[shown]}")


if __name__ == "__main__":
    main()
