"""What a reader assumed where a file did not say it, for `dipkit info` and for messages.

Notes travel with the molecules: indexing keeps them, joining joins them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .bad_records import BadRecord

__all__ = ["NO_NOTES", "ReadNotes"]


@dataclass(frozen=True)
class ReadNotes:
    """Notes of a reader.

    Parameters
    ----------
    assumed : tuple of str, default=()
        Sentences about units, charges and records left out, each with its reason.
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
    bad: tuple[BadRecord, ...] = ()

    @classmethod
    def join(cls, parts: Iterable[ReadNotes]) -> ReadNotes:
        """Join notes; each sentence is kept once."""
        parts = list(parts)
        return cls(
            tuple(dict.fromkeys(line for part in parts for line in part.assumed)),
            tuple(dict.fromkeys(one for part in parts for one in part.bad)),
        )


NO_NOTES = ReadNotes()
