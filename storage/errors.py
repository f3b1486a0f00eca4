"""Errors of storage, by what the reader can do about them."""

from __future__ import annotations


class StorageError(Exception):
    """Root of the family. The message is fit to be shown: what, where, what to do; it never holds a credential."""


class DatabaseUnavailable(StorageError):
    """The database does not answer; the same call may go through later."""


class DatabaseContended(DatabaseUnavailable):
    """Another transaction was in the way (a deadlock, a lock held too long); the whole transaction may be run again."""


class DatabaseDisconnected(DatabaseUnavailable):
    """The line broke while it was in use: by accident, or because of what was sent over it."""


class DatabaseBehind(StorageError):
    """The database has gone back in time: what it had of a journal, up to some frame, it has no more. `applied` and
    `started_seq` say where it stands.
    """

    def __init__(self, applied: int, started_seq: int, expected: int) -> None:
        super().__init__(
            f"the database has lost calls that were recorded: it stands at frame {applied}, not {expected}"
        )
        self.applied = applied
        self.started_seq = started_seq


class DatabaseMisconfigured(StorageError):
    """The database's URL cannot be used; the message says which part and what is accepted."""


class SchemaOutdated(StorageError):
    """The database's schema is not the one this version needs; the message names the command that mends it."""


class UpgradeFailed(StorageError):
    """The database refused a step of an upgrade; the message holds its words. Running it again goes on from there."""


class AdoptionRefused(StorageError):
    """An existing database cannot be adopted; the message lists every reason."""


class RecordsFull(StorageError):
    """No room is left to promise that a new call will be recorded."""


class JournalUnusable(StorageError):
    """The folder of the journal cannot be used; the message says which, why and what to do."""


class JournalFull(RecordsFull):
    """The journal has no room for a new call and its end."""


class JournalFailed(StorageError):
    """The disk of the journal does not take what is written, or give what is read."""


class JournalDamaged(StorageError):
    """A frame of the journal is whole, and says nothing that can be read."""


class RecordsLost(StorageError):
    """A call was carried out and nothing could be written of its end."""
