"""The page for those who come from another task queue names what there is."""

from __future__ import annotations

import re

import pytest

from distqueue import App, Backoff, RejectTask, RetryTask, TaskState, current_delivery
from distqueue.cli.main import VERBS
from tests.docs.pages import ROOT, links, page

PAGE = page("docs/coming-from.md")


def ours(heading: str) -> str:
    """Return the right-hand side of the snippet below a heading, as a program."""
    code = PAGE.split(f"\n## {heading}\n")[1].split("```python\n")[1].split("```")[0]
    lines = [line[50:].removeprefix("# ").rstrip() for line in code.splitlines()[1:] if line[50:].strip()]
    return "\n".join(lines)


def test_links_and_verbs_are_there() -> None:
    for link in links(PAGE):
        assert (ROOT / "docs" / link).is_file(), link
    known = {verb for verbs in VERBS.values() for verb in verbs}
    assert set(re.findall(r"`distqueue (\w+)", PAGE)) <= known


@pytest.mark.parametrize(
    ("heading", "last"), [("Celery", "raise RetryTask"), ("Dramatiq", ""), ("huey", "with app.testing")]
)
def test_the_right_hand_sides_run(heading: str, last: str) -> None:
    program = ours(heading)
    if last:
        program = program.split(last)[0]
    if "def " not in program:
        program = program.replace("factor=1))", "factor=1))\ndef send_email(to: str) -> None: ...")
    app = App()
    names = {"App": lambda _: app, "Backoff": Backoff}
    with app.testing() as jobs:
        exec(program, names)  # noqa: S102
        assert [call.args for call in jobs.enqueued()] == [{"to": "a@example.org"}] * 2
        assert [call.delay for call in jobs.enqueued()] == [None, 60]


def test_what_rq_does() -> None:
    app = App()

    @app.task(max_attempts=4, retry=Backoff(first=10, factor=3, jitter=0))
    def count_words(url: str) -> None:
        raise RetryTask if current_delivery().attempt < 4 else RejectTask

    with app.testing() as jobs:
        stored = count_words.enqueue("/")
        for pause in (10, 30, 90):
            assert jobs.run_until_empty() == 1
            jobs.advance(pause)
        assert jobs.run_until_empty() == 1
        record = app.queue().find(stored.task_id)
        assert record is not None
        assert record.state is TaskState.DEAD
