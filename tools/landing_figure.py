"""Draw the molecule of README.md and of the first page of the documentation.

    python tools/landing_figure.py

docs/_static/molecule.svg: a molecule that the model did not see, with predicted charges and dipole
beside the reference dipole. The other figure, docs/study/curve.svg, comes from `make study`.
"""

from pathlib import Path

from sklearn.model_selection import train_test_split

from dipkit import default_model
from dipkit.data import load_organics
from dipkit.report import ChargesDisplay, save_figure
from dipkit.report.plots import new_figure

DOCS = Path(__file__).parent.parent / "docs"


def main():
    """Fit on three quarters of the bundled molecules and draw one of the others."""
    train, test = train_test_split(load_organics(), test_size=0.25, random_state=0)
    model = default_model().fit(train, train.dipole_magnitude)
    shown = test.names.tolist().index("COc1c[nH]c(N)c1")
    picture = new_figure(5.6, 4.0)
    axes = picture.subplots()
    ChargesDisplay.from_estimator(model, test[shown], ax=axes)
    axes.set_title("A new molecule: predicted charges and dipole", fontsize=10)
    save_figure(picture, DOCS / "_static" / "molecule.svg")
    print(f"shown: {test.names[shown]}")


if __name__ == "__main__":
    main()
