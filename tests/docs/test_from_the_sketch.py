"""The page that leads from the original sketch to distqueue names what there is, and leaves nothing out."""

from __future__ import annotations

import dis
import re
from importlib import import_module
from inspect import get_annotations, isfunction
from pathlib import Path
from typing import NamedTuple

import pytest

from distqueue.cli.main import VERBS
from distqueue.errors import ConfigError
from distqueue.plugins import installed_plugins
from distqueue.urls import parse_url

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "from-the-sketch.md"

FILES = [
    "Publisher.py",
    "Consumer.py",
    "main.py",
    "broker/BrokerManager.py",
    "broker/PublisherBroker.py",
    "enum/EventOwner.py",
    "enum/EventType.py",
    "model/Event.py",
    "model/Task.py",
    "queue/Queue.json",
    "requirements.txt",
]
"""The files of the sketch."""
NAMES = [
    *("singleJsonDistributedQueue", "BrokerManager", "PublisherBroker", "Publisher", "Consumer"),
    *("Event", "EventOwner", "EventType", "WRITE", "READ", "SHUTDOWN"),
    *("Task", "TaskIn", "taskId", "publisherId", "data", "isStart"),
    *("run()", "close()", "writeRequest", "publisherMap", "brokerQueue", "jsonQueueLock"),
    *("multiprocessing.Process", "multiprocessing.Queue", "multiprocessing.Pipe"),
    *("AsyncFileLock", "TimeoutError", "aiofiles", "orjson"),
]
"""What the sketch called things."""
BEHAVIOURS = [
    "routes acknowledgements",
    "buffers",
    "batch-writes",
    "flush every 2 seconds",
    "flush on shutdown",
    "answered after the data is on disk",
    "pip install .",
]
"""What the sketch did."""


class Row(NamedTuple):
    """One line of a table."""

    sketch: str
    here: str
    fate: str
    why: str


def rows() -> list[Row]:
    """Return the lines of all tables, without their heads."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(*row) for row in cells if not row[0].startswith(("in the sketch", "---"))]


def quoted(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def is_there(name: str) -> bool:
    """Whether there is what a name of today means: a file, a verb, a store's URL or something in Python."""
    if name.startswith("distqueue "):
        return any(name.removeprefix("distqueue ") in verbs for verbs in VERBS.values())
    if "://" in name:
        return is_url(name)
    return (ROOT / name).is_file() or is_in_python(name)


def is_url(text: str) -> bool:
    """Whether a text is the URL of a store that an installed backend serves."""
    try:
        return bool(installed_plugins().resolve(parse_url(text).scheme))
    except ConfigError:
        return False


def is_in_python(name: str) -> bool:
    """Whether a dotted path leads to a module, or to something in one."""
    module, _, rest = name, "", ""
    while not (found := importable(module)) and "." in module:
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}".strip(".")
    place: object = found
    for part in rest.split(".") if rest else ():
        if place is None or not has(place, part):
            return False
        place = getattr(place, part, None)
    return found is not None


def importable(name: str) -> object:
    """Return a module, or ``None`` if there is none of that name."""
    try:
        return import_module(name) if re.fullmatch(r"\w+(\.\w+)*", name) else None
    except ModuleNotFoundError:
        return None


def has(place: object, name: str) -> bool:
    """Whether something has an attribute, or is a class whose instances have it from the beginning."""
    if hasattr(place, name):
        return True
    return isinstance(place, type) and any(
        name in get_annotations(base) or name in set_by_init(base) for base in place.__mro__
    )


def set_by_init(kind: type) -> set[str]:
    """Return the attributes that a class sets in ``__init__``."""
    init = vars(kind).get("__init__")
    if not isfunction(init):
        return set()
    return {step.argval for step in dis.get_instructions(init) if step.opname == "STORE_ATTR"}


@pytest.mark.parametrize("name", sorted({name for row in rows() for name in quoted(row.here)}))
def test_what_is_named_is_there(name: str) -> None:
    assert is_there(name), f"{PAGE.name} names {name}, which does not exist"


def test_every_row_says_where_what_became_of_it_and_why() -> None:
    for row in rows():
        assert quoted(row.here), row
        assert row.fate in {"kept", "renamed", "changed"}, row
        assert re.fullmatch(r"[A-Z`].*\.", row.why), row
        assert ". " not in row.why, row


def test_no_file_and_no_name_of_the_sketch_is_left_out() -> None:
    named = [name for row in rows() for name in quoted(row.sketch)]
    assert [name for name in FILES + NAMES if name not in named] == []
    assert len(set(named)) == len(named)


def test_no_behaviour_of_the_sketch_is_left_out() -> None:
    left = " | ".join(row.sketch for row in rows())
    assert [behaviour for behaviour in BEHAVIOURS if behaviour not in left] == []


def test_what_is_kept_is_called_as_it_was() -> None:
    for row in rows():
        names = [name for name in quoted(row.sketch) if name.isidentifier()]
        if row.fate == "kept" and names != ["TimeoutError"]:  # of which AckTimeout is a kind
            assert names == [here.rpartition(".")[2] for here in quoted(row.here)][: len(names)], row


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).is_file(), link


@pytest.mark.parametrize(
    "name",
    [
        "distqueue nonsense",
        "distqueue.Nonsense",
        "distqueue.BrokerManager.nonsense",
        "distqueue.BrokerManager.clients.nonsense",
        "distqueue.nonsense.Server",
        "core/distqueue/nonsense.py",
        "core/distqueue",
        "nonsense:///Queue.json",
    ],
)
def test_what_is_not_there_is_noticed(name: str) -> None:
    assert not is_there(name)
