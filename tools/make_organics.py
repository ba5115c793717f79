"""Make dipkit's bundled data set: small organic molecules with dipoles and charges.

Two steps, run from the root of the repository::

    python tools/make_organics.py label     # hours of CPU; resumes where it was stopped
    python tools/make_organics.py collect   # seconds; writes dipkit/data/bundled/

`label` plans the molecules (ASE's G2 set, and SMILES enumerated here from parents and
substituents), and for each one embeds, optimises with GFN2-xTB, and labels the final geometry.
One file per molecule is written aside and renamed, so a run may be killed at any moment; the
order is shuffled over sizes and sources, so whatever is done so far is a balanced set.

Units are e, angstrom, debye. Dipole vectors are in the frame of the stored positions.
Needs ase, rdkit, tblite and pyscf.
"""

import argparse
import hashlib
import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data import chemical_symbols
from ase.data.g2 import molecule_names
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.optimize import LBFGS
from ase.units import Bohr

try:
    from rdkit import Chem, RDLogger
    from rdkit.Chem import AllChem, rdDetermineBonds, rdFingerprintGenerator
    from rdkit.SimDivFilters import MaxMinPicker
except ImportError as error:
    raise SystemExit(
        f"make_organics.py needs rdkit, which could not be imported ({error}). "
        'Install it with `pip install "dipkit[benchmarks]"`.'
    ) from None

DEBYE_PER_E_ANGSTROM = 4.80320471
SEED = 20240229
DATA = Path(__file__).resolve().parents[1] / "dipkit" / "data" / "bundled"
FIGURES = ("<!-- figures -->", "<!-- end of figures -->")
"""What encloses the part of the data's README that `collect` writes."""
ELEMENTS = {"H", "C", "N", "O", "F"}
PER_SIZE = {3: 40, 4: 120, 5: 230, 6: 130, 7: 45, 8: 30}
"""How many enumerated molecules to plan, by number of heavy atoms."""

PARENTS = """
CC CCC CCCC CC(C)C C=CC C=CC=C C#C C#CC CO CCO CC(C)O COC CCOC C=O CC=O CCC=O CC(C)=O C=CC=O
OC=O CC(=O)O COC=O COC(C)=O NC=O CNC=O CC(N)=O CN CCN CNC CN(C)C C#N CC#N C=CC#N C=N CN=C
C[N+](=O)[O-] CC[N+](=O)[O-] CC=NO NC(N)=O CNC(N)=O COC(N)=O COC(=O)OC CNC(=O)OC NC=N CN=C=O
C1CC1 C1CO1 C1CN1 C1CCC1 C1=CCC1 C1COC1 C1CNC1 O=C1CCC1 O=C1CCO1 O=C1CCN1 C1CCCC1 C1=CCCC1
C1CCOC1 C1CCNC1 C1COCO1 C1CCCCC1 C1CCOCC1 C1COCCN1 O=C1CCCC1 O=C1CCCO1 O=C1CCCN1 O=C1OCCO1
O=C1NCCN1 O=C1OCCN1 O=C1C=CCC1 c1ccoc1 c1cc[nH]c1 c1c[nH]cn1 c1cn[nH]c1 c1cocn1 c1cnoc1 c1nnco1
c1nc[nH]n1 c1ccccc1 c1ccncc1 c1ccnnc1 c1cncnc1 c1cnccn1 c1ncncn1 O=c1cc[nH]cc1 COCO COCC=O NCC=O
OCC=O O=CC=O Cc1ccccc1 Fc1ccccc1 Oc1ccccc1 Nc1ccccc1 N#Cc1ccccc1 O=Cc1ccccc1 Fc1ccccc1F Fc1ccncc1
Cc1ccncc1 Oc1ccccn1 Nc1ccccn1 Cc1ccco1 O=Cc1ccco1 O=Cc1ccc[nH]1 Cn1cccc1 Cn1ccnc1 Cc1ccon1
N#Cc1ccco1 Fc1ccco1 Nc1ncccn1 Nc1ccon1 O=[N+]([O-])c1ccco1 CC(=O)N(C)C CN(C)C=O
"""

SUBSTITUENTS = """
C CC C(C)C C=C C#C F CF C(F)F C(F)(F)F O CO OC N CN NC N(C)C C#N C=O C(C)=O C(=O)O C(N)=O C(=O)OC
C(=O)F OC=O NC=O [N+](=O)[O-] C1CC1
"""
"""Bound through their first atom."""

UNWANTED = """
[#8][#8] [NX3;!$(N=*);!$([N+]);!a][NX3;!$([N+]);!a] [#7,#8]F [OX2;!a][NX3;!$([N+])] [F,O,N][C]=[C]=*
[CX4]([OH])[O,N,F] [CX4]([NX3H2,NX3H1])[O,N,F] [CX4](F)[NX3] [CX3]([OH])=[C,N] [CX3]([NX3;H1,H2])=C
[CX4]([NX3])([OX2]) C(=O)([OH])[OX2,NX3] [OX2]C#[C,N] F[C,N]#* FC=N NC#C [NX3H]F
[CX3](=O)[CX3](=O)[CX3]=O [N+](=O)([O-])[!#6] [N+](=O)([O-])[C]([N+]) C=C=C=* [#6]1=[#6][#6]=[#6]1
N=C=C [OX2;!a][NX2]=C-N O=CN=* [N+](=O)([O-])C~[N;!a] C=N[NX3] [#6]=N-C#N [CX3]1=[CX3][#6,#7,#8]1
[CX3]=[NX2][CX3]=*
"""
"""SMARTS of what is strained, quick to rearrange, or rare on the shelf."""

log = logging.getLogger("make_organics")


def substitute(parent: Chem.Mol, substituent: Chem.Mol) -> set[str]:
    """Return the SMILES made by replacing each hydrogen of `parent` by `substituent`."""
    made = set()
    if parent.GetNumHeavyAtoms() + substituent.GetNumHeavyAtoms() > max(PER_SIZE):
        return made
    for atom in parent.GetAtoms():
        if atom.GetTotalNumHs() == 0:
            continue
        editable = Chem.RWMol(Chem.CombineMols(parent, substituent))
        editable.AddBond(atom.GetIdx(), parent.GetNumAtoms(), Chem.BondType.SINGLE)
        site = editable.GetAtomWithIdx(atom.GetIdx())
        site.SetNumExplicitHs(max(0, site.GetNumExplicitHs() - 1))
        if Chem.SanitizeMol(editable, catchErrors=True) == 0:
            made.add(Chem.MolToSmiles(editable))
    return made


def acceptable(smiles: str, unwanted: list[Chem.Mol]) -> bool:
    """Tell whether a SMILES has 3 to 8 heavy atoms and no unwanted pattern."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None or mol.GetNumHeavyAtoms() not in PER_SIZE:
        return False
    return not any(mol.HasSubstructMatch(pattern) for pattern in unwanted)


def enumerate_smiles() -> tuple[list[str], list[str]]:
    """Return the parents, and all acceptable products of one or two substitutions, as SMILES."""
    unwanted = [Chem.MolFromSmarts(smarts) for smarts in UNWANTED.split()]
    fragments = [Chem.MolFromSmiles(smiles) for smiles in SUBSTITUENTS.split()]
    parents = {Chem.CanonSmiles(smiles) for smiles in PARENTS.split()}
    products, frontier = set(), parents
    for _ in range(2):
        mols = [Chem.MolFromSmiles(smiles) for smiles in sorted(frontier)]
        made = set().union(*(substitute(mol, fragment) for mol in mols for fragment in fragments))
        frontier = {smiles for smiles in made if acceptable(smiles, unwanted)} - products
        products |= frontier
    parents = {s for s in parents if Chem.MolFromSmiles(s).GetNumHeavyAtoms() in PER_SIZE}
    return sorted(parents), sorted(products - parents)


def pick_diverse(parents: list[str], products: list[str], taken: set[str]) -> list[str]:
    """Choose `PER_SIZE` molecules of each size: the parents, then MaxMin on Morgan bits."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    chosen = []
    for size, wanted in PER_SIZE.items():
        pool = [s for s in parents + products if s not in taken and heavy(s) == size]
        first = [i for i, s in enumerate(pool) if s in parents][:wanted] or [0]
        bits = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in pool]
        wanted = min(wanted, len(pool))
        picks = MaxMinPicker().LazyBitVectorPick(bits, len(bits), wanted, first, SEED)
        chosen += [pool[i] for i in picks]
        log.info("%d heavy atoms: %d of %d", size, wanted, len(pool))
    return chosen


def heavy(smiles: str) -> int:
    """Count the heavy atoms of a SMILES."""
    return Chem.MolFromSmiles(smiles).GetNumHeavyAtoms()


def g2_molecules() -> dict[str, str]:
    """Return name -> SMILES of the closed-shell H C N O F molecules of ASE's G2 set.

    Ozone is left out: its ground state is no single determinant.
    """
    kept = {}
    for name in molecule_names:
        atoms = molecule(name)
        symbols = atoms.get_chemical_symbols()
        n_heavy = sum(symbol != "H" for symbol in symbols)
        closed = atoms.numbers.sum() % 2 == 0 and not atoms.get_initial_magnetic_moments().any()
        big_enough = n_heavy >= 3 or (n_heavy == 2 and "H" in symbols)
        if set(symbols) <= ELEMENTS and closed and big_enough and name != "O3":
            kept[name] = smiles_of(atoms)
    return kept


def smiles_of(atoms: Atoms) -> str:
    """Return the SMILES that RDKit perceives in a geometry; "" where it perceives none."""
    lines = [
        f"{s} {x} {y} {z}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    ]
    mol = Chem.MolFromXYZBlock("\n".join([str(len(atoms)), "", *lines]))
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=0)
    except ValueError:
        return ""
    return Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)


def make_plan() -> list[tuple[str, str]]:
    """Return (name, source) of every molecule to make, in seeded random order."""
    g2 = g2_molecules()
    smiles = pick_diverse(*enumerate_smiles(), taken=set(g2.values()))
    plan = [(name, "g2") for name in g2] + [(s, "smiles") for s in smiles]
    random.Random(SEED).shuffle(plan)
    return plan


def embed(smiles: str) -> Atoms:
    """Return a first geometry: ETKDG with a fixed seed, then MMFF94 where it has parameters."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(mol, randomSeed=SEED) != 0:
        raise RuntimeError("RDKit found no embedding")
    if AllChem.MMFFHasAllMoleculeParams(mol):
        AllChem.MMFFOptimizeMolecule(mol, maxIters=1000)
    symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
    return Atoms(symbols, mol.GetConformer().GetPositions())


def bonds(atoms: Atoms) -> set[tuple[int, int]]:
    """Return the pairs of atoms closer than 1.25 times their summed covalent radii."""
    i, j = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.25))
    return set(zip(i.tolist(), j.tolist(), strict=True))


def optimise(atoms: Atoms) -> Atoms:
    """Return the GFN2-xTB minimum (0.01 eV/angstrom), centred, rounded to 1e-6 angstrom."""
    from tblite.ase import TBLite

    atoms, before = atoms.copy(), bonds(atoms)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    if not LBFGS(atoms, logfile=None).run(fmax=0.01, steps=500):
        raise RuntimeError("the geometry optimisation did not converge")
    if bonds(atoms) != before:
        raise RuntimeError("bonds changed in the geometry optimisation")
    positions = atoms.positions - atoms.get_center_of_mass()
    return Atoms(atoms.numbers, np.round(positions, 6))


def gfn2_labels(atoms: Atoms) -> dict[str, list]:
    """Return GFN2-xTB charges (e) and dipole vector (e*angstrom)."""
    from tblite.ase import TBLite

    calc = TBLite(method="GFN2-xTB", verbosity=0)
    charges = calc.get_property("charges", atoms)
    dipole = calc.get_property("dipole", atoms)
    return {"gfn2_charges": charges.tolist(), "gfn2_dipole": dipole.tolist()}


def dft_labels(atoms: Atoms) -> dict[str, list]:
    """Return B3LYP/6-31G(2df,p) Mulliken charges (e) and dipole vector (e*angstrom).

    B3LYP as in Gaussian (VWN3), spherical d and f functions, density fitting, a coarse grid:
    exact to a few thousandths of a debye.
    """
    from pyscf import dft, gto, lib

    lib.num_threads(1)
    geometry = list(zip(atoms.symbols, atoms.positions, strict=True))
    mol = gto.M(atom=geometry, basis="6-31g(2df,p)", cart=False, verbose=0)
    mf = dft.RKS(mol, xc="b3lypg").density_fit(auxbasis="cc-pvdz-jkfit")
    mf.grids.level, mf.conv_tol = 1, 1e-8
    mf.kernel()
    if not mf.converged:
        raise RuntimeError("the SCF did not converge")
    mulliken = mf.mulliken_pop(verbose=0)[1]
    dipole = mf.dip_moment(unit="AU", verbose=0) * Bohr
    return {"mulliken": mulliken.tolist(), "dipole": dipole.tolist()}


def make_one(name: str, source: str) -> dict:
    """Return everything about one molecule, or its name and the reason why it is left out."""
    started = time.process_time()
    record = {"name": name, "source": source}
    try:
        atoms = optimise(molecule(name) if source == "g2" else embed(name))
        record |= {"numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist()}
        record |= gfn2_labels(atoms) | dft_labels(atoms)
    except Exception as error:  # one molecule must not end the run
        record["error"] = f"{type(error).__name__}: {error}"
    return record | {"seconds": time.process_time() - started}


def work_on(rank: int, name: str, source: str, folder: Path, deadline: float) -> str:
    """Make one molecule and leave its file in `folder`; return a line for the log."""
    if time.time() > deadline:
        return f"{rank} {name}: not started, out of time"
    record = {"rank": rank} | make_one(name, source)
    path = checkpoint(folder, name)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(record))
    aside.replace(path)
    return f"{rank} {name}: {record.get('error', 'done')} ({record['seconds']:.1f} s)"


def checkpoint(folder: Path, name: str) -> Path:
    """Return the file of a molecule."""
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def label(work: Path, jobs: int, limit: int | None, max_hours: float) -> None:
    """Make the planned molecules that have no file yet, in `jobs` processes."""
    deadline = time.time() + 3600 * max_hours
    work.mkdir(parents=True, exist_ok=True)
    plan = [(rank, *entry) for rank, entry in enumerate(make_plan()[:limit])]
    left = [entry for entry in plan if not checkpoint(work, entry[1]).exists()]
    log.info("%d planned, %d to do", len(plan), len(left))
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(work_on, *entry, work, deadline) for entry in left]
        for future in futures:
            log.info(future.result())


def collect(work: Path) -> None:
    """Write `organics.npz` and the figures in `README.md` from the files in `work`."""
    records = [json.loads(path.read_text()) for path in work.glob("*.json")]
    records.sort(key=lambda record: record["rank"])
    done = [record for record in records if "error" not in record]
    failed = [record for record in records if "error" in record]
    if not done:
        raise SystemExit(f"{work} holds no finished molecule; run the label step first")
    arrays = flat_arrays(done)
    aside = DATA / "organics.part.npz"
    np.savez_compressed(aside, **arrays)
    aside.replace(DATA / "organics.npz")
    readme = DATA / "README.md"
    head, rest = readme.read_text().split(FIGURES[0])
    tail = rest.split(FIGURES[1])[1]
    text = figures(arrays, done, failed)
    readme.write_text(f"{head}{FIGURES[0]}\n{text}\n{FIGURES[1]}{tail}")
    log.info("%d molecules written, %d left out", len(done), len(failed))


def flat_arrays(done: list[dict]) -> dict[str, np.ndarray]:
    """Return the flat layout: one row per molecule, or all atoms one after another."""
    per_atom = {k: join(done, k) for k in ("numbers", "positions", "mulliken", "gfn2_charges")}
    per_atom["numbers"] = per_atom["numbers"].astype(np.uint8)
    dipole = np.round([record["dipole"] for record in done], 6)
    return per_atom | {
        "natoms": np.array([len(record["numbers"]) for record in done]),
        "charge": np.zeros(len(done)),
        "dipole": dipole,
        "dipole_debye": debye(dipole),
        "gfn2_dipole": np.round([record["gfn2_dipole"] for record in done], 6),
        "name": np.array([record["name"] for record in done]),
        "source": np.array([record["source"] for record in done]),
    }


def join(done: list[dict], key: str) -> np.ndarray:
    """Return a quantity of all atoms, all molecules one after another."""
    return np.concatenate([np.round(record[key], 8) for record in done])


def debye(dipole: np.ndarray) -> np.ndarray:
    """Return the magnitudes, debye, of dipole vectors in e*angstrom."""
    return np.linalg.norm(dipole, axis=1) * DEBYE_PER_E_ANGSTROM


def figures(arrays: dict[str, np.ndarray], done: list[dict], failed: list[dict]) -> str:
    """Return the counts, ranges and versions as Markdown."""
    mu, natoms = arrays["dipole_debye"], arrays["natoms"]
    starts = np.cumsum(natoms) - natoms
    heavy_atoms = np.add.reduceat(arrays["numbers"] > 1, starts)
    holding = count([chemical_symbols[z] for r in done for z in set(r["numbers"])])
    charge_dipole = np.add.reduceat(arrays["mulliken"][:, None] * arrays["positions"], starts)
    charge_error = abs(debye(charge_dipole) - mu).mean()
    gfn2_error = abs(debye(arrays["gfn2_dipole"]) - mu).mean()
    rows = {
        "molecules": f"{len(mu)} ({count(arrays['source'])})",
        "atoms": f"{natoms.sum()}",
        "molecules by heavy atoms": count(heavy_atoms),
        "molecules that hold an element": holding,
        "dipole, debye": f"{mu.min():.3f} to {mu.max():.3f}, mean {mu.mean():.3f}",
        "Mulliken charge, e": f"{arrays['mulliken'].min():.3f} to {arrays['mulliken'].max():.3f}",
        "mean error of the Mulliken charges' dipole, debye": f"{charge_error:.3f}",
        "mean error of the GFN2-xTB dipole, debye": f"{gfn2_error:.3f}",
        "made with": ", ".join(f"{p} {version(p)}" for p in ("pyscf", "tblite", "rdkit", "ase")),
    }
    lines = ["| | |", "|---|---|"] + [f"| {key} | {value} |" for key, value in rows.items()]
    lines += ["", f"Left out: {len(failed)}.", ""]
    lines += [f"- `{record['name']}`: {record['error']}" for record in failed]
    return "\n".join(lines).rstrip()


def count(values: Sequence | np.ndarray) -> str:
    """Return how often each value occurs, as text."""
    counts = Counter(np.asarray(values).tolist())
    return ", ".join(f"{value}: {n}" for value, n in sorted(counts.items()))


def main() -> None:
    """Parse the command line and run one step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=["plan", "label", "collect"])
    parser.add_argument("--work", type=Path, default=Path("build/organics"))
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--limit", type=int, help="only the first LIMIT of the plan")
    parser.add_argument("--max-hours", type=float, default=24.0, help="start none after this")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    RDLogger.DisableLog("rdApp.*")
    if options.step == "plan":
        print("\n".join(f"{source} {name}" for name, source in make_plan()))
    elif options.step == "label":
        label(options.work, options.jobs, options.limit, options.max_hours)
    else:
        collect(options.work)


if __name__ == "__main__":
    main()
