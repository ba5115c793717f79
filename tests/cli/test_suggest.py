"""`dipkit suggest`: the file that it writes, which molecules count as labelled, refusals."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from helpers.commands import refused, run

import dipkit
from dipkit.data.datasets import load_organics


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model, its training molecules, and a pool without labels."""
    place, molecules = tmp_path_factory.mktemp("suggest"), load_organics()[:50]
    model = dipkit.default_model(basis__n_inducing=60, device="cpu").fit(molecules[:25])
    dipkit.save_model(model, place / "model.dipkit")
    bare = molecules[25:].replace(dipole_vector=None, dipole_magnitude=None, charges=None)
    dipkit.write(place / "train.xyz", molecules[:25])
    dipkit.write(place / "pool.xyz", bare)
    together = dipkit.Molecules.concatenate([molecules[:25].replace(charges=None), bare])
    dipkit.write(place / "both.xyz", together)
    return place


def test_the_file_has_the_molecules_in_order(folder: Path, tmp_path: Path) -> None:
    model, out = folder / "model.dipkit", tmp_path / "next.xyz"
    train = folder / "train.xyz"
    result = run(
        "suggest", model, folder / "pool.xyz", "--labelled", train, "-k", 4, "-o", out, "--json"
    )
    expected = dipkit.suggest_labels(
        dipkit.load_model(model), folder / "pool.xyz", 4, dipkit.read(train)
    )
    frames = ase.io.read(out, ":")
    assert [frame.info["name"] for frame in frames] == expected.molecules.names.tolist()
    assert [frame.info["suggested_rank"] for frame in frames] == [1, 2, 3, 4]
    for key, values in (("std", expected.std), ("error", expected.expected_error[1:])):
        found = [frame.info[f"suggested_{key}_debye"] for frame in frames]
        np.testing.assert_allclose(found, values, atol=1e-4)
    errors = json.loads(result.stdout)["expected_error_debye"]
    assert errors["with these labels"] == pytest.approx(expected.expected_error[-1], abs=1e-4)
    assert "no dipole label found" in refused("fit", out, "-o", tmp_path / "m.dipkit")


def test_labelled_molecules_may_stand_in_the_pool(folder: Path, tmp_path: Path) -> None:
    model, apart, together = folder / "model.dipkit", tmp_path / "a.xyz", tmp_path / "b.xyz"
    run(
        *("suggest", model, folder / "pool.xyz", "--labelled", folder / "train.xyz"),
        *("-k", 3, "-o", apart),
    )
    result = run("suggest", model, folder / "both.xyz", "-k", 3, "-o", together)
    names = [[frame.info["name"] for frame in ase.io.read(out, ":")] for out in (apart, together)]
    assert names[0] == names[1]
    assert "with as many of random molecules" in result.stderr


def test_refusals(folder: Path, tmp_path: Path) -> None:
    start = "suggest", folder / "model.dipkit", folder / "pool.xyz"
    train = folder / "train.xyz"
    assert "no molecule with a dipole label" in refused(*start, "-o", tmp_path / "n.xyz")
    assert "unknown suffix" in refused(*start, "--labelled", train, "-o", tmp_path / "n.csv")
    assert "would replace the input" in refused(*start, "--labelled", train, "-o", train)
    assert not list(tmp_path.iterdir())
