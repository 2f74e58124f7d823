"""The page on plugins names every hook as it is, and its examples work."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from distqueue.commands import Put
from distqueue.opening import open_broker
from distqueue.plugins.events import Event
from distqueue.plugins.hookspecs import HOOKS, Hooks

if TYPE_CHECKING:
    from .conftest import Site

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "plugins.md").read_text()


def example(module: str) -> str:
    """Return the code block that the page gives for a module."""
    found = re.search(rf"<!-- {module}\.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def section(hook: str) -> str:
    return PAGE.split(f"### `{hook}(")[1].split("\n#")[0]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_heading_with_its_signature(hook: str) -> None:
    arguments = [
        f"{argument.name}: {argument.annotation}"
        for argument in inspect.signature(getattr(Hooks, hook)).parameters.values()
        if argument.name != "self"
    ]
    assert f"### `{hook}({', '.join(arguments)})`\n" in PAGE


@pytest.mark.parametrize("event", Event.__subclasses__(), ids=lambda event: event.__name__)
def test_every_field_of_an_event_is_explained(event: type[Event]) -> None:
    hook = "distqueue_" + re.sub(r"(?<!^)([A-Z])", r"_\1", event.__name__.removesuffix("Event")).lower()
    for field in msgspec.structs.fields(event):
        assert f"`{field.name}`" in section(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_shows_an_example_of_itself(hook: str) -> None:
    assert f"def {hook}(" in (inspect.getdoc(getattr(Hooks, hook)) or "")


def test_the_backend_of_the_page_is_listed(site: Site) -> None:
    site.add("acme-queue", "1.0", acme="acme_queue_plugin")
    site.write("acme_queue_plugin", example("acme_queue_plugin"))
    (row,) = site.plugins().backends()
    assert (row.status, row.reason, row.summary) == ("ok", "", "Tasks in Acme's storage")


def test_the_observer_of_the_page_counts(site: Site) -> None:
    site.add("acme-metrics", group="distqueue.observers", metrics="acme_metrics")
    site.write("acme_metrics", example("acme_metrics"))
    site.add("distqueue", memory="distqueue_backends.plugin")
    broker = open_broker("memory://", plugins=site.plugins(), observers=["metrics"])
    broker.apply([Put(queue="default", task_id="a", data=b"{}")])
    broker.close()
    import acme_metrics  # type: ignore[import-not-found]

    assert acme_metrics.counts == {"stored": 1, "dead": 0}
