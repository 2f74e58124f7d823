"""A pre-forked web application enqueues, a worker carries out, and the page of a task tells."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple
from urllib.error import HTTPError

import pytest

from tests.examples.conftest import ON_A_SERVER, Example
from tests.preforking import server

pytestmark = pytest.mark.slow

EXAMPLE = "web-app"


class Answer(NamedTuple):
    """What the server said."""

    code: int
    text: str
    location: str | None = None


class Site:
    """The web application, served by two processes."""

    def __init__(self, address: str) -> None:
        self._address = address

    def order(self, order: object) -> Answer:
        """Send an order."""
        return self.ask(f"{self._address}/orders", json.dumps(order).encode())

    def ask(self, url: str, body: bytes | None = None) -> Answer:
        """Ask for a page, by its path or its whole address."""
        try:
            with urllib.request.urlopen(url, body, timeout=30) as answer:  # noqa: S310 - it is our own server
                return Answer(answer.status, answer.read().decode(), answer.headers["Location"])
        except HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.read().decode())


@pytest.fixture
def site(example: Example) -> Iterator[Site]:
    kind = "--worker-class=uvicorn_worker.UvicornWorker"
    with server("web:web", example.folder, kind, workers=2) as (_, address):
        yield Site(address)


@ON_A_SERVER
def test_an_order_is_taken_and_its_page_tells_how_far_it_is(example: Example, site: Site) -> None:
    order = {"order": "A-1", "to": "a@example.org"}
    code, text, page = site.order(order)
    assert (code, text) == (202, f"see {page}\n")
    assert page is not None
    assert site.order(order).location == page  # sent twice is one task
    assert "<h1>ready</h1><p>attempt 1</p>" in site.ask(page).text

    example.work("orders:app")
    assert site.ask(page).text == "<!doctype html><h1>done</h1><p>attempt 1</p>"
    assert "To: a@example.org" in (example.folder / "outbox" / "A-1.txt").read_text()


def test_the_page_of_a_task_that_fails_says_why(example: Example, site: Site) -> None:
    page = site.order({"order": "A-2", "to": "<nobody>"}).location
    assert page is not None
    example.work("orders:app")
    text = site.ask(page).text
    assert "<p>attempt 2</p><p>ValueError: &lt;nobody&gt; is no address</p>" in text
    assert 'http-equiv="refresh"' in text


@pytest.mark.parametrize(
    "wrong", [{}, [], "text", {"order": "A-1"}, {"order": "A-1", "to": 5}, {"order": "A" * 9999, "to": ""}]
)
def test_what_is_no_order_is_said(site: Site, wrong: object) -> None:
    code, text, _ = site.order(wrong)
    assert code == 400
    assert text.startswith("this is no order: ")


def test_a_task_that_nobody_knows_is_not_found(site: Site) -> None:
    page = site.order({"order": "A-1", "to": "a@example.org"}).location
    assert page is not None
    assert site.ask(page.replace("A-1", "A-9")).code == 404
