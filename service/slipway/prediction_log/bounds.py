"""The times and sizes that the writer, its database and its backlog keep to, in one place that a test can set."""

from dataclasses import dataclass

# In a worker's queue, and as many again on their way; past it they come faster than they can be written.
MOST_ROWS = 50_000
BATCH_ROWS = 1_000  # so many are enough to write


@dataclass(frozen=True)
class Bounds:
    """Times in seconds. `pauses`: until the next attempt after so many failures; a connection that broke is opened
    again at once.
    """

    flush: float = 0.5  # what is in memory alone is no older, or is on its way to the database that long
    adopt: float = 10.0  # between looks for files of workers that are gone
    stop: float = 2.0  # for the database to take what is left at the end
    prepare: float = 30.0  # to make the file of an embedded database
    open: float = 3.0
    write: float = 5.0  # SQLite waits four for another process's lock
    idle: float = 2.0  # after which nobody knows whether the database is still there
    pauses: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    retry: float = 1.0  # until a spool that took nothing is asked again
    close: float = 1.0  # for a database or a disk at the end
    most_written: int = 2_000  # rows in one transaction, where nobody waits for it
    crowded: int = MOST_ROWS // 2  # rows in the queue: the database is too slow for them, on to the spool
    # In memory, where the disk fails; past the spool's own bound only what cannot be refused is held.
    held_bytes: int = 4 * 1024 * 1024


BOUNDS = Bounds()
