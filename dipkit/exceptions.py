"""Errors that callers may want to catch.

Every message names the argument or file, what was expected, what came, and what to do.
"""


class DipkitError(Exception):
    """Base class of all errors raised on purpose by dipkit."""


class InputError(DipkitError, ValueError):
    """An argument, a label or a geometry that cannot be used as it is."""


class FileFormatError(InputError):
    """A file that is empty, cut, damaged or of an unknown format."""


class MissingDependencyError(DipkitError, ImportError):
    """An optional package that the requested step needs is not installed."""


class DeviceError(DipkitError, RuntimeError):
    """The requested device is absent or cannot be used."""


class DownloadError(DipkitError, OSError):
    """A file could not be fetched, or came damaged."""


class WorkerError(DipkitError, RuntimeError):
    """Workers of a cluster, or another process, died or gave no result that the work needs."""
