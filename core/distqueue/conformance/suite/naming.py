"""Names: what is allowed works whatever it looks like, and what is not is refused by every verb."""

from __future__ import annotations

import pytest

from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Extend,
    Find,
    Pause,
    Purge,
    Put,
    Redrive,
    Reject,
    Release,
    Remembered,
    Resume,
    Retry,
    Stats,
)
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject, expect, ids
from distqueue.errors import InvalidTask
from distqueue.results import Counted, Stored

GOOD_QUEUES = [
    "a",
    "0",
    "default",
    "a.b",
    "a-b_c",
    "a.",
    "x" * 64,
    "con",
    "nul",
    "null",
    "true",
    "1e5",
    "select",
]

BAD_QUEUES = [
    "",
    " ",
    "a b",
    "A",
    "Work",
    "ä",
    ".hidden",
    "-rf",
    "_x",
    "a..b",
    "..",
    "../a",
    "a/b",
    "a\\b",
    "a:b",
    "a*",
    "*",
    ">",
    "a>",
    "a\n",
    "\na",
    "a\x00b",
    "a'b",
    'a"b',
    "a;b",
    "{a}",
    "a%2e",
    "x" * 65,
    "x" * 100_000,
    "ａ",
    "٣",
]

GOOD_IDS = [
    "0",
    "-1",
    "null",
    "../../etc/passwd",
    "/",
    ".",
    "..",
    "-rf",
    "*",
    ">",
    "a.b.c",
    "a:b",
    "a,b",
    "a;b",
    "a'b",
    "';drop(table)--",
    "{a}[b](c)",
    "%00",
    "%s",
    "$(reboot)",
    "`id`",
    "&amp;<b>",
    "#",
    "~",
    "\\".replace("\\", "|"),
    "A",
    "a",
    "a@b.example?c=d&e=f#g",
]

BAD_IDS = ["", " ", "a b", "a\n", "\n", "a\tb", "\x00", "a\x7f", 'a"b', "a\\b", "ä", "😀", "\ud800", "ａ"]


class Naming(Subject):
    """Names."""

    @pytest.mark.parametrize("queue", GOOD_QUEUES)
    @clause(
        "NAME-1",
        "every allowed name of a queue works and is a queue of its own",
        look="queue names used raw as names of files, tables, keys or subjects: reserved words, dots, length",
    )
    def test_an_allowed_queue_name_works(self, queue: str) -> None:
        self.put(task_id="it", queue=queue)
        self.put(task_id="other", queue="another")
        assert self.stats(queue).ready == 1
        (lease,) = self.claim(9, queue=queue)
        assert lease.task_id == "it"
        self.broker.apply([Ack(queue=queue, receipt=lease.receipt)])
        assert self.find("it", queue) is None

    @pytest.mark.parametrize("queue", BAD_QUEUES, ids=lambda name: repr(name)[:20])
    @clause(
        "NAME-2",
        "a queue name that is not allowed is refused by every verb, with nothing stored",
        look="a queue made before its name is checked, in an own apply",
    )
    def test_a_bad_queue_name_is_refused(self, queue: str) -> None:
        verbs: list[Command] = [
            Put(queue=queue, task_id="it", data=b"1"),
            Claim(queue=queue, token="t"),  # noqa: S106 - no password
            Cancel(queue=queue, task_id="it"),
            Redrive(queue=queue),
            Purge(queue=queue),
            Find(queue=queue, task_id="it"),
            Retry(queue=queue, receipt="1.t.it", delay=0.0),
            *(kind(queue=queue, receipt="1.t.it") for kind in (Ack, Release, Reject, Extend)),
        ]
        if not self.lacks("pause"):
            verbs += [Pause(queue=queue), Resume(queue=queue)]
        if not self.lacks("browse"):
            verbs += [Browse(queue=queue), Remembered(queue=queue)]
        if queue != "*":  # statistics of every queue
            verbs.append(Stats(queue=queue))
        for outcome in self.broker.apply(verbs):
            expect(outcome, InvalidTask)
        assert self.ok(Stats(queue="*"), Counted).queues == []

    @clause(
        "NAME-3",
        "queue names are compared exactly",
        look="names mapped to the engine's by replacing characters: two must never become one",
    )
    def test_similar_queue_names_are_apart(self) -> None:
        names = ["a", "a.", "a-", "a_", "a.b", "a-b", "a_b", "aa"]
        for name in names:
            self.put(task_id=f"in-{name}", queue=name)
        assert [ids(self.claim(9, queue=name)) for name in names] == [f"in-{name}" for name in names]

    @clause(
        "NAME-4",
        "every allowed task id works and is a task of its own",
        look="ids in a path, pattern, subject or statement: bind them as parameters, compare them as bytes",
    )
    def test_allowed_ids_work(self) -> None:
        for outcome in self.broker.apply([self.make(name, task_id=name) for name in GOOD_IDS]):
            assert not expect(outcome, Stored).duplicate
        for name in GOOD_IDS:
            lease = self.take(name)
            assert self.record(name).task_id == name
            self.ack(lease)
            assert self.find(name) is None

    @pytest.mark.parametrize("name", BAD_IDS, ids=ascii)
    @clause(
        "NAME-5",
        "a task id that is not allowed is refused, with nothing stored",
        look="an own apply that leaves out check_put, or an id that the engine trims",
    )
    def test_a_bad_id_is_refused(self, name: str) -> None:
        self.refuse(self.make(task_id=name), InvalidTask)
        assert self.stats().ready == 0

    @clause(
        "NAME-6",
        "headers hold any text but halves of characters",
        look="headers written into lines or the engine's own headers without being encoded",
    )
    def test_hostile_headers(self) -> None:
        headers = {"a\nb": "\r\n\x00", '"': "\\", "{": "}", "ключ": "值😀", "x" * 1000: ""}
        self.put(task_id="it", headers=headers)
        assert self.record("it").headers == headers
        assert self.take("it").headers == headers
        self.refuse(self.make(headers={"a": "\ud800"}), InvalidTask)
        self.refuse(self.make(headers={"\udfff": "a"}), InvalidTask)

    @clause(
        "NAME-7",
        "groups and unique keys hold any printable text, compared exactly",
        needs="groups unique",
        look="a collation that folds case or accents, or a pattern match on keys: compare bytes",
    )
    def test_hostile_keys(self) -> None:
        names = ["a", "A", "a b", "../a", "*", "a.*", ">", "ä", "a\u0308", "'", '"', "\\", "{}", "😀", "%00"]
        puts = [self.make(task_id=f"t{n}", group=name, unique=name) for n, name in enumerate(names)]
        for outcome in self.broker.apply(puts):
            expect(outcome, Stored)
        assert [lease.group for lease in self.claim(99)] == names
