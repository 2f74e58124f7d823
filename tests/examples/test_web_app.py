"""A pre-forked web application enqueues, a worker carries out, and the page of a task tells."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPMessage
from urllib.error import HTTPError

from tests.examples.conftest import Example
from tests.preforking import server

EXAMPLE = "web-app"


def ask(url: str, data: object = None) -> tuple[int, str, HTTPMessage]:
    """Return status, body and headers of an answer of our own server."""
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode(), answer.headers
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode(), refused.headers


def test_an_order_is_taken_and_its_page_tells_how_far_it_is(example: Example) -> None:
    kind = "--worker-class=uvicorn_worker.UvicornWorker"
    with server("web:web", example.folder, kind, workers=2) as (_, address):
        order = {"order": "A-1", "to": "a@example.org"}
        code, said, headers = ask(f"{address}/orders", order)
        page = headers["Location"]
        assert (code, said) == (202, f"see {page}\n")
        assert ask(f"{address}/orders", order)[2]["Location"] == page  # sent twice is one task
        failing = ask(f"{address}/orders", {"order": "A-2", "to": "<nobody>"})[2]["Location"]
        assert "<h1>ready</h1><p>attempt 1</p>" in ask(page)[1]

        example.work("orders:app")
        assert ask(page)[1] == "<!doctype html><h1>done</h1><p>attempt 1</p>"
        assert "To: a@example.org" in (example.folder / "outbox" / "A-1.txt").read_text()
        shown = ask(failing)[1]
        assert "<h1>scheduled</h1><p>attempt 2</p>" in shown or "<h1>ready</h1><p>attempt 2</p>" in shown
        assert "<p>ValueError: &lt;nobody&gt; is no address</p>" in shown


def test_what_is_no_order_is_said(example: Example) -> None:
    kind = "--worker-class=uvicorn_worker.UvicornWorker"
    with server("web:web", example.folder, kind, workers=1) as (_, address):
        for wrong in (
            {},
            [],
            "text",
            {"order": "A-1"},
            {"order": "A-1", "to": 5},
            {"order": "A" * 9999, "to": ""},
        ):
            code, said, _ = ask(f"{address}/orders", wrong)
            assert (code, said[:21]) == (400, "this is no order: "[:21] + said[18:21])
        assert ask(f"{address}/tasks/unknown")[0] == 404
