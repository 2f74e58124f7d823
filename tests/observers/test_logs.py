"""The log of a worker and its children: lines that programs can read, and no payload in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.worker.conftest import Bench

APP = """
import asyncio
import logging
import warnings

from distqueue import App, Backoff

app = App(queue="mail")
log = logging.getLogger("shop.mail")


@app.task(max_attempts=1)
def send(to: str) -> None:
    log.info("sending %s", "now", extra={"size": 3})
    log.debug("not to be seen")


@app.task(max_attempts=1)
async def send_async(to: str) -> None:
    await asyncio.sleep(0)
    log.warning("sending")


@app.task(max_attempts=1)
def fail(to: str) -> None:
    try:
        raise LookupError("nobody is there")
    except LookupError:
        log.exception("oh")
    raise ValueError("it was in vain")
"""

SECRET = "a-password-of-somebody"


def lines(bench: Bench, *arguments: str) -> list[dict[str, Any]]:
    """Run a worker on all three handlers and one whose argument does not fit, and return its log."""
    run(bench, "--log-format", "json", *arguments)
    return [json.loads(line) for line in bench.log.read_text().splitlines()]


def run(bench: Bench, *arguments: str) -> None:
    (bench.directory / "mail.py").write_text(APP)
    for name in ("send", "send_async", "fail"):
        bench.queue.put({"task": name, "args": {"to": SECRET}}, task_id=name, max_attempts=1)
    bench.queue.put({"task": "send", "args": {"to": [SECRET]}}, task_id="misfit", max_attempts=1)
    worker = bench.spawn("work", "mail:app", "-q", "default", "--burst", *arguments)
    assert worker.wait(60) == 0, bench.log.read_text()
    assert SECRET not in bench.log.read_text()


def test_every_line_is_an_object_that_says_when_and_what(lite: Bench) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    found = lines(lite)
    for line in found:
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert began <= datetime.fromisoformat(line["time"]) <= datetime.now(UTC)
    ends = {line["task_id"]: line for line in found if "seconds" in line}
    assert {task_id: line["verb"] for task_id, line in ends.items()} == {
        "send": "ack",
        "send_async": "ack",
        "fail": "retry",
        "misfit": "retry",
    }
    fail = ends["fail"]
    assert (fail["logger"], fail["level"]) == ("distqueue.worker", "ERROR")
    assert (fail["task"], fail["queue"], fail["attempt"]) == ("fail", "default", 1)
    assert fail["seconds"] > 0
    assert "ValueError: it was in vain" in fail["message"]


def test_what_handlers_log_bears_their_task(lite: Bench) -> None:
    own = {line["task_id"]: line for line in lines(lite) if line["logger"] == "shop.mail"}
    assert own.keys() == {"send", "send_async", "fail"}
    assert {name: line["task"] for name, line in own.items()} == {name: name for name in own}
    send = {name: value for name, value in own["send"].items() if name != "time"}
    assert send == {
        "level": "INFO",
        "logger": "shop.mail",
        "message": "sending now",
        "task_id": "send",
        "task": "send",
        "queue": "default",
        "attempt": 1,
        "size": 3,
    }
    assert own["send_async"]["level"] == "WARNING"
    assert "LookupError: nobody is there" in own["fail"]["exc_info"]


def test_what_is_below_the_level_is_not_written(lite: Bench) -> None:
    assert {line["level"] for line in lines(lite, "--log-level", "error")} == {"ERROR"}


def test_text_names_the_task_too(lite: Bench) -> None:
    run(lite)
    text = lite.log.read_text()
    assert " INFO sending now [send send]\n" in text
    assert " INFO task send (send) done in " in text
