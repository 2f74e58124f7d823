"""The single JSON backend: a commit is appended under the lock, and synced after it is given up.

A call goes: lock, read what others appended, decide in memory, append one line, unlock, ring the bell,
sync, answer. The sync covers everything in the file, so whatever an answer rests on is on the disk.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Sequence
from typing import Final, Self

from distqueue.backend import Fsck
from distqueue.capabilities import Capabilities
from distqueue.commands import READS, Command
from distqueue.errors import (
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreMissing,
)
from distqueue.forking import close_after_fork
from distqueue.results import Outcome
from distqueue.urls import StoreURL
from distqueue_backends.bell import Bell
from distqueue_backends.file_backend import FileBackend
from distqueue_backends.filesystem import (
    open_regular,
    refuse_network,
    remove_leftovers,
    sync_directory,
)
from distqueue_backends.json import compaction, fsck
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.json.format import FORMAT, Damaged, Unfit
from distqueue_backends.json.log_file import RESERVE, LogFile, NoRoom
from distqueue_backends.json.options import JSON_CAPABILITIES, JsonOptions
from distqueue_backends.json.recovery import read_header, settle_tail
from distqueue_backends.json.replay import Replay, collector_paused
from distqueue_backends.json.size import carries_payload, most_bytes
from distqueue_backends.lock import StoreLock
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.queue_table import QueueTable

_CHECK_EVERY: Final = 128 * 1024
_FEW: Final = 16

_log: Final = logging.getLogger("distqueue")


class JsonBackend(FileBackend[QueueTable]):
    """One ``Queue.json``, shared with any number of other processes."""

    @classmethod
    def open(cls, url: StoreURL, options: JsonOptions, *, create: bool) -> Self:
        """Open the store at the URL's path.

        Raises:
            StoreMissing: there is none and ``create`` is false, or its directory is missing.
            StoreBusy, StoreDamaged, UnsupportedFormat, StoreError: it cannot be opened.
        """
        return cls(url.file_path(), options, create=create)

    @classmethod
    def fsck(cls, url: StoreURL, options: JsonOptions, *, repair: bool) -> Fsck:
        path = os.path.abspath(url.file_path())
        if not os.path.lexists(path):
            raise StoreMissing(f"no store at {path}")
        lock = StoreLock(f"{path}.lock", options.lock_timeout)
        try:
            with lock:
                return fsck.repair(path) if repair else fsck.check(path)
        finally:
            lock.close()

    def __init__(
        self,
        path: str,
        options: JsonOptions | None = None,
        *,
        create: bool = True,
        capabilities: Capabilities = JSON_CAPABILITIES,
        bell: Bell | None = None,
    ) -> None:
        options = options or JsonOptions()
        super().__init__(path, options, capabilities)
        self._check_directory(create)
        self._lock = StoreLock(f"{self.path}.lock", options.lock_timeout)
        self._file: LogFile
        self._synced = self._next_check = 0
        self._is_certain = False
        self._is_ahead = False
        close_after_fork(self)
        try:
            self._lock.check_served()
            self._directory.open()
            self._read_ahead()
            with self._lock:
                self._load(create=create)
            self._bell = bell or Bell(f"{self.path}.bell")
        except BaseException as error:
            self.leave_to_parent()
            if isinstance(error, OSError):
                raise StoreError(f"{self.path} cannot be opened: {error}") from error
            raise

    # --- A call -----------------------------------------------------------------------------------

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = self.write(commands)
        self.sync()
        return outcomes

    def write(self, commands: Sequence[Command]) -> list[Outcome]:
        """Do all of :meth:`apply` but the sync: nobody may be answered before that is done."""
        self.check_usable(commands)
        try:
            self._enter()
            outcomes = self._commit(commands)
        except OSError as error:
            raise StoreFailed(f"{self.path} cannot be used: {error}; nothing was stored") from error
        finally:
            self._lock.release()
        if self.has_work():
            self._bell.ring()
        return outcomes

    def _enter(self) -> None:
        """Take the lock, with everything known that others did. Whatever happens, the caller gives it up."""
        while True:
            if not self._is_certain:
                self._read_ahead()
            self._lock.acquire()
            if self._lock.is_marked() or not self._is_certain:
                self._load(create=False)
            is_replaced = self._is_replaced()
            self._catch_up()
            if not is_replaced:
                return
            self._lock.release()
            self._follow()  # without the lock: what was put in place is complete, and others go on

    def _commit(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands and append what they changed; all or nothing of it is in the file."""
        self.set_time()
        if self._file.header.format < FORMAT and not _only_reads(commands) and not self._compact():
            return [_full(self.path) for _ in commands]  # nothing is added that an older release misreads
        log = self._file
        if not log.make_room(most_bytes(commands, self.tables) + RESERVE):
            return self._commit_without_room(commands)
        return self._append(commands)

    def _append(self, commands: Sequence[Command]) -> list[Outcome]:
        log = self._file
        self.journal = builder = CommitBuilder()
        self._is_certain = False  # whatever interrupts what follows, the file has the last word
        try:
            outcomes = self.carry_out(commands)
            if builder:
                log.append(builder, self.now)
        except NoRoom:
            return [_full(self.path) for _ in commands]
        self._is_certain = True
        if log.end >= self._next_check:
            self._compact_if_worth_it()
        return outcomes

    def _commit_without_room(self, commands: Sequence[Command]) -> list[Outcome]:
        """The disk is full: refuse what brings new payloads, let the rest use the reserve.

        What only reads needs no room: what has run out meanwhile is noted by a later commit.
        """
        if _only_reads(commands):
            self.journal = CommitBuilder()
            answers = self.carry_out(commands)
            self._is_certain = not self.journal
            return answers
        rest = [command for command in commands if not carries_payload(command)]
        if not rest or not self._file.make_room(most_bytes(rest, self.tables)):
            return [_full(self.path) for _ in commands]
        outcomes = iter(self._append(rest))
        return [_full(self.path) if carries_payload(command) else next(outcomes) for command in commands]

    def sync(self) -> None:
        """Let all that is known be on the disk. A failure is final: what is there is not known."""
        log = self._file
        if log.end <= self._synced:
            return
        try:
            log.sync()
        except OSError as error:
            raise self.failed(error) from error
        self._synced = log.end

    # --- Knowing what others did ------------------------------------------------------------------

    def _is_replaced(self) -> bool:
        """Whether a compaction put another file in place; else note how large ours is now."""
        if not self._directory.may_have_changed():
            self._file.measure()
            return False
        self._lock.ensure_in_place()
        if self._file.is_in_place(self.path):
            self._file.measure()
            self._directory.trust()
            return False
        if not os.path.lexists(self.path):
            raise StoreMissing(f"{self.path} was removed while it was open; nothing was stored")
        return True

    def _catch_up(self) -> None:
        """Take the steps that others appended since."""
        log = self._file
        if log.has_news():
            self._is_certain = False  # a commit of which only half the steps were taken must be read again
            if (fault := self._replay(log)) is not None:
                settle_tail(self.path, log, fault)
            self._is_certain = True
            log.measure()

    def _follow(self) -> None:
        """Go over to the file that a compaction put in place of ours."""
        old, new = self._file, self._open_log()
        is_next = (new.header.store, new.header.epoch, new.header.from_seq) == (
            old.header.store,
            old.header.epoch + 1,
            old.seq,
        )
        try:
            self._is_certain = is_next and compaction.relocate(new, self.tables)
        except Damaged:
            self._is_certain = False
        self._file = new
        self._synced = self._next_check = 0
        old.close()
        self._sync_directory()

    def _sync_directory(self) -> None:
        """Let the file that is open stay at the path: who put it there may have been killed too early."""
        try:
            sync_directory(self.path)
        except OSError as error:
            self.failed(error)
            raise StoreFailed(
                f"the directory of {self.path} could not be synced ({error}); nothing was stored. "
                "Close the store and open it again, which recovers it"
            ) from error

    def _load(self, *, create: bool) -> None:
        """Read the store, or what was not read ahead of it. The lock is held."""
        self._is_certain = False
        if create and not os.path.lexists(self.path):
            compaction.write_first(self.path, str(uuid.uuid4()))
        remove_leftovers(self.path)
        has_failed = self._lock.is_marked()
        if has_failed or not self._is_ahead or not self._file.is_in_place(self.path):
            self._begin()
        self._is_ahead = False
        log = self._file
        self._sync_directory()
        with collector_paused():
            settle_tail(self.path, log, self._replay(log), trust_prefix=has_failed)
        if has_failed:
            self._file = compaction.compact(self.path, log, self.tables, self.clock.wall())
            log.close()
            self._lock.clear_mark()
        self._is_certain = True

    def _read_ahead(self) -> None:
        """Read what is there without the lock, so that others go on; what they append follows under it.

        A commit that is being written, and whatever else is wrong, is looked at under the lock.
        """
        try:
            self._begin()
        except StoreError:
            return
        with collector_paused():
            self._replay(self._file)
        self._is_ahead = True

    def _begin(self) -> None:
        """Open the file, with nothing of it known."""
        log = self._open_log()
        self._close_log()
        self._file = log
        self.tables = {}
        self._synced = self._next_check = 0
        self._is_ahead = False

    def _open_log(self) -> LogFile:
        fd = open_regular(self.path)
        try:
            return LogFile(fd, *read_header(self.path, fd))
        except BaseException:
            os.close(fd)
            raise

    def _replay(self, log: LogFile) -> Damaged | None:
        """Take the steps of all commits not known yet; return what is wrong with the one that follows."""
        replay = Replay(self.tables, self.new_table)
        try:
            for commit, line, offset in log.read_on():
                replay.commit(commit, line, offset)
        except Unfit as error:
            raise StoreDamaged(
                f"{self.path}: {error}; `distqueue fsck --repair` goes on without it"
            ) from None
        except Damaged as damage:
            return damage
        return None

    # --- Compaction -------------------------------------------------------------------------------

    def _check_after(self) -> int:
        """Return after how many bytes to look again: at each commit, unless there are many queues."""
        return 0 if len(self.tables) <= _FEW else _CHECK_EVERY

    def _compact_if_worth_it(self) -> None:
        log = self._file
        self._next_check = log.end + self._check_after()
        if compaction.is_worth_it(log, self.tables) and not self._compact():
            self._next_check = log.end + max(_CHECK_EVERY, log.end // 4)

    def _compact(self) -> bool:
        """Put a new file in place, and tell whether there is one."""
        log = self._file
        try:
            self._file = compaction.compact(self.path, log, self.tables, self.now)
        except OSError as error:
            _log.warning("%s could not be compacted, and stays as it is: %s", self.path, error)
            return False
        except StoreFailed as failure:
            raise self.failed(failure) from failure
        self._synced = self._file.end
        self._next_check = self._file.end + self._check_after()
        log.close()
        return True

    # --- The table's view of the store ------------------------------------------------------------

    def new_table(self, queue: str) -> QueueTable:
        return QueueTable(queue, self.dedup_window, self.dedup_max)

    def payloads(self, table: QueueTable, entries: Sequence[Entry]) -> list[bytes]:
        return self._file.payloads(entries)

    def facts(self) -> dict[str, int | float | str | bool]:
        log = self._file
        return {
            "path": self.path,
            "file_bytes": log.size,
            "used_bytes": log.end,
            "live_bytes": compaction.live_bytes(self.tables),
            "epoch": log.header.epoch,
            "commits": log.seq,
        }

    # --- The end ----------------------------------------------------------------------------------

    def shut(self) -> None:
        self._bell.close()
        self._lock.let_go()
        self.leave_to_parent()

    def leave_to_parent(self) -> None:
        """Close what a fork copied: the lock of the parent must not live on in the child."""
        self._close_log()
        self._lock.close()
        self._directory.close()

    def _close_log(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _check_directory(self, create: bool) -> None:
        if not os.path.isdir(os.path.dirname(self.path)):
            raise StoreMissing(f"there is no directory {os.path.dirname(self.path)}; create it first")
        if not create and not os.path.lexists(self.path):
            raise StoreMissing(f"no store at {self.path}")
        refuse_network(self.path)


def _only_reads(commands: Sequence[Command]) -> bool:
    return all(isinstance(command, READS) for command in commands)


def _full(path: str) -> StoreFull:
    return StoreFull(
        f"the disk of {path} is full; nothing was stored. Free some space, then try again; "
        "tasks that are there can still be settled"
    )
