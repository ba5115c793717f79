"""Any molecule may lack any label: what is there is used, what looks wrong is said."""

import json

import numpy as np
import pytest
from helpers.commands import run

import dipkit
from dipkit import DipoleKernelRidge, InducingBasis, Molecules
from dipkit.data.io import read
from dipkit.exceptions import InputError


@pytest.fixture
def ridge() -> DipoleKernelRidge:
    return DipoleKernelRidge(basis=InducingBasis(n_inducing=60), alpha=1e-3, device="cpu")


@pytest.fixture
def partly(described: Molecules) -> Molecules:
    """Magnitudes on the first ten molecules, charges on the others alone."""
    first = np.arange(len(described)) < 10
    return described.replace(
        dipole_vector=None,
        dipole_magnitude=np.where(first, described.dipole_magnitude, np.nan),
        charges=np.where(first[described.molecule_index], np.nan, described.charges),
        baseline_dipole=None,
        baseline_charges=None,
    )


def without_charges(molecules: Molecules) -> Molecules:
    return molecules.replace(charges=None)


def test_charges_of_molecules_without_a_dipole_choose_the_start(ridge, partly) -> None:
    # Auxiliary dipoles would be followed beside the start.
    ridge.set_params(charge_weight=0, alpha=1e6, solver__annealing=(), auxiliary=None)
    start = ridge.fit(partly)
    found = start.predict_charges(partly)
    guessed = ridge.fit(without_charges(partly)).predict_charges(partly)
    # A strong penalty leaves the start: that fitted to the charges, not the guessed one.
    known = ~np.isnan(partly.charges)
    assert np.abs(found - partly.charges)[known].mean() < 0.03
    assert np.abs(guessed - partly.charges)[known].mean() > 0.05


def test_charges_of_molecules_without_a_dipole_enter_the_charge_term(ridge, partly) -> None:
    ridge.set_params(start__prior=False, start="electronegativity", solver__annealing=())
    known = ~np.isnan(partly.charges)
    errors = [
        np.abs(ridge.set_params(charge_weight=weight).fit(partly).predict_charges(partly)
               - partly.charges)[known].mean()
        for weight in (0.0, 100.0)
    ]  # fmt: skip
    assert errors[1] < 0.3 * errors[0]


def test_molecules_without_a_dipole_offer_inducing_environments(ridge, partly) -> None:
    ridge.set_params(basis__n_inducing=100_000)
    everything = len(ridge.fit(partly).inducing_numbers_)
    assert everything > len(ridge.fit(partly[:10]).inducing_numbers_)


def test_vectors_and_magnitudes_mix_in_one_fit(ridge, described) -> None:
    vectors = described.dipole_vector.copy()
    vectors[::2] = np.nan
    mixed = described.replace(dipole_vector=vectors, charges=None)
    ridge.set_params(alpha=1e-6).fit(mixed)
    summary = ridge.label_summary_
    assert (summary["n_magnitudes"], summary["n_vectors"]) == (20, 20)
    odd = slice(1, None, 2)
    error = np.linalg.norm(ridge.predict_dipole(mixed) - described.dipole_vector, axis=1)
    assert error[odd].mean() < 0.15
    off = np.abs(ridge.predict(mixed) - described.dipole_magnitude)
    assert off[::2].mean() < 0.15
    # Rotated vectors rotate the predictions: the model does learn from directions.
    turned = mixed.replace(dipole_vector=-vectors, dipole_magnitude=described.dipole_magnitude)
    back = ridge.fit(turned).predict_dipole(turned)
    cosine = (back * described.dipole_vector).sum(axis=1)[odd]
    assert (cosine[described.dipole_magnitude[odd] > 1] < 0).all()


def test_info_counts_each_label(described, tmp_path) -> None:
    vectors = described.dipole_vector.copy()
    vectors[5:] = np.nan
    magnitudes = described.dipole_magnitude.copy()
    magnitudes[30:] = np.nan
    charges = np.where(described.molecule_index < 33, np.nan, described.charges)
    mixed = described.replace(
        features=None, dipole_vector=vectors, dipole_magnitude=magnitudes, charges=charges
    )
    for suffix in (".xyz", ".npz"):
        dipkit.write(tmp_path / f"mixed{suffix}", mixed)
        report = json.loads(run("info", tmp_path / f"mixed{suffix}", "--json").stdout)
        assert (report["n_magnitudes"], report["n_vectors"], report["n_charges"]) == (30, 5, 7)


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(3.33564e-30, "coulomb metre"), (1000, "millidebye"), (1 / 48.03, "e\\*nm")],
)
def test_units_that_look_wrong(ridge, described, factor, unit) -> None:
    magnitudes = 0.8 * factor * described.dipole_magnitude
    with pytest.warns(UserWarning, match=f"Perhaps they are in {unit}"):
        ridge.set_params(solver__max_iter=500).fit(without_charges(described), magnitudes)


def test_vector_in_place_of_a_magnitude_and_the_other_way_round(tmp_path) -> None:
    lines = ["2", 'Properties=species:S:1:pos:R:3 {} pbc="F F F"', "H 0 0 0", "F 0 0 0.92", ""]
    file = tmp_path / "x.xyz"
    file.write_text("\n".join(lines).format('mu="0 0 1.8"'))
    with pytest.raises(InputError, match="'mu' holds 3 numbers: expected 1"):
        read(file)
    file.write_text("\n".join(lines).format("dipole=1.8"))
    with pytest.raises(InputError, match="'dipole' holds one number: expected a vector"):
        read(file)
    flat = {"natoms": [2], "numbers": [1, 9], "positions": [[0, 0, 0], [0, 0, 0.92]]}
    np.savez(tmp_path / "a.npz", **flat, mu=[[0, 0, 1.8]])
    with pytest.raises(InputError, match="mu: expected one magnitude"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **flat, dipole=[1.8])
    with pytest.raises(InputError, match="dipole: expected vectors"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize("suffix", [".xyz", ".npz"])
def test_mixed_charge_schemes_give_a_warning(described, tmp_path, suffix) -> None:
    bare = described[:4].replace(features=None)
    file = tmp_path / f"mixed{suffix}"
    dipkit.write(file, bare, info={"label_charges": "mulliken"})
    read(file)  # one scheme gives no warning
    if suffix == ".xyz":
        text = file.read_text()
        file.write_text(text.replace("label_charges=mulliken", "label_charges=iao", 1))
    else:
        arrays = dict(np.load(file))
        arrays["label_charges"] = np.array(["iao", "mulliken", "mulliken", "mulliken"])
        np.savez(file, **arrays)
    with pytest.warns(UserWarning, match=r"several schemes: iao \(1\), mulliken \(3\)"):
        read(file)
