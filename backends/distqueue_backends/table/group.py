"""A group: tasks that are carried out one after the other, in the order in which they were put."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from distqueue_backends.table.entry import Entry


class Group:
    """The live tasks of one group. Only the head may stand in line; it blocks those behind it."""

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self._members: deque[Entry] = deque()

    @property
    def head(self) -> Entry | None:
        """The first member that is live, ``None`` if there is none."""
        return next((member for member in self._members if member.is_live), None)

    def add(self, entry: Entry) -> None:
        """Let a task stand behind those that were put before it."""
        members = self._members
        if members and members[-1].number > entry.number:
            members.append(entry)
            self._members = deque(sorted(members, key=lambda member: member.number))
        else:
            members.append(entry)

    def lets_go(self, entry: Entry) -> bool:
        """Drop the members at the front that are not live; tell whether ``entry`` was the head."""
        members, was_head = self._members, False
        while members and not members[0].is_live:
            was_head |= members.popleft() is entry
        return was_head

    def __iter__(self) -> Iterator[Entry]:
        return (member for member in self._members if member.is_live)
