"""Payloads: whatever is JSON comes back equal; what is not JSON is refused."""

from __future__ import annotations

import pytest

from distqueue.commands import Put
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject, value
from distqueue.errors import InvalidTask
from distqueue.results import Stored

PAYLOADS: list[object] = [
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    0.1,
    -0.0,
    1e-300,
    1.7976931348623157e308,
    "",
    " ",
    "text",
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    {"a": {"b": [1, 2.5, None, True, "c"]}},
    "quotes \" ' ` and \\ and / and </script>",
    "line\nbreaks\r\n\ttabs\x00\x01\x1f\x7f and the end\u2028\u2029",
    "äöü ß ελληνικά кириллица עברית العربية हिन्दी 中文 日本語 한국어",
    "emoji 👩‍👩‍👧 🇪🇺, combining e\u0301, wide 𝔘𝔫𝔦, BOM \ufeff, last \U0010ffff, noncharacter \uffff",
    {"ключ": 1, "键": 2, "🔑": 3, "\n": 4, " ": 5},
    ["]}", "\n]}\n", ',\n{"commit":1}'],
    {"task_id": "x", "queue": "y", "state": "done", "command": "purge", "$type": 1},
    "%s {0} ${x} '; DROP TABLE tasks; -- \\u0000",
    list(range(1000)),
]

BY_HAND: list[bytes] = [
    b" 1",
    b"[1,\n 2]\n",
    b'{"a":\r\n\t1}',
    b'"\\u00e4\\ud83d\\ude00\\n"',
    b'{"a":1,"a":2}',
    b"1E5",
    b"-0",
]

NO_JSON: list[bytes] = [
    b"",
    b" ",
    b"{",
    b'{"a":1}}',
    b"1 2",
    b"nul",
    b"NaN",
    b"Infinity",
    b"'a'",
    b"[1,]",
    b'"\x01"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b"\xef\xbb\xbf1",
    b"1]}",
]


class Payloads(Subject):
    """Payloads."""

    @pytest.mark.parametrize("data", PAYLOADS, ids=lambda data: repr(data)[:20])
    @clause(
        "PAYLOAD-1",
        "every JSON value comes back equal, with its types, when claimed and when found",
        look="payloads decoded and encoded again: store the bytes; text columns that change or cut NUL",
    )
    def test_a_value_comes_back_equal(self, data: object) -> None:
        self.put(data, task_id="it")
        for found in (value(bytes(self.record("it").data)), value(self.take().data)):
            assert found == data
            assert repr(found) == repr(data)

    @pytest.mark.parametrize("data", BY_HAND)
    @clause(
        "PAYLOAD-2",
        "JSON that other programs wrote comes back equal, whatever white space it holds",
        look="a line or frame that white space inside the payload can break: length, or escape",
    )
    def test_json_made_elsewhere_comes_back_equal(self, data: bytes) -> None:
        self.ok(Put(queue=self.queue, task_id="it", data=data), Stored)
        self.put("next", task_id="next")
        if not self.lacks("durability"):
            self.reopen()  # a line break in a payload may break what is read again
        assert value(self.take("it").data) == value(data)
        assert value(self.take("next").data) == "next"

    @pytest.mark.parametrize("data", NO_JSON)
    @clause(
        "PAYLOAD-3",
        "bytes that are not exactly one JSON value are refused, with nothing stored",
        look="an own apply that leaves out the check of payloads in the base class",
    )
    def test_what_is_not_json_is_refused(self, data: bytes) -> None:
        self.refuse(Put(queue=self.queue, task_id="it", data=data), InvalidTask)
        assert self.find("it") is None
        assert self.claim() == []

    @clause(
        "PAYLOAD-4",
        "many values in one batch come back each with its own task",
        look="payloads read in one query and leases in another: join by id, not by position",
    )
    def test_values_do_not_get_mixed_up(self) -> None:
        self.broker.apply([self.make(data, task_id=f"t{number}") for number, data in enumerate(PAYLOADS)])
        leases = self.claim(len(PAYLOADS))
        assert {lease.task_id: repr(value(lease.data)) for lease in leases} == {
            f"t{number}": repr(data) for number, data in enumerate(PAYLOADS)
        }

    @clause(
        "PAYLOAD-5",
        "each payload that is none, in one call with good ones, is refused alone",
        look="a batch that is written as one text or one statement, which one bad payload spoils",
    )
    def test_poison_in_a_batch_hurts_nobody(self) -> None:
        too_long = b'"' + b"x" * self.capabilities.max_payload + b'"'
        poison = [*NO_JSON, b"[" * 100_000, too_long, b'{"a":' * 5000 + b"1" + b"}" * 5000]
        puts = [
            Put(queue=self.queue, task_id=f"bad{number}", data=data) for number, data in enumerate(poison)
        ]
        good = [self.make(number, task_id=f"good{number:03}") for number in range(len(poison) + 1)]
        mixed = [put for pair in zip(good, puts) for put in pair] + good[-1:]
        outcomes = self.broker.apply(mixed)
        assert [isinstance(outcome, Stored) for outcome in outcomes] == [put in good for put in mixed]
        assert sorted(self.take_all().split()) == [put.task_id for put in good]
        assert [self.find(put.task_id) for put in puts] == [None] * len(puts)
