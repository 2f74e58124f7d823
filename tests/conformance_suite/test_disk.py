"""What a power cut could take away is seen in a trace of system calls."""

from __future__ import annotations

import pytest

from distqueue.conformance.disk import Disk
from distqueue.conformance.syscalls import Call

OPEN = '7 openat(AT_FDCWD</>, "/s/q.json", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 5</s/q.json>'
SYNC_DIRECTORY = ["7 fsync(6</s>) = 0"]
WRITE, SYNC = "7 pwrite64(5</s/q.json>, ..., 9, 0) = 9", "7 fdatasync(5</s/q.json>) = 0"
ANSWER = "7 write(1<pipe:[1]>, ..., 5) = 5"
ANSWER_BEGINS, ANSWER_ENDS = "7 write(1<pipe:[1]>, ..., 5 <unfinished ...>", "7 <... write resumed>) = 5"
SYNC_BEGINS, SYNC_ENDS = "8 fdatasync(5</s/q.json> <unfinished ...>", "8 <... fdatasync resumed>) = 0"
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
    "a sync of everything": [*BEGIN, WRITE, "7 sync() = 0", ANSWER],
    "a file that is written through": [
        OPEN.replace("O_RDWR", "O_RDWR|O_DSYNC"),
        *SYNC_DIRECTORY,
        WRITE,
        ANSWER,
    ],
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
    "no sync": ([*BEGIN, WRITE, ANSWER], "answer 1 came before the sync of what was written to /s/q.json"),
    "a sync that comes too late": (
        [*BEGIN, WRITE, ANSWER, SYNC],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "a sync that failed": (
        [*BEGIN, WRITE, "7 fdatasync(5</s/q.json>) = -1 EIO (Input/output error)", ANSWER],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "a sync that has not ended": (
        [*BEGIN, WRITE, "7 fdatasync(5</s/q.json> <unfinished ...>", ANSWER.replace("7", "8", 1)],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "an answer that has begun": (
        [*BEGIN, WRITE, ANSWER_BEGINS, SYNC.replace("7", "8", 1)],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "an answer that ended after the sync": (
        [*BEGIN, WRITE, ANSWER_BEGINS, SYNC.replace("7", "8", 1), ANSWER_ENDS],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "a write while a sync runs": (
        [*BEGIN, SYNC_BEGINS, WRITE, SYNC_ENDS, ANSWER],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "another file's sync": (
        [*BEGIN, WRITE, SYNC_NEW, ANSWER],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
    "a new name": (
        [OPEN, WRITE, SYNC, ANSWER],
        "answer 1 came before the sync of /s, in which q.json is new",
    ),
    "a name after a rename": (
        [*BEGIN, WRITE_NEW, SYNC_NEW, RENAME, ANSWER],
        "answer 1 came before the sync of /s, in which q.json is new",
    ),
    "content after a rename": (
        [*BEGIN, WRITE_NEW, RENAME, *SYNC_DIRECTORY, ANSWER],
        "/s/q.json was replaced by /s/q.json.tmp before the sync of what was written to that",
    ),
    "a file that is cut": (
        [*BEGIN, "7 ftruncate(5</s/q.json>, 0) = 0", ANSWER],
        "answer 1 came before the sync of what was written to /s/q.json",
    ),
}


def holds_tasks(path: str) -> bool:
    return path.startswith("/s/q.json")


def is_answer(call: Call) -> bool:
    return call.name == "write" and call.fd == 1


def new_disk(*there: str) -> Disk:
    return Disk(holds_tasks, {"/", "/s", *there})


@pytest.mark.parametrize("trace", GOOD.values(), ids=GOOD)
def test_what_is_synced_in_time_is_good(trace: list[str]) -> None:
    disk = new_disk()
    assert disk.follow(trace, is_answer) == []
    assert disk.answers == 1


@pytest.mark.parametrize(("trace", "broken"), BAD.values(), ids=BAD)
def test_what_is_at_risk_when_it_is_answered_is_found(trace: list[str], broken: str) -> None:
    assert broken in new_disk().follow(trace, is_answer)


def test_the_name_of_a_new_directory_has_to_be_synced_too() -> None:
    made = ['7 mkdir("/s", 0700) = 0', OPEN, *SYNC_DIRECTORY]
    above = "answer 1 came before the sync of /, in which s is new"
    assert Disk(holds_tasks, {"/"}).follow([*made, ANSWER], is_answer) == [above]
    assert Disk(holds_tasks, {"/"}).follow([*made, "7 fsync(4</>) = 0", ANSWER], is_answer) == []


def test_a_directory_without_tasks_is_nobodys_loss() -> None:
    assert new_disk().follow(['7 mkdir("/s/q.broker", 0700) = 0', ANSWER], is_answer) == []


def test_a_file_that_was_there_before_is_not_new() -> None:
    assert new_disk("/s/q.json").follow([OPEN, ANSWER], is_answer) == []


def test_what_one_process_leaves_is_at_risk_in_the_next() -> None:
    disk = new_disk("/s/q.json")
    killed = [WRITE, "7 fdatasync(5</s/q.json> <unfinished ...>", "7 +++ killed by SIGKILL +++"]
    assert disk.follow(killed, is_answer) == []
    assert disk.follow([ANSWER.replace("7", "8", 1)], is_answer) != []
    assert disk.follow([SYNC.replace("7", "8", 1), ANSWER.replace("7", "8", 1)], is_answer) == []
