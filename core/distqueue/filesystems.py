"""Which file system a directory is on: what its locks and its syncs are worth depends on it."""

from __future__ import annotations


def file_system_of(directory: str) -> str:
    """Return the type of the file system that a directory is on (Linux), else an empty string.

    ``directory`` is a real path, without symbolic links.

    >>> file_system_of("/dev/shm")                                       # doctest: +SKIP
    'tmpfs'
    """
    best, kind = "", ""
    try:
        with open("/proc/self/mountinfo") as mounts:
            for line in mounts:
                before, _, after = line.partition(" - ")
                point = before.split()[4]
                inside = directory == point or directory.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, after.split()[0]
    except OSError:
        pass
    return kind
