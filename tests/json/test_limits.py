"""Names, payloads and batches at their limits, and what is over them: refused alone, neighbours stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec
import pytest

from distqueue.commands import Claim, Command, Find, Load, LoadTask, Pause, Put, Stats
from distqueue.errors import InvalidTask, Refused, TooLarge
from distqueue.limits import MAX_BATCH, MAX_PAYLOAD
from distqueue.results import Counted, Found, Stored
from distqueue.task import TaskRecord, TaskState
from distqueue_backends.json.backend import JsonBackend

from .support import QUEUE, ack, claim, claimed, expect, fsck, ids, opened, put, ready_ids, state_of, stored

HOSTILE: Final = (
    "",
    ".",
    "..",
    "a..b",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "A",
    "a b",
    " a",
    "a\n",
    "\na",
    "a\x00",
    "a" * 65,
    "a" * 300,
    "-a",
    "_a",
    ".a",
    "*",
    "a*",
    ">",
    "a.>",
    "a'b",
    'a"b',
    "a`b",
    "a;b",
    "$(a)",
    "%61",
    "ä",
    "é",
    "\u202ea",
    "a\ufeff",
    "ａ",
    "٣",
    "a\ud800",
    "NUL:",
    "a\tb",
    "a,b",
    '"}]}',
)


def raw(task_id: str, data: bytes, **options: object) -> Put:
    return Put.make(QUEUE, task_id, data, **options)  # type: ignore[arg-type]


def text_of(size: int) -> bytes:
    """Return a JSON string that has ``size`` bytes in all."""
    return b'"' + b"x" * (size - 2) + b'"'


def between_neighbours(backend: JsonBackend, bad: Command, error: type[Refused]) -> Refused:
    """Apply a bad command between good ones, which have to be carried out; return its refusal."""
    first, refusal, last = backend.apply([put("before"), bad, put("after")])
    expect(first, Stored)
    expect(last, Stored)
    assert isinstance(refusal, error), refusal
    assert ready_ids(backend) == ["before", "after"]
    return refusal


@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD])
def test_a_payload_up_to_the_limit_is_stored_and_comes_back(shm: Path, size: int) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        expect(backend.apply([raw("a", text_of(size))])[0], Stored)
    with opened(path) as backend:
        (lease,) = claimed(backend)
        assert lease.data == text_of(size)


def test_a_payload_over_the_limit_is_refused_alone(shm: Path) -> None:
    with opened(shm / "Queue.json") as backend:
        refusal = between_neighbours(backend, raw("big", text_of(MAX_PAYLOAD + 1)), TooLarge)
        assert str(MAX_PAYLOAD) in str(refusal)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_64_levels_are_stored_and_65_refused(shm: Path, opening: bytes, closing: bytes) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        between_neighbours(backend, raw("deep", opening * 65 + b"1" + closing * 65), InvalidTask)
        expect(backend.apply([raw("flat", opening * 64 + b"1" + closing * 64)])[0], Stored)
        json.loads(path.read_bytes())
    with opened(path) as backend:
        assert claimed(backend, 3)[-1].data == opening * 64 + b"1" + closing * 64


@pytest.mark.parametrize("depth", [1025, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_absurdly_deep_payloads_are_refused_alone(shm: Path, depth: int, opening: bytes) -> None:
    with opened(shm / "Queue.json") as backend:
        between_neighbours(backend, raw("deep", opening * depth), InvalidTask)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"nope",
        b"NaN",
        b"1 2",
        b'"a',
        b"[1,]",
        b"{'a':1}",
        b'"\xff"',
        b"\xef\xbb\xbf1",
        b'{"a":1}]}',
    ],
)
def test_what_is_no_json_is_refused_alone(shm: Path, data: bytes) -> None:
    with opened(shm / "Queue.json") as backend:
        between_neighbours(backend, raw("bad", data), InvalidTask)


@pytest.mark.parametrize(
    "data", [b"[1,\n2]", b"[1,\r\n2]", b"\n1\n", b' {"a" : "\\n"} ', b'"\xe2\x80\xa8"', b"\t1\t"]
)
def test_a_payload_with_white_space_is_one_line_of_the_file(shm: Path, data: bytes) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        expect(backend.apply([raw("a", data), put("b")])[0], Stored)
        assert path.read_bytes().rstrip(b" ").count(b"\n") == 2
        json.loads(path.read_bytes())
    with opened(path) as backend:
        assert json.loads(claimed(backend)[0].data) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"crc":"00000000","seq":1,"at":1.0,"cuts":[],"ops":[]}',
        b'"\\n]}"',
        b'",\\"ops\\":["',
        b'{"ops":[1,"cuts"]}',
    ],
)
def test_a_payload_that_looks_like_a_part_of_the_file_is_a_payload(shm: Path, data: bytes) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        expect(backend.apply([raw("a", data)])[0], Stored)
    with opened(path) as backend:
        assert claimed(backend)[0].data == data
    assert fsck(path).is_sound


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_queue_name_is_refused_alone_and_makes_no_file(shm: Path, name: str) -> None:
    with opened(shm / "Queue.json") as backend:
        files = sorted(shm.iterdir())
        commands: tuple[Command, ...] = (
            put("x", queue=name),
            claim(queue=name),
            Pause(queue=name),
            Find(queue=name, task_id="a"),
        )
        for command in commands:
            assert isinstance(backend.apply([command])[0], InvalidTask)
        between_neighbours(backend, put("x", queue=name), InvalidTask)
        assert [counts.queue for counts in expect(backend.apply([Stats(queue="*")])[0], Counted).queues] == [
            QUEUE
        ]
        assert sorted(shm.iterdir()) == files


@pytest.mark.parametrize("task_id", ["", " ", 'a"b', "a\\b", "a\nb", "ä", "a" * 129, "a\x00"])
def test_a_hostile_task_id_is_refused_alone(shm: Path, task_id: str) -> None:
    with opened(shm / "Queue.json") as backend:
        between_neighbours(backend, put(task_id), InvalidTask)


def test_odd_but_allowed_names_come_back(shm: Path) -> None:
    path = shm / "Queue.json"
    odd = "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"
    with opened(path) as backend:
        stored(backend, put(odd, queue="0-._"), put("k", group="]}", unique='"\\', headers={"\n": "\x00"}))
        json.loads(path.read_bytes())
    with opened(path) as backend:
        assert ids(claimed(backend, queue="0-._")) == [odd]
        task = expect(backend.apply([Find(queue=QUEUE, task_id="k")])[0], Found).task
        assert task is not None
        assert (task.group, task.unique, task.headers) == ("]}", '"\\', {"\n": "\x00"})


@pytest.mark.parametrize("token", ["", "a.b", "a b", "ä", "t" * 65, "\ud800", 'a"'])
def test_a_token_that_would_spoil_its_receipts_is_refused(shm: Path, token: str) -> None:
    with opened(shm / "Queue.json") as backend:
        between_neighbours(backend, Claim(queue=QUEUE, token=token), InvalidTask)


def test_a_batch_over_the_limit_is_refused_whole(shm: Path) -> None:
    with opened(shm / "Queue.json") as backend:
        with pytest.raises(TooLarge):
            backend.apply([put(str(number)) for number in range(MAX_BATCH + 1)])
        with pytest.raises(TooLarge):
            backend.apply([raw(str(number), text_of(MAX_PAYLOAD)) for number in range(65)])
        assert state_of(backend) == {}
        assert len(backend.apply([put(str(number)) for number in range(MAX_BATCH)])) == MAX_BATCH


def test_follow_up_tasks_count_in_a_batch(shm: Path) -> None:
    with opened(shm / "Queue.json") as backend:
        backend.apply([put("a")])
        (lease,) = claimed(backend)
        then = [raw(str(number), text_of(MAX_PAYLOAD)) for number in range(65)]
        with pytest.raises(TooLarge, match="bytes"):
            backend.apply([ack(lease, *then)])
        with pytest.raises(TooLarge, match="tasks"):
            backend.apply([ack(lease, *[put(str(number)) for number in range(MAX_BATCH)])])
        backend.apply([ack(lease, *then[:60])])
        assert len(state_of(backend)) > 0


def test_payloads_of_more_than_one_read_can_give_are_whole(shm: Path) -> None:
    path = shm / "Queue.json"
    payloads = [text_of(MAX_PAYLOAD - number) for number in range(70)]
    with opened(path) as backend:
        backend.apply([raw(str(number), data) for number, data in enumerate(payloads[:35])])
        backend.apply([raw(str(number), data) for number, data in enumerate(payloads[35:], 35)])
    with opened(path) as backend:
        found = [lease.data for lease in (*claimed(backend, 100), *claimed(backend, 100, token="b"))]  # noqa: S106
        assert found == payloads


def record(**fields: object) -> TaskRecord:
    good = {"task_id": "x", "queue": QUEUE, "state": TaskState.READY, "number": 1, "place": 1}
    return TaskRecord(**{**good, "data": msgspec.Raw(b"1"), **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"data": msgspec.Raw(b"nope")},
        {"data": msgspec.Raw(b'1},{"id":"y"')},
        {"data": msgspec.Raw(text_of(MAX_PAYLOAD + 1))},
        {"data": msgspec.Raw(b"[" * 65 + b"]" * 65)},
        {"task_id": 'a"b'},
        {"queue": "../x"},
        {"queue": "elsewhere"},
        {"number": 2**70},
        {"number": 0},
        {"place": None},
        {"state": TaskState.LEASED},
        {"state": TaskState.SCHEDULED},
        {"put_at": float("nan")},
        {"receipt": "nonsense"},
        {"receipt": "1.t.other"},
        {"priority": 99},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_a_record_that_no_store_exports_is_refused_alone(shm: Path, fields: dict[str, object]) -> None:
    with opened(shm / "Queue.json") as backend:
        between_neighbours(backend, LoadTask(queue=QUEUE, record=record(**fields)), Refused)
    assert fsck(shm / "Queue.json").is_sound


def test_a_loaded_payload_with_line_breaks_is_one_line_of_the_file(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        backend.apply([Load.of(record(data=msgspec.Raw(b'{\n"a": 1}')))])
        state = state_of(backend)
    with opened(path) as backend:
        assert state_of(backend) == state
        assert claimed(backend)[0].data == b'{ "a": 1}'
