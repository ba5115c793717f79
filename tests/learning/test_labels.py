"""Labels of a fit: where they are read from, and what sample weights mean for them."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from dipkit.data.datasets import load_organics
from dipkit.data.large_dipoles import warn_large
from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import conserve_charge
from dipkit.learning.labels import FitLabels, read_labels

SIZES = (3, 4, 5, 2, 6, 3, 4, 5)


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    """Every kind of label: three molecules lack a dipole, two have vectors, some have charges."""
    plain, rng = toy(sizes=SIZES), np.random.default_rng(2)
    magnitudes, vectors = 1 + rng.random(8), np.full((8, 3), np.nan)
    vectors[:2] = rng.standard_normal((2, 3))
    magnitudes[:2] = np.nan
    magnitudes[[4, 5, 6]] = np.nan
    charges = conserve_charge(rng.standard_normal(plain.n_atoms), plain)
    charges[plain.atom_index([1, 4, 7])] = np.nan
    quadrupole = np.full((8, 3, 3), np.nan)
    quadrupole[[2, 5]] = np.diag([1.0, 1.0, -2.0])
    return plain.replace(
        dipole_magnitude=magnitudes, dipole_vector=vectors, charges=charges, quadrupole=quadrupole
    )


def of(molecules: Molecules, weights: list[float] | None = None) -> FitLabels:
    return read_labels(molecules, None, None, weights)


def without_dipoles(molecules: Molecules) -> Molecules:
    return molecules.replace(dipole_magnitude=None, dipole_vector=None)


def properties(labels: FitLabels) -> tuple[float, bool, bool]:
    return labels.n_effective, labels.has_charges, labels.has_quadrupoles


def test_labels_of_the_molecules_are_counted(molecules: Molecules) -> None:
    labels = of(molecules)
    assert properties(labels) == (5.0, True, True)
    assert labels.summary() == {
        "n_molecules": 8,
        "n_atoms": sum(SIZES),
        "n_magnitudes": 3,
        "n_vectors": 2,
        "n_charges": 5,
        "n_quadrupoles": 2,
    }
    np.testing.assert_array_equal(labels.target.weights, 1.0)
    np.testing.assert_array_equal(labels.target.magnitudes, molecules.dipole_magnitude)
    np.testing.assert_array_equal(labels.target.vectors, molecules.dipole_vector)
    np.testing.assert_array_equal(labels.charges, molecules.charges)


def test_a_vector_goes_before_a_magnitude(molecules: Molecules) -> None:
    sizes = np.linalg.norm(molecules.dipole_vector, axis=1)
    both = molecules.replace(
        dipole_magnitude=np.where(np.isnan(sizes), molecules.dipole_magnitude, sizes)
    )
    assert of(both).summary() == of(molecules).summary()
    assert of(both).n_dipoles == 5


@pytest.mark.parametrize("kind", ["magnitudes", "vectors"])
def test_dipoles_given_replace_those_of_the_molecules(molecules: Molecules, kind: str) -> None:
    y = np.arange(1.0, 9.0) if kind == "magnitudes" else np.arange(1.0, 25.0).reshape(8, 3) / 10
    target = read_labels(molecules, y, None, None).target
    given, none = (
        (target.magnitudes, target.vectors)
        if kind == "magnitudes"
        else (target.vectors, target.magnitudes)
    )
    np.testing.assert_array_equal(given, y)
    assert np.isnan(none).all()


def test_charges_may_be_given_in_two_ways(molecules: Molecules) -> None:
    charges = conserve_charge(np.arange(float(molecules.n_atoms)), molecules)
    flat = read_labels(molecules, None, charges, None)
    each = read_labels(molecules, None, np.split(charges, molecules.offsets[1:-1]), None)
    for labels in (flat, each):
        np.testing.assert_array_equal(labels.charges, charges)
        np.testing.assert_array_equal(labels.molecules.charges, charges)


# Weights


def test_a_weight_counts_like_copies(molecules: Molecules) -> None:
    times = [1, 2, 3, 0, 1, 0, 2, 1]
    weighted, repeated = of(molecules, times), of(molecules[np.repeat(np.arange(8), times)])
    assert properties(weighted) == properties(repeated) == (7.0, True, True)


def test_weights_that_are_no_integers_are_relative(molecules: Molecules) -> None:
    # Molecules 4 to 6 have no dipole.
    labels = of(molecules, [0.5, 0.25, 1.5, 2.0, 10.0, 10.0, 10.0, 0.125])
    assert labels.n_effective == pytest.approx(4.375**2 / 6.578125)


def test_copies_of_relative_weights_sum_to_the_effective_number(molecules: Molecules) -> None:
    """All molecules count here, those without a dipole too."""
    weights = np.array([0.5, 0.25, 1.5, 2.0, 10.0, 10.0, 10.0, 0.125])
    copies = of(molecules, weights.tolist()).copies
    np.testing.assert_allclose(copies / copies[0], weights / weights[0])
    assert copies.sum() == pytest.approx(weights.sum() ** 2 / (weights @ weights))
    np.testing.assert_array_equal(of(molecules, [1, 2, 3, 0, 1, 0, 2, 1]).copies[:3], [1, 2, 3])


@pytest.mark.parametrize("absent", [[0], [2, 5], [0, 1], [0, 2, 3, 5, 6], [1, 2, 3, 7]], ids=str)
def test_a_molecule_of_weight_0_is_absent(molecules: Molecules, absent: list[int]) -> None:
    weights = np.where(np.isin(np.arange(8), absent), 0.0, 1.0)
    found, expected = of(molecules, weights.tolist()), of(molecules[weights > 0])
    assert found.summary() == expected.summary()
    assert properties(found) == properties(expected)


def test_weights_of_0_alone_are_refused(molecules: Molecules) -> None:
    with pytest.raises(InputError, match=r"sample_weight: expected a positive weight"):
        of(molecules, [0.0] * 8)
    # Those of positive weight have no dipole.
    with pytest.raises(InputError, match=r"sample_weight: .* got weight 0 for each"):
        of(molecules, [0, 0, 0, 0, 1, 1, 1, 0])


def test_molecules_of_weight_0_do_not_decide_about_units(molecules: Molecules) -> None:
    y = np.full(8, 400.0)
    y[:2] = 2.0
    for known in (molecules, without_dipoles(molecules)):
        for given in (y, y[:, None] * [0.0, 0.0, 1.0]):
            # A warning would be an error.
            read_labels(known, given, None, [1, 1, 0, 0, 0, 0, 0, 0])
            with pytest.warns(UserWarning, match="labels of the molecules say|median is 400"):
                read_labels(known, given, None, None)


def test_units_of_vectors_are_looked_at(molecules: Molecules) -> None:
    y = [[0.0, 0.0, 400.0]] * 8
    with pytest.warns(UserWarning, match="366.3 times what the labels of the molecules say"):
        read_labels(molecules, y, None, None)
    with pytest.warns(UserWarning, match="median is 400"):
        read_labels(without_dipoles(molecules), y, None, None)


def test_single_atoms_of_weight_0_are_absent(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(3, 1, 4))
    read_labels(molecules, [1.0, 0.0, 2.0], None, [1, 0, 1])  # a warning would be an error
    with pytest.warns(UserWarning, match="1 of 3 molecules are single atoms"):
        read_labels(molecules, [1.0, 0.0, 2.0], None, [1, 2, 1])
    with pytest.raises(InputError, match="X: expected molecules of two atoms or more"):
        read_labels(molecules, [1.0, 0.0, 2.0], None, [0, 1, 0])


def test_weights_given_are_kept(molecules: Molecules) -> None:
    weights = np.arange(8.0)
    labels = of(molecules, weights)
    np.testing.assert_array_equal(labels.target.weights, weights)
    np.testing.assert_array_equal(weights, np.arange(8.0))


@pytest.mark.parametrize("argument", ["y", "charges", "sample_weight"])
@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (lambda x: x + 0j, "complex numbers"),
        (lambda x: [complex(value) for value in x], "complex numbers"),
        (lambda x: [f"{value:.3f}" for value in x], "text"),
        (lambda x: np.array([*map(str, x)], dtype=object), "text"),
        (lambda x: np.array(x, dtype="M8[D]"), "dates"),
        (lambda x: x > 1, "truth values"),
    ],
)
def test_what_is_no_real_number_is_refused(
    molecules: Molecules, argument: str, convert: Callable, kind: str
) -> None:
    n = molecules.n_atoms if argument == "charges" else len(molecules)
    arguments = {"y": None, "charges": None, "sample_weight": None}
    arguments[argument] = convert(np.arange(1.0, n + 1))
    if (argument, kind) == ("sample_weight", "truth values"):
        assert read_labels(molecules, **arguments).target.weights.tolist() == [0.0] + 7 * [1.0]
        return
    with pytest.raises(InputError, match=rf"{argument}: expected numbers.*, got {kind}"):
        read_labels(molecules, **arguments)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("size", [60.0, 9000.0])
def test_a_label_that_is_too_large_for_the_molecule_is_named(size: float, given: bool) -> None:
    molecules = load_organics()[:40]
    magnitudes = molecules.dipole_magnitude.copy()
    magnitudes[7] = size
    if not given:
        molecules = molecules.replace(dipole_vector=None, dipole_magnitude=magnitudes)
    name = re.escape(f"1 of 40 is larger than the molecule can have: {str(molecules.names[7])!r}")
    with pytest.warns(UserWarning, match=name):
        read_labels(molecules, magnitudes if given else None, None, None)


@pytest.mark.parametrize("shape", [(8,), (8, 3)])
@pytest.mark.parametrize("size", [2e4, 1e300])
def test_dipoles_that_no_molecule_has_are_refused(
    molecules: Molecules, shape: tuple[int, ...], size: float
) -> None:
    y = np.ones(shape)
    y[5] = size
    with pytest.raises(InputError, match=r"y: no molecule has more than 10000 debye, got .*5 \("):
        read_labels(molecules, y, None, None)


def test_large_dipoles_that_are_possible_are_taken() -> None:
    """Ions, salts and large molecules with charged groups have them; a wrong unit is not this."""
    salt = Molecules([55, 53], [[0.0, 0.0, 0.0], [0.0, 0.0, 3.32]], [0, 2], dipole_magnitude=[11.7])
    read_labels(salt, None, None, None)
    chain = np.zeros((1000, 3))
    chain[:, 0] = 0.1 * np.arange(1000)
    protein = Molecules(np.full(1000, 6), 15 * chain, [0, 1000], dipole_magnitude=[5000.0])
    warn_large(protein, protein.dipole_magnitude)
    ion = Molecules([1] * 2, [[0, 0, 0], [0, 0, 1.0]], [0, 2], total_charge=[3.0])
    warn_large(ion, np.array([14.0]))
    with pytest.warns(UserWarning, match="larger than the molecule can have"):
        warn_large(
            Molecules.concatenate([ion.replace(total_charge=[0.0]), salt]), np.array([14, 1])
        )


def test_a_label_of_weight_zero_is_not_looked_at() -> None:
    molecules = load_organics()[:10]
    magnitudes = np.where(np.arange(10) == 3, 9000.0, molecules.dipole_magnitude)
    molecules = molecules.replace(dipole_vector=None, dipole_magnitude=magnitudes)
    read_labels(molecules, None, None, np.where(np.arange(10) == 3, 0.0, 1.0))
