"""Each message that docs/troubleshooting.md explains is still the one that a user sees.

A heading of the page holds words of a message; ``...`` stands for words that change. Every heading
needs a function here that causes its message, so that neither can be forgotten.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import molecule
from sklearn.pipeline import make_pipeline

from dipkit import (
    DipoleKernelRidge,
    DipoleSearchCV,
    InducingBasis,
    SOAPScale,
    SOAPTransformer,
    as_molecules,
    default_model,
    load_model,
    predict_all,
    read,
    save_model,
    write,
)
from dipkit.data import load_organics
from dipkit.learning import EnvironmentKernel
from dipkit.quantum.programs import load

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"
HEADINGS = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
WATER = "3\n{}\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"


class OwnKernel(EnvironmentKernel):
    def of_dot_products(self, t, backend):
        return t * t


@pytest.fixture(scope="module")
def few():
    return load_organics()[:12]


@pytest.fixture(scope="module")
def model(few):
    return default_model(basis__n_inducing=40).fit(few)


class Case:
    """What a function needs: some molecules, a model fitted to them, and an empty folder."""

    def __init__(self, few, model, folder):
        self.few, self.model, self.folder = few, model, folder

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def read_water(self, comment="", **options):
        return read(self.file("water.xyz", WATER.format(comment)), **options)

    def small(self, **parameters):
        return default_model(**{"basis__n_inducing": 40, **parameters})

    def saved(self):
        save_model(self.model, self.folder / "model.dipkit")
        return self.folder / "model.dipkit"


def changed_byte(case):
    path = case.saved()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    load_model(path)


def labels_in_bohr(case):
    molecules = load_organics()[:30]
    path = case.folder / "au.npz"
    np.savez(
        path,
        natoms=molecules.natoms,
        numbers=molecules.numbers,
        positions=molecules.positions,
        dipole_debye=molecules.dipole_magnitude / 2.5417,
    )
    read(path)


def fit_to_predictions(case):
    path = case.folder / "predicted.xyz"
    write(path, case.few)
    text = path.read_text().replace("dipole_debye=", "predicted_dipole_debye=")
    path.write_text(text)
    read(path, dipole_key="predicted_dipole_debye")


def changed_descriptors(case):
    case.model[-1].predict(SOAPTransformer([SOAPScale(r_cut=3.0)]).fit_transform(case.few))


def own_kernel(case):
    basis = InducingBasis(kernel=OwnKernel(), n_inducing=40)
    fitted = make_pipeline(SOAPTransformer(), DipoleKernelRidge(basis=basis)).fit(case.few)
    save_model(fitted, case.folder / "own.dipkit")


def other_study(case):
    storage = str(case.folder / "study.db")
    options = {"n_trials": 1, "cv": 2, "storage": storage, "grid": {"alpha": [1e-4]}}
    DipoleSearchCV(case.small(), random_state=0, guard=None, **options).fit(case.few)
    DipoleSearchCV(case.small(), random_state=0, guard=None, **options).fit(case.few[:10])


def no_tblite(case):
    load("no_such_package_of_labels")


def partial_after_fit(case):
    case.model[-1].partial_fit(case.model[0].transform(case.few))


def table(case, text):
    case.read_water("name=w", labels_file=case.file("dipoles.csv", text))


def with_charges(case):
    charges = "Properties=species:S:1:pos:R:3:mulliken:R:1"
    text = f"3\n{charges}\nO 0 0 0.12 -0.3\nH 0 0.76 -0.48 0.4\nH 0 -0.76 -0.48 0.4\n"
    read(case.file("charges.xyz", text))


CAUSES = {
    "no dipole label found": lambda case: case.small().fit(case.read_water()),
    "no column of dipoles": lambda case: table(case, "name,energy\nw,1\n"),
    "rows fit no molecule": lambda case: table(case, "name,dipole_debye\nw,1.8\nv,1\n"),
    "Perhaps they are in": labels_in_bohr,
    "contradicts the file": lambda case: case.read_water("dipole_debye=1.8", dipole_unit="au"),
    "its total charge is": lambda case: case.read_water("charge=1 total_charge=0"),
    "expected its total charge": with_charges,
    "has a periodic cell": lambda case: case.read_water('Lattice="9 0 0 0 9 0 0 0 9"'),
    "angstrom apart": lambda case: read(case.file("h.xyz", "2\n\nH 0 0 0\nH 0 0 0.01\n")),
    "the file has no geometry": lambda case: read(case.file("h.xyz", "2\n\nH 0 0 0\nH 0 0 0\n")),
    "SMILES have no": lambda case: as_molecules(pd.DataFrame({"smiles": ["CCO"], "mu": [1.7]})),
    "unknown suffix": lambda case: read(case.file("water.cif", "data_water")),
    "needs charge labels": lambda case: case.small(start="charges").fit(
        case.few.replace(charges=None)
    ),
    "Stopped at max_iter": lambda case: case.small(solver__max_iter=1).fit(
        case.few, case.few.dipole_magnitude
    ),
    "larger than the molecule": lambda case: case.small().fit(
        case.few, np.where(np.arange(len(case.few)) == 3, 900.0, case.few.dipole_magnitude)
    ),
    "memory_budget:": lambda case: case.small(memory_budget="10MB").fit(case.few),
    '"given" takes': lambda case: case.small(baseline="given").fit(
        case.few.replace(baseline_dipole=None, baseline_charges=None)
    ),
    "and a baseline both": lambda case: case.small(baseline="given", auxiliary="charges").fit(
        case.few
    ),
    "y: expected shape": lambda case: case.model[-1].fit(
        case.model[0].transform(case.few), np.ones((12, 2))
    ),
    "Invalid parameter": lambda case: case.small().set_params(
        dipolekernelridge__loss__threshold=0.3
    ),
    "the statistics of the molecules": partial_after_fit,
    "hold elements unknown": lambda case: case.model.predict([molecule("SH2")]),
    "the descriptors were made": changed_descriptors,
    "expected Molecules described": lambda case: case.model[-1].predict(case.few),
    "these are predictions": fit_to_predictions,
    "is not fitted yet": lambda case: predict_all(case.small(), case.few),
    "not a dipkit model": lambda case: load_model(case.file("model.pkl", "pickle")),
    "its checksum": changed_byte,
    "which dipkit does not trust": own_kernel,
    "belongs to a search": other_study,
    "Install it with": no_tblite,
}


@pytest.mark.parametrize("heading", HEADINGS)
def test_message_is_the_one_that_the_page_explains(heading, few, model, tmp_path):
    causes = [cause for start, cause in CAUSES.items() if heading.startswith(start)]
    assert len(causes) == 1, "the page explains a message that no function here causes"
    seen = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            causes[0](Case(few, model, tmp_path))
        except Exception as error:
            seen.append(str(error))
    seen += [str(warning.message) for warning in caught]
    words = heading.split(" ... ")
    assert any(all(word in message for word in words) for message in seen), seen


def test_each_function_has_a_heading():
    assert [s for s in CAUSES if not any(h.startswith(s) for h in HEADINGS)] == []
