"""Turns entries of files into `Molecules`: labels inside, or from a table beside them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ...exceptions import FileFormatError, InputError
from ..read_options import ReadOptions
from . import sdf
from .ase_atoms import AtomsReader
from .boundary import boundary
from .entries import Context, Entry
from .label_join import add_to_records, match_rows
from .label_table import LabelTable, read_label_table
from .records import Record
from .text_sources import content_suffix
from .unpacking import Allowance


class EntryReader(AtomsReader):
    """Collects the molecules of files.

    Parameters
    ----------
    options : ReadOptions
        With a table of labels, dipoles beside the geometries are not read.
    first : int, default=0
        Number of the first molecule, for names and messages.
    metadata : mapping, default=None
        Metadata of the file, where units may be declared.
    shared : Context, default=None
        That of the whole file, where this reads a part of it.
    allowance : Allowance, default=None
        That of a packed file, which bounds the number of molecules.
    """

    def __init__(
        self,
        options: ReadOptions,
        first: int = 0,
        metadata: Mapping[str, object] | None = None,
        shared: Context | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        totals = shared.total_charges if shared else None
        super().__init__(options.for_geometries, first, totals, metadata)
        self.units = shared.units if shared else self.units
        self.context = Context(self.options, self.total_charges, self.units)
        self.orders: list[int | None] = []
        self._allowance = allowance

    def add_entries(self, entries: Iterable[Entry]) -> None:
        """Read molecules; errors name their place in the files."""
        for entry in entries:
            if self._allowance is not None:
                self._allowance.check_molecules(self.next_index + 1)
            if isinstance(entry.content, InputError):
                self.reject(entry.content)
                continue
            try:
                with boundary(entry.where):
                    self._add_entry(entry, entry.content)
            except FileFormatError as error:
                self.reject(error, _title(entry, entry.content))
            except InputError as error:
                reason = InputError(f"{entry.where}: {error}")
                self.reject(reason, _title(entry, entry.content))

    def _add_entry(self, entry: Entry, content: Atoms | Record) -> None:
        if isinstance(content, Atoms):
            record = self.record_of(content, entry.name, as_read=True)
        else:
            record = self._meant(content, entry)
        record.stem, record.where = entry.stem, entry.where
        self.keep(record)
        self.orders.append(entry.order)
        self.assumed |= dict.fromkeys(entry.notes)

    def _meant(self, record: Record, entry: Entry) -> Record:
        """Return a record without the labels of another key than the named one."""
        options = self.options
        self.present |= dict.fromkeys(entry.keys)
        self.found |= set(options.named.values()) & set(entry.keys)
        if not _is_meant(options.dipole_key, options.read_dipole, entry):
            record.magnitude = record.vector = None
        if not _is_meant(options.charges_key, options.read_charges, entry):
            record.charges = None
        self.numeric.see(entry.values, len(record.numbers))
        return record

    def sort(self) -> None:
        """Bring molecules into the order that their files name, where all of them name one."""
        orders = [order for order in self.orders if order is not None]
        if len(orders) == len(self.records):
            if (np.diff(orders) < 0).any():
                self.records.take(np.argsort(orders, kind="stable"))
            # Bad records have no order: they go behind the others.
            self.records.rows = array("q", range(len(self.records)))
            self.bad = [
                bad._replace(row=row) for row, bad in enumerate(self.bad, start=len(self.records))
            ]

    def join(self, table: LabelTable, subset: bool = False) -> None:
        """Take dipoles, and total charges where there are, from a table."""
        names, stems = list(self.records.names), list(self.records.stems)
        rows = match_rows(table, names, stems, subset or bool(self.bad))
        add_to_records(rows, self.records)
        with_charge = sum(row is not None and row.total_charge is not None for row in rows)
        self.total_charges.also(str(table.path), with_charge)
        self.present |= dict.fromkeys(table.columns)
        self.found |= set(self.options.named.values()) & set(table.columns)
        self.assumed |= dict.fromkeys(table.notes)
        self.units.dipole_units = dict.fromkeys(table.units)


def _title(entry: Entry, content: Atoms | Record) -> str:
    """Return the name of a molecule that cannot be used."""
    title = content.info.get("name") if isinstance(content, Atoms) else content.name
    return title if isinstance(title, str) and title else entry.name


def _is_meant(key: str | None, wanted: bool, entry: Entry) -> bool:
    return wanted and (key is None or key in entry.keys)


def companion_of(path: Path) -> Path | None:
    """Return the file of labels beside an SD file, if there is one."""
    table = path.with_name(f"{path.name.removesuffix('.gz')}.csv")
    if content_suffix(path.name) not in sdf.SUFFIXES or not table.is_file():
        return None
    with table.open(encoding="utf-8", errors="replace") as handle:
        columns = handle.readline(10_000).strip().split(",")
    return table if {"mol_id", "mu"} <= set(columns) else None


def companion_table(path: Path, options: ReadOptions) -> LabelTable | None:
    """Return the table beside an SD file, as ``gdb9.sdf.csv`` is beside ``gdb9.sdf``.

    Only a table that has the columns ``mol_id`` and ``mu`` is taken for labels of the file.
    """
    table = companion_of(path) if options.read_dipole else None
    if table is None:
        return None
    with boundary(str(table)):
        found = read_label_table(table, options)
    note = f"dipoles come from {table}, which lies beside the SD file."
    return replace(found, notes=(note, *found.notes))
