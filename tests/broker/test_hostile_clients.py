"""Clients that do what they should not: the broker process lives on, and the others do not notice."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest

from distqueue import Queue, TaskRecord, TaskState, TooLarge
from distqueue.broker.event import Apply, Wait, encode, request
from distqueue.broker.frames import MAX_FRAME, framed
from distqueue.commands import Browse, Claim, Find, LoadTask, Put
from distqueue.payload import Payload
from distqueue.results import Claimed, Seen
from distqueue.supervisor import Supervisor

from .raw import connected, is_cut_off

type Serve = Callable[..., Supervisor]


def check_it_serves(witness: socket.socket) -> None:
    """Check that the process that welcomed a client earlier still answers it."""
    witness.sendall(framed(encode(request(7, Apply([])))))
    assert b"applied" in witness.recv(65536)


@pytest.mark.parametrize(
    "data",
    [
        framed(b"nonsense"),
        framed(b""),
        framed(b"\x94\xa5write\xa9publisher\x01" + b"\x81" * 5000),
        framed(encode(request(1, Apply([]))).replace(b"read", b"raed")),
        struct.pack("!i", -1) + b"x" * 100,
        struct.pack("!i", MAX_FRAME + 1),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    ],
    ids=["nonsense", "empty", "deep", "misspelt", "negative", "oversized", "http", "pickle"],
)
def test_garbage_is_cut_off(url: str, serve: Serve, data: bytes) -> None:
    supervisor = serve()
    with Queue(url) as queue, connected(supervisor.address) as witness, connected(supervisor.address) as sock:
        queue.put("before")
        sock.sendall(data)
        assert is_cut_off(sock)
        check_it_serves(witness)
        queue.put("after")
        assert queue.stats().ready == 2


def test_a_record_with_data_of_another_kind_is_cut_off(url: str, serve: Serve) -> None:
    supervisor = serve()
    record = TaskRecord(
        task_id="x", queue="q", state=TaskState.READY, number=1, data=msgspec.Raw(msgspec.msgpack.encode({}))
    )
    with connected(supervisor.address) as witness, connected(supervisor.address) as sock:
        sock.sendall(framed(encode(request(1, Apply([LoadTask(queue="q", record=record)])))))
        assert is_cut_off(sock)
        check_it_serves(witness)


@pytest.mark.slow
def test_an_answer_that_is_too_large_is_refused_and_nothing_is_held(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        for start in range(0, 120, 20):
            queue.put_many([{"n": n, "x": "x" * 1_000_000} for n in range(start, start + 20)])
        (record,) = queue.peek()
        broker = queue._session.broker
        with pytest.raises(TooLarge, match="less at once"):
            broker.apply([Find(queue="default", task_id=record.task_id)] * 150)
        claims = [Claim(queue="default", token=f"t{n}") for n in range(120)]
        outcomes = broker.apply(claims)
        leases = [lease for each in outcomes if isinstance(each, Claimed) for lease in each.leases]
        assert 60 < len(leases) < 80
        assert queue.stats().leased == len(leases)


def test_a_payload_that_is_no_json_is_refused(url: str, serve: Serve) -> None:
    supervisor = serve()
    with connected(supervisor.address) as sock:
        bad = Put.make("default", "bad", b'1},{"id":"y"')
        good = Put.make("default", "good", Payload(b"1"))
        sock.sendall(framed(encode(request(1, Apply([bad, good])))))
        answer = sock.recv(65536)
    assert b"InvalidTask" in answer
    with Queue(url) as queue:
        assert queue.find("bad") is None
        assert queue.find("good") is not None


def test_those_that_never_read_their_answers_delay_nobody(url: str, serve: Serve) -> None:
    supervisor = serve()
    ask = framed(encode(request(1, Apply([Browse(queue="default", limit=300)]))))
    with Queue(url) as queue:
        queue.put_many(["x" * 10_000] * 300)
        deaf = [connected(supervisor.address) for _ in range(10)]
        for one in deaf:
            one.sendall(ask)  # the answer is larger than what a socket holds
        for _ in range(50):
            queue.put("on time")
        assert queue.stats().ready == 350
        assert rss(supervisor) < 200 * 1024 * 1024
        for one in deaf:
            one.close()


def test_one_that_asks_again_before_it_was_answered_is_cut_off(url: str, serve: Serve) -> None:
    supervisor = serve()
    ask = framed(encode(request(1, Wait("default", Seen(0), None))))
    with connected(supervisor.address) as sock:
        sock.sendall(ask * 1000)
        assert is_cut_off(sock)
    with Queue(url) as queue:
        queue.put("x")


def test_one_that_hangs_up_in_the_middle_of_a_frame_leaves_nothing(url: str, serve: Serve) -> None:
    supervisor = serve()
    frame = framed(encode(request(1, Apply([Put.make("default", "torn", Payload(b"1"))]))))
    with connected(supervisor.address) as sock:
        sock.sendall(frame[:-1])
    with Queue(url) as queue:
        queue.put("x")
        assert queue.find("torn") is None


def test_one_that_hangs_up_while_it_waits_is_forgotten(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Queue(url) as queue:
        queue.put("x", task_id="first")
        gone = queue.get(timeout=0)
        assert gone is not None
        gone.ack()
        for _ in range(20):
            with connected(supervisor.address) as sock:
                sock.sendall(framed(encode(request(1, Wait("default", Seen(), None)))))
        queue.put("y")
        delivery = queue.get(timeout=20)
        assert delivery is not None
        assert delivery.data == "y"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_turned_away(url: str, serve: Serve) -> None:
    supervisor = serve()
    for path in (os.path.dirname(supervisor.address), supervisor.address):
        os.chmod(path, 0o777)  # noqa: S103 - as if it had been put where all can reach it
    script = (
        "import os, socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "where = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)\n"
        "os.fchdir(where); os.setuid(65534)\n"
        "sock.connect(os.path.basename(sys.argv[1]))\n"
        "print(sock.recv(65536))\n"
    )
    heard = subprocess.run(
        [sys.executable, "-c", script, supervisor.address], capture_output=True, text=True, timeout=20
    )
    assert "turned this client away" in heard.stdout, heard.stderr
    with Queue(url) as queue:
        queue.put("ours")


def test_many_idle_clients_cost_little(url: str, serve: Serve) -> None:
    supervisor = serve()
    before = rss(supervisor)
    clients = [connected(supervisor.address) for _ in range(300)]
    with Queue(url) as queue:
        queue.put("x")
    assert rss(supervisor) - before < 60 * 1024 * 1024
    for client in clients:
        client.close()


def rss(supervisor: Supervisor) -> int:
    """Return how much memory the broker process has, in bytes."""
    with open(f"/proc/{supervisor.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
