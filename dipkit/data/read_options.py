"""What a user may say about a file: which labels to read, under which keys, in which units.

`ReadOptions` is checked once, by `read` or `as_molecules`, and then given to the reader of the
format. Keys that are looked for without being named are in `label_keys.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypedDict

from ..exceptions import InputError
from ..support.files import PathLike
from ..support.system_memory import parse_bytes
from .predicted_keys import warn_named

__all__ = ["DIPOLE_UNITS", "LENGTH_UNITS", "UNREAD", "ReadKeywords", "ReadOptions"]

DIPOLE_UNITS = ("auto", "debye", "e-angstrom", "au")
LENGTH_UNITS = ("auto", "angstrom", "bohr")
# In place of a key: the label is not read. A key that is really called so must be renamed.
UNREAD = "none"


class ReadKeywords(TypedDict, total=False):
    """Keyword arguments of `dipkit.data.io.read`, as other functions pass them on."""

    dipole_key: str | None
    charges_key: str | None
    labels: bool
    dipole_unit: str
    length_unit: str
    total_charge: str | float | None
    skip_invalid: bool
    ignore_pbc: bool
    labels_file: PathLike | None
    max_unpacked: int | str | None


@dataclass(frozen=True)
class ReadOptions:
    """Which labels to read, and what the file does not say itself.

    Parameters
    ----------
    dipole_key, charges_key : str, default=None
        Keys of the labels; None looks for the usual ones, ``"none"`` leaves this label unread.
    labels : bool, default=True
        False reads geometries and total charges only.
    dipole_unit : {"auto", "debye", "e-angstrom", "au"}, default="auto"
        Unit of dipole labels; "auto" takes what the file or the key says, else the usual unit of
        the key.
    length_unit : {"auto", "angstrom", "bohr"}, default="auto"
        Unit of positions; "auto" takes what the file says, else angstrom.
    total_charge : str or float, default=None
        Key of the total charge, or the charge of every molecule in e; None looks for the usual
        keys.
    skip_invalid : bool, default=False
        Leave out records that cannot be used, with a warning that counts them.
    ignore_pbc : bool, default=False
        Take molecules in periodic boxes as isolated.
    labels_file : str or path, default=None
        CSV file with the dipoles, joined by name; dipoles beside the geometries are then not read.
    max_unpacked : int or str, default=None
        Bytes, or text such as "8GB", that a compressed file may unpack to; None is the usual limit.

    Raises
    ------
    InputError
        If a unit is unknown, or ``max_unpacked`` is no size.
    """

    dipole_key: str | None = None
    charges_key: str | None = None
    labels: bool = True
    dipole_unit: str = "auto"
    length_unit: str = "auto"
    total_charge: str | float | None = None
    skip_invalid: bool = False
    ignore_pbc: bool = False
    labels_file: PathLike | None = None
    max_unpacked: int | str | None = None

    def __post_init__(self) -> None:
        """Check the words."""
        for argument, value, known in (
            ("dipole_unit", self.dipole_unit, DIPOLE_UNITS),
            ("length_unit", self.length_unit, LENGTH_UNITS),
        ):
            if value not in known:
                raise InputError(f"{argument}: expected one of {', '.join(known)}, got {value!r}.")

        if self.max_unpacked is not None:
            parse_bytes(self.max_unpacked, "max_unpacked")

    @property
    def most_unpacked(self) -> int | None:
        """Bytes that a compressed file may unpack to; None is the usual limit."""
        if self.max_unpacked is None:
            return None
        return parse_bytes(self.max_unpacked, "max_unpacked")

    @property
    def read_dipole(self) -> bool:
        """Whether dipole labels are read."""
        return self.labels and self.dipole_key != UNREAD

    @property
    def read_charges(self) -> bool:
        """Whether reference charges are read."""
        return self.labels and self.charges_key != UNREAD

    @property
    def for_geometries(self) -> ReadOptions:
        """Options of the files of geometries: with a table of labels, no dipoles are read there."""
        if self.labels_file is None or not self.labels:
            return self
        return replace(self, dipole_key=UNREAD, dipole_unit="auto", labels_file=None)

    @property
    def named(self) -> dict[str, str]:
        """Keys of labels that the user named, by argument."""
        keys = {}
        if self.dipole_key and self.read_dipole:
            keys["dipole_key"] = self.dipole_key
        if self.charges_key and self.read_charges:
            keys["charges_key"] = self.charges_key
        return keys

    @property
    def about_labels(self) -> list[str]:
        """Arguments that say how a file is to be understood, and were given."""
        usual = ReadOptions()
        keys = ("dipole_key", "charges_key", "labels_file")
        names = (*keys, "dipole_unit", "length_unit", "total_charge")
        return [name for name in names if getattr(self, name) != getattr(usual, name)]

    def check_found(self, found: Iterable[str], present: Iterable[str]) -> None:
        """Raise where a key that the user named was found for no molecule."""
        found = set(found)
        for argument, key in self.named.items():
            if key not in found:
                raise InputError(
                    f"{argument}={key!r}: found in no molecule; keys present: "
                    f"{', '.join(present) or 'none'}. Name one of these."
                )
            if argument != "dipole_key" or self.labels_file is None:  # else a column of the table
                warn_named(argument, key)
