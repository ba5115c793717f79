"""Origin of descriptors, as one text that can be stored and compared.

The text is JSON: the elements, and for each SOAP scale its parameters, its weight and, where it is
compressed, a checksum of the learned channels. The place of
the computation (threads, device, cache) is not part of it, because the numbers are the same.
`soap_provenance` writes a text, `Features.made_by` carries it, and `require_same_provenance`
compares two of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ..exceptions import InputError
from .scales import ScaleKey

# Numbers, texts and lists of them, by the names that messages show.
Entries = Mapping[str, object]


def soap_provenance(
    species: Sequence[int], keys: Sequence[ScaleKey], weights: Sequence[float]
) -> str:
    """Describe the origin of SOAP descriptors.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers, sorted.
    keys : sequence of ScaleKey
        Parameters of each scale.
    weights : sequence of float
        Weight of each scale in the kernel.

    Returns
    -------
    str
        Equal for equal parameters.
    """
    pairs = zip(keys, weights, strict=True)
    entries: dict[str, object] = {"descriptor": "SOAP", "species": list(species)}
    for index, (key, weight) in enumerate(pairs):
        scale: dict[str, object] = {**key.parameters(), "weight": weight}
        # Descriptors of older versions have no such entry: theirs are not compressed.
        if key.channels is not None:
            scale["channels"] = key.channels.digest
        entries[f"scale{index}"] = scale
    return _text(entries)


def with_more(made_by: str | None, name: str, parameters: Mapping[str, float]) -> str | None:
    """Add appended columns to the origin of descriptors; an unknown origin stays unknown.

    Parameters
    ----------
    made_by : str or None
    name : str
        Name of the columns in messages.
    parameters : mapping of str to float
    """
    if made_by is None:
        return None
    return _text(dict(_entries(made_by)) | {name: dict(parameters)})


def same_provenance(one: str | None, other: str | None) -> bool:
    """Whether two descriptors may have the same origin; None is unknown, and may be the same."""
    return one is None or other is None or one == other


def require_same_provenance(name: str, expected: str | None, found: str | None, do: str) -> None:
    """Refuse descriptors that were made in another way.

    Parameters
    ----------
    name : str
        Argument that the message names.
    expected, found : str or None
        None is unknown, and accepted.
    do : str
        Advice at the end of the message.

    Raises
    ------
    InputError
        Shows each parameter that differs.
    """
    if same_provenance(expected, found):
        return
    assert expected is not None
    assert found is not None
    differences = "; ".join(_differences(_entries(expected), _entries(found)))
    raise InputError(f"{name}: the descriptors were made in another way: {differences}. {do}")


def _text(entries: Entries) -> str:
    return json.dumps(entries, sort_keys=True)


def _entries(made_by: str) -> Entries:
    """Read a text back; a text that `soap_provenance` did not write is one entry."""
    try:
        entries = json.loads(made_by)
    except ValueError:
        entries = None
    return entries if isinstance(entries, dict) else {"descriptor": made_by}


def _differences(expected: Entries, found: Entries) -> Iterator[str]:
    """Describe the differences, parameter by parameter."""
    for name in sorted({*expected, *found}):
        one, other = expected.get(name), found.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            for line in _differences(one, other):
                parameter, _, values = line.partition(": ")
                yield f"{parameter} of {name}: {values}"
        elif one != other:
            yield f"{name}: expected {_shown(one)}, got {_shown(other)}"


def _shown(value: object) -> str:
    return "none" if value is None else repr(value)
