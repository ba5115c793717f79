"""What a reader assumed where a file did not say it, for `dipkit info` and for messages.

Notes travel with the molecules: indexing keeps them, joining joins them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .bad_records import BadRecord

__all__ = ["NO_NOTES", "ReadNotes"]


@dataclass(frozen=True)
class ReadNotes:
    """Notes of a reader.

    Parameters
    ----------
    assumed : tuple of str, default=()
        Sentences about units, charges and records left out, each with its reason.
    dipole_unit : str, default=None
        Unit in which dipole labels were read; None if of several, or unknown.
    numeric_keys : mapping of str to str, default={}
        What numbers stand under each key where the molecules were read.
    bad : tuple of BadRecord, default=()
        Records of the file that were left out.

    Examples
    --------
    >>> from dipkit.data.read_notes import ReadNotes
    >>> one, two = ReadNotes(("positions in angstrom.",)), ReadNotes(("charge 0.",))
    >>> ReadNotes.join([one, two, one]).assumed
    ('positions in angstrom.', 'charge 0.')
    """

    assumed: tuple[str, ...] = ()
    dipole_unit: str | None = None
    numeric_keys: Mapping[str, str] = field(default_factory=dict)
    bad: tuple[BadRecord, ...] = ()

    def also(self, sentences: Iterable[str]) -> ReadNotes:
        """Return these notes with more sentences; each is kept once."""
        return replace(self, assumed=tuple(dict.fromkeys((*self.assumed, *sentences))))

    @classmethod
    def join(cls, parts: Iterable[ReadNotes]) -> ReadNotes:
        """Join notes; each sentence is kept once."""
        parts = list(parts)
        units = {part.dipole_unit for part in parts}
        numeric = {key: what for part in parts for key, what in part.numeric_keys.items()}
        return cls(
            assumed=tuple(dict.fromkeys(line for part in parts for line in part.assumed)),
            dipole_unit=units.pop() if len(units) == 1 else None,
            numeric_keys=numeric,
            bad=tuple(dict.fromkeys(one for part in parts for one in part.bad)),
        )


NO_NOTES = ReadNotes()
