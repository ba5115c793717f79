"""Time derivatives of dipoles beside one prediction, and compare them with central differences.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/derivatives.py

The molecules are those of 20 atoms in the bundled set; models learn from all others. For each model
the table shows, as a multiple of the processor time of one prediction (median over molecules and
repeats, in turn): the derivatives of dipoles and of charges, and the derivatives of the descriptors
alone by dscribe (analytic for "gto", differences for "polynomial"). Then the largest deviation of
the dipole derivatives from central differences of fourth order, in double precision, along random
directions, over the largest derivative. At the end: molecular dynamics and infrared intensities by
ASE with GFN2-xTB, with and without the dipoles of the model, where tblite is installed.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from _common import Stopwatch, setting
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from ase.vibrations import Infrared
from sklearn.pipeline import Pipeline

from dipkit import Molecules, as_molecules, default_model, predict_all, to_atoms
from dipkit.data.datasets import load_organics
from dipkit.estimator.fitted_parts import compensations, has_atomic_dipoles
from dipkit.learning.atomic_dipoles import neighbour_vectors
from dipkit.learning.multipoles import dipoles
from dipkit.response import DipkitCalculator, charge_derivatives, dipole_derivatives
from dipkit.response.expansions import differentiate_expansions
from dipkit.units import DEBYE_PER_E_ANGSTROM

MODELS = {
    "default": {},
    "compensation along bonds": {"basis__compensation": "bonds"},
    "atomic dipoles": {"basis__atomic_dipoles": 0.06},
}
N_ATOMS, N_DIRECTIONS = 20, 3
# Angstrom, and the share of the largest derivative from which on a difference sees a step.
STEP, LEAST_STEP = 1e-4, 1e-4
MD_STEPS = 20


def dipole_in_double(model: Pipeline, one: Molecules) -> np.ndarray:
    """Predict the dipole of a neutral molecule (3,), descriptors in double precision."""
    soap, ridge = model[0], model[-1]
    maps = compensations(ridge)
    elements = ridge.elements_.tolist() if has_atomic_dipoles(ridge) else []
    nothing = np.zeros((one.n_atoms, len(maps) + len(elements), 1))
    values = differentiate_expansions(soap, ridge, one, nothing, None).values
    raw, amplitudes = values[:, : len(maps)], values[:, len(maps) :]
    charges = sum(how.apply(part, one) for how, part in zip(maps, raw.T, strict=True))
    vectors = neighbour_vectors(one, elements)
    atomic = DEBYE_PER_E_ANGSTROM * np.einsum("ie,iec->c", amplitudes, vectors)
    return dipoles(charges, one)[0] + atomic


def deviations(model: Pipeline, one: Molecules) -> list[float]:
    """Compare with central differences along random directions, relative to the size.

    Predictions have a small step where an atom passes the cutoff of another one. A direction along
    which differences of two widths do not agree with each other is left out.
    """
    found, rng = dipole_derivatives(model, one), np.random.default_rng(0)
    size, deviations = np.abs(found).max(), []
    for direction in rng.standard_normal((N_DIRECTIONS, one.n_atoms, 3)):
        at = {
            steps: dipole_in_double(
                model, one.replace(positions=one.positions + steps * STEP * direction)
            )
            for steps in (1, -1, 2, -2, 4, -4)
        }
        odd = {steps: at[steps] - at[-steps] for steps in (1, 2, 4)}
        narrow = (8 * odd[1] - odd[2]) / (12 * STEP)
        wide = (8 * odd[2] - odd[4]) / (24 * STEP)
        if np.abs(narrow - wide).max() < LEAST_STEP * size:
            along = np.einsum("jbc,jb->c", found, direction)
            deviations.append(float(np.abs(along - narrow).max() / size))
    return deviations


def by_dscribe(model: Pipeline, atoms: Atoms) -> None:
    """Differentiate the descriptors alone, as dipkit did before."""
    from dscribe.descriptors import SOAP

    soap = model[0]
    for scale in soap.scales_:
        names = ("r_cut", "n_max", "l_max", "sigma", "rbf")
        parameters = {name: getattr(scale, name) for name in names}
        SOAP(species=soap.species_.tolist(), **parameters).derivatives(atoms, attach=True)


def processor_time(run: Callable[[], object]) -> float:
    """Processor time of one call, seconds."""
    with Stopwatch() as watch:
        run()
    return watch.processor


def compare(name: str, model: Pipeline, molecules: list[Atoms], repeat: int) -> str:
    """Return a row of the table."""
    times: dict[str, list[float]] = {"predict": [], "dipole": [], "charges": [], "dscribe": []}
    for atoms in molecules:
        for _ in range(repeat):
            ways: dict[str, Callable[[], object]] = {
                "predict": lambda a=atoms: predict_all(model, a),
                "dipole": lambda a=atoms: dipole_derivatives(model, a),
                "charges": lambda a=atoms: charge_derivatives(model, a),
                "dscribe": lambda a=atoms: by_dscribe(model, a),
            }
            for way, run in ways.items():
                times[way].append(processor_time(run))
    medians = {way: statistics.median(found) for way, found in times.items()}
    ratios = [medians[way] / medians["predict"] for way in ("dipole", "charges", "dscribe")]
    found = [part for a in molecules for part in deviations(model, as_molecules(a, labels=False))]
    row = "".join(f"{ratio:10.2f}" for ratio in ratios)
    counted = f"{len(found)} of {len(molecules) * N_DIRECTIONS}"
    return f"{name:<26}{row}{1e3 * medians['predict']:12.1f}{max(found):12.1e}  {counted}"


def with_forces(model: Pipeline, atoms: Atoms) -> list[str]:
    """Time ASE's tools with GFN2-xTB alone and with the dipoles of the model."""
    from tblite.ase import TBLite

    steps, spectrum = [], []
    for calculator in (TBLite(verbosity=0), DipkitCalculator(model, base=TBLite(verbosity=0))):
        moving = atoms.copy()
        moving.calc = calculator
        dynamics = VelocityVerlet(moving, timestep=0.5 * units.fs)
        dynamics.run(2)
        steps.append(processor_time(lambda d=dynamics: d.run(MD_STEPS)) / MD_STEPS)
        with tempfile.TemporaryDirectory() as folder:
            still = atoms.copy()
            still.calc = calculator
            infrared = Infrared(still, name=f"{folder}/ir")
            spectrum.append(processor_time(infrared.run))
    derivative = processor_time(lambda: dipole_derivatives(model, atoms))
    return [
        f"step of dynamics: GFN2-xTB {1e3 * steps[0]:.1f} ms, with dipoles "
        f"{steps[1] / steps[0]:.2f} times that",
        f"ase.vibrations.Infrared: GFN2-xTB {spectrum[0]:.2f} s, with dipoles of the model "
        f"{spectrum[1] / spectrum[0]:.2f} times that; its analytic derivatives "
        f"{derivative / spectrum[0]:.3f} times",
    ]


def main() -> None:
    """Fit the models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    organics = load_organics()
    large = organics.natoms == N_ATOMS
    molecules = [Atoms(a.numbers, a.positions) for a in to_atoms(organics[large])]
    training = organics[~large]
    print(setting())
    print(f"{len(training)} training molecules, {len(molecules)} molecules of {N_ATOMS} atoms\n")
    print(
        f"{'times of one prediction':<26}{'dipole':>10}{'charges':>10}{'dscribe':>10}"
        f"{'predict, ms':>12}{'deviation':>12}  directions"
    )
    default = None
    for name, parameters in MODELS.items():
        model = default_model(**parameters).fit(training)
        default = default or model
        print(compare(name, model, molecules, args.repeat), flush=True)
    if find_spec("tblite") is not None and default is not None:
        print("\n" + "\n".join(with_forces(default, molecules[0])))


if __name__ == "__main__":
    main()
