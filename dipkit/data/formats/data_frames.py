"""Tables in memory, such as a pandas DataFrame with one molecule a row, as Atoms.

One column holds the geometries: `ase.Atoms`, or the text of an XYZ file. All other columns are
labels and names under the usual keys, as if they stood in ``atoms.info``; an empty cell (None, NaN)
is a missing label. No data frame library is imported: whatever has named columns will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ...exceptions import FileFormatError, InputError
from .label_table import NAME_COLUMNS
from .xyz_files import frames_in_text

# Where a column holds text without a line end, it may be one of these.
_NO_GEOMETRY = ("smiles", "smi", "canonical_smiles", "inchi", "selfies")

SMILES_REFUSED = (
    "SMILES have no geometry, and the dipole depends on it: expected ase.Atoms or the text of an "
    "XYZ file. Make geometries first, for example with RDKit: mol = "
    "Chem.AddHs(Chem.MolFromSmiles(smiles)); AllChem.EmbedMolecule(mol, randomSeed=0); "
    "AllChem.MMFFOptimizeMolecule(mol); text = Chem.MolToXYZBlock(mol). Better geometries come "
    "from `xtb molecule.xyz --opt`, which writes xtbopt.xyz."
)


def frames_of_texts(texts: Sequence[str]) -> list[Atoms]:
    """Return one Atoms for each text of an XYZ file; texts of other kinds are refused."""
    return [atoms_of_text(text, f"molecule {index}") for index, text in enumerate(texts)]


def is_data_frame(x: object) -> bool:
    """Whether this has named columns and rows, as data frames of pandas and polars do."""
    return all(hasattr(x, name) for name in ("columns", "shape", "__getitem__", "__len__"))


def is_series(x: object) -> bool:
    """Whether this is one column of a data frame."""
    return hasattr(x, "to_list") and hasattr(x, "dtype")


def atoms_of_frame(frame: Any) -> list[Atoms]:
    """Return one Atoms for each row, with the other columns as info.

    Parameters
    ----------
    frame : data frame
        Its columns are named, and each is a sequence.

    Raises
    ------
    InputError
        If there is no column of geometries, several of them, or one of SMILES instead.
    FileFormatError
        If the text of a geometry cannot be read.
    """
    columns = {str(name): list(frame[name]) for name in frame.columns}
    key = _geometry_column(columns)
    names = _names(columns, frame)
    atoms = []
    for row, geometry in enumerate(columns[key]):
        where = f"row {row} of column {key!r}"
        one = geometry.copy() if isinstance(geometry, Atoms) else atoms_of_text(geometry, where)
        if isinstance(geometry, Atoms):
            one.calc = geometry.calc
        one.info |= {
            name: values[row]
            for name, values in columns.items()
            if name != key and not _is_missing(values[row])
        }
        if names is not None:
            one.info["name"] = str(names[row])
        atoms.append(one)
    return atoms


def atoms_of_text(text: object, where: str) -> Atoms:
    """Return the only frame in the text of an XYZ file."""
    if not isinstance(text, str):
        raise InputError(f"{where}: expected a geometry, got {text!r:.40}.")
    if not is_xyz_text(text):
        raise FileFormatError(
            f"{where}: expected ase.Atoms or the text of an XYZ file, got {text!r:.40}. If this is "
            f"SMILES: {SMILES_REFUSED}"
        )
    frames = list(frames_in_text(text, where))
    if len(frames) != 1:
        raise FileFormatError(f"{where}: expected one molecule, got {len(frames)}.")
    return frames[0]


def is_xyz_text(value: object) -> bool:
    """Whether this is the text of an XYZ file: its first line is a number, more lines follow."""
    return isinstance(value, str) and "\n" in value and value.split("\n", 1)[0].strip().isdigit()


def _geometry_column(columns: Mapping[str, Sequence[Any]]) -> str:
    if not columns or not any(len(values) for values in columns.values()):
        raise InputError("molecules: expected a table with at least one row, got an empty one.")
    found = [name for name, values in columns.items() if _holds_geometry(values)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"molecules: several columns hold geometries: {', '.join(found)}. Keep one of them."
        )
    present = ", ".join(columns)
    if any(name.lower() in _NO_GEOMETRY for name in columns):
        raise InputError(f"molecules: columns present: {present}. {SMILES_REFUSED}")
    raise InputError(
        "molecules: expected a column of ase.Atoms or of the text of XYZ files; columns present: "
        f"{present}. If one of them holds SMILES: {SMILES_REFUSED}"
    )


def _holds_geometry(values: Sequence[Any]) -> bool:
    known = [value for value in values if not _is_missing(value)]
    return bool(known) and all(isinstance(v, Atoms) or is_xyz_text(v) for v in known)


def _names(columns: Mapping[str, Sequence[Any]], frame: Any) -> Sequence[Any] | None:
    """Names in a column, else in an index of words."""
    for name in NAME_COLUMNS:
        for column, values in columns.items():
            if column.lower() == name:
                return values
    index = list(getattr(frame, "index", ()))
    return index if index and all(isinstance(label, str) for label in index) else None


def _is_missing(value: object) -> bool:
    """Whether a cell is empty: None, NaN, or what pandas has for these."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))
