"""An answer that comes before its sync is found, in traces made by hand and in backends that are broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue.commands import Reject
from distqueue.conformance import BackendConformance
from distqueue.conformance.disk import Disk
from distqueue.conformance.harness import harness_for
from distqueue.conformance.suite.subject import NotRun
from distqueue.conformance.syscalls import Call, cannot_trace

WRITE = '7 pwrite64(3</d/q.db>, "x"..., 1, 0) = 1'
BEGUN, ENDED = "8 fdatasync(3</d/q.db> <unfinished ...>", "8 <... fdatasync resumed>) = 0"
SYNC = "7 fdatasync(3</d/q.db>) = 0"
ANSWER = '7 write(1<pipe:[5]>, "ok", 2) = 2'
MADE = '7 openat(AT_FDCWD</d>, "q.db", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3</d/q.db>'
MADE_FOLDER = '7 mkdir("/d", 0700) = 0'
SYNC_FOLDER = "7 fsync(4</d>) = 0"
SYNC_ABOVE = "7 fsync(4</>) = 0"
NEW = '7 pwrite64(5</d/q.db.tmp>, "x"..., 1, 0) = 1'
SYNC_NEW = "7 fsync(5</d/q.db.tmp>) = 0"
RENAMED = '7 rename("/d/q.db.tmp", "/d/q.db") = 0'


def judged(*lines: str, there: tuple[str, ...] = ("/", "/d", "/d/q.db")) -> list[str]:
    """What is wrong in a trace."""
    disk = Disk(lambda path: path.startswith("/d/q.db"), set(there))
    return disk.follow(lines, lambda call: call.fd == 1)


@pytest.mark.parametrize(
    "trace",
    [
        [WRITE, ANSWER],
        [WRITE, SYNC, WRITE, ANSWER],
        [WRITE, "7 fdatasync(3</d/other.db>) = 0", ANSWER],
        [WRITE, "7 fdatasync(3</d/q.db>) = -1 EIO (Input/output error)", ANSWER],
        ["7 ftruncate(3</d/q.db>, 0) = 0", ANSWER],
        [RENAMED, ANSWER],
        [NEW, RENAMED, SYNC_FOLDER, ANSWER],
        [BEGUN, WRITE.replace("7", "9", 1), ENDED, ANSWER],
        [WRITE, BEGUN, ANSWER, ENDED],
    ],
)
def test_an_answer_before_a_sync_is_found(trace: list[str]) -> None:
    assert judged(*trace)


@pytest.mark.parametrize(
    "trace",
    [
        [ANSWER],
        [WRITE, SYNC, ANSWER],
        [WRITE, "7 sync() = 0", ANSWER],
        [NEW, SYNC_NEW, RENAMED, SYNC_FOLDER, ANSWER],
        [WRITE, NEW, SYNC_NEW, RENAMED, SYNC_FOLDER, ANSWER],
        ['7 write(6</d/bell>, "x", 1) = 1', ANSWER],
        ["7 fdatasync(3</d/q.db>) = 0", "7 pwrite64(3</d/q.db>, , 0) = -1 ENOSPC (No space left)", ANSWER],
        [MADE.replace("O_RDWR", "O_RDWR|O_DSYNC"), WRITE, ANSWER],
    ],
)
def test_an_answer_after_a_sync_is_none(trace: list[str]) -> None:
    assert judged(*trace) == []


def test_the_name_of_a_new_file_has_to_be_synced() -> None:
    assert judged(MADE, ANSWER, there=("/", "/d"))
    assert judged(MADE, SYNC_FOLDER, ANSWER, there=("/", "/d")) == []
    assert judged(MADE_FOLDER, MADE, SYNC_FOLDER, ANSWER, there=("/",))
    assert judged(MADE_FOLDER, MADE, SYNC_FOLDER, SYNC_ABOVE, ANSWER, there=("/",)) == []


def test_what_one_process_leaves_is_at_risk_in_the_next() -> None:
    disk = Disk(lambda path: path.startswith("/d/q.db"), {"/", "/d", "/d/q.db"})
    killed = [WRITE, "7 fdatasync(3</d/q.db> <unfinished ...>", "7 +++ killed by SIGKILL +++"]

    def is_answer(call: Call) -> bool:
        return call.fd == 1

    assert disk.follow(killed, is_answer) == []
    assert disk.follow([ANSWER.replace("7", "8", 1)], is_answer)


# --- Backends that answer too early --------------------------------------------------------------------


def broken(url: str, how: str) -> BackendConformance:
    """The suite for a backend whose processes are prepared to be wrong."""
    good = harness_for(url)

    class Broken(good):  # type: ignore[misc, valid-type]
        prepare = f"{__package__}.unsynced:{how}"

    class Subject(BackendConformance):
        harness = Broken

    Subject.url = url
    return Subject()


def puts(test: BackendConformance) -> None:
    test.test_a_put_is_synced()


def settles(test: BackendConformance) -> None:
    test.test_settling_is_synced(Reject)


def administers(test: BackendConformance) -> None:
    test.test_administration_is_synced()


def tidies(test: BackendConformance) -> None:
    test.test_tidying_up_is_synced()


def survives(test: BackendConformance) -> None:
    test.test_what_a_killed_process_left_is_synced()


JSON = "json:///{tmp}/Queue.json"
SHARDED = "sharded-json:///{tmp}/queue.d"
SQLITE = "sqlite:///{tmp}/queue.db"


@pytest.mark.skipif(cannot_trace() is not None, reason="nothing can be traced here")
@pytest.mark.parametrize(
    ("url", "how", "check"),
    [
        (JSON, "no_sync_of_data", puts),
        (SQLITE, "no_sync_of_data", settles),
        (SHARDED, "no_sync_of_data", administers),
        (JSON, "no_sync_of_names", puts),
        (SHARDED, "no_sync_of_names", puts),
        (JSON, "no_sync_of_replacements", tidies),
        (JSON, "no_sync_of_names", survives),
    ],
)
def test_a_backend_that_answers_too_early_is_found_out(
    url: str, how: str, check: Callable[[BackendConformance], None], tmp_path: Path
) -> None:
    test = broken(url, how)
    with test.opened_in(tmp_path), pytest.raises(AssertionError, match="before the sync"):
        check(test)


def test_a_backend_that_declares_no_sync_is_not_judged(tmp_path: Path) -> None:
    class Memory(BackendConformance):
        url = "memory://{name}"

    test = Memory()
    with test.opened_in(tmp_path), pytest.raises(NotRun, match="memory is declared"):
        test.new_disk()
