"""What a power cut could take away is seen in a trace of system calls."""

from __future__ import annotations

import pytest

from distqueue.conformance.disk import Disk

OPEN = '7 openat(AT_FDCWD</>, "/s/q.json", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 5</s/q.json>'
SYNC_DIRECTORY = ["7 fsync(6</s>) = 0"]
WRITE, SYNC = "7 pwrite64(5</s/q.json>, ..., 9, 0) = 9", "7 fdatasync(5</s/q.json>) = 0"
ANSWER = "7 write(1<pipe:[1]>, ..., 5) = 5"
RENAME = '7 rename("/s/q.json.tmp", "/s/q.json") = 0'
WRITE_NEW, SYNC_NEW = "7 write(8</s/q.json.tmp>, ..., 9) = 9", "7 fsync(8</s/q.json.tmp>) = 0"
BEGIN = [OPEN, *SYNC_DIRECTORY]

GOOD = {
    "a write and its sync": [*BEGIN, WRITE, SYNC, ANSWER],
    "a file that holds no tasks": ["7 write(5</s/q.lock>, ..., 9) = 9", ANSWER],
    "a file that was there": ['7 openat(AT_FDCWD</>, "/s/q.json", O_RDWR) = 5</s/q.json>', ANSWER],
    "a write that failed": [
        *BEGIN,
        "7 pwrite64(5</s/q.json>, ..., 9, 0) = -1 ENOSPC (No space left)",
        ANSWER,
    ],
    "a file that is replaced": [*BEGIN, WRITE, WRITE_NEW, SYNC_NEW, RENAME, *SYNC_DIRECTORY, ANSWER],
    "a sync that another thread waits for": [
        *BEGIN,
        WRITE,
        "7 fdatasync(5</s/q.json> <unfinished ...>",
        "8 write(2</dev/pts/0>, ..., 5) = 5",
        "7 <... fdatasync resumed>) = 0",
        ANSWER,
    ],
}
BAD = {
    "no sync": ([*BEGIN, WRITE, ANSWER], "answer 1 was given before a sync of q.json"),
    "a sync that comes too late": (
        [*BEGIN, WRITE, ANSWER, SYNC],
        "answer 1 was given before a sync of q.json",
    ),
    "a sync that failed": (
        [*BEGIN, WRITE, "7 fdatasync(5</s/q.json>) = -1 EIO (Input/output error)", ANSWER],
        "answer 1 was given before a sync of q.json",
    ),
    "a sync that has not ended": (
        [*BEGIN, WRITE, "7 fdatasync(5</s/q.json> <unfinished ...>", ANSWER.replace("7", "8", 1)],
        "answer 1 was given before a sync of q.json",
    ),
    "an answer that has begun": (
        [*BEGIN, WRITE, "7 write(1<pipe:[1]>, ..., 5 <unfinished ...>", SYNC.replace("7", "8", 1)],
        "answer 1 was given before a sync of q.json",
    ),
    "another file's sync": ([*BEGIN, WRITE, SYNC_NEW, ANSWER], "answer 1 was given before a sync of q.json"),
    "a new name": ([OPEN, WRITE, SYNC, ANSWER], "answer 1 was given before a sync of s"),
    "a name after a rename": (
        [*BEGIN, WRITE_NEW, SYNC_NEW, RENAME, ANSWER],
        "answer 1 was given before a sync of s",
    ),
    "content after a rename": (
        [*BEGIN, WRITE_NEW, RENAME, *SYNC_DIRECTORY, ANSWER],
        "q.json got its name before its content was synced",
    ),
    "a file that is cut": (
        [*BEGIN, "7 ftruncate(5</s/q.json>, 0) = 0", ANSWER],
        "answer 1 was given before a sync of q.json",
    ),
}


def holds_tasks(path: str) -> bool:
    return path.startswith("/s/q.json")


@pytest.mark.parametrize("trace", GOOD.values(), ids=GOOD)
def test_what_is_synced_in_time_is_good(trace: list[str]) -> None:
    disk = Disk(holds_tasks)
    disk.follow(trace)
    assert disk.broken == []
    assert disk.answers == 1


@pytest.mark.parametrize(("trace", "broken"), BAD.values(), ids=BAD)
def test_what_is_at_risk_when_it_is_answered_is_found(trace: list[str], broken: str) -> None:
    disk = Disk(holds_tasks)
    disk.follow(trace)
    assert broken in disk.broken
