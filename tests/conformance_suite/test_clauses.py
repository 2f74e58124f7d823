"""The registry of clauses and the tests of the suite agree, and no test hides another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from distqueue.capabilities import Capabilities
from distqueue.conformance import BackendConformance
from distqueue.conformance.clauses import CLAUSES, DECLARED, clause
from distqueue.conformance.suite.subject import Subject
from distqueue.conformance.suite.without import WITHOUT


def parts() -> Iterator[type]:
    """The classes of which the suite is made."""
    for part in BackendConformance.__mro__:
        if issubclass(part, Subject) and part not in (Subject, BackendConformance):
            yield part


def suite_tests() -> dict[str, str]:
    """Each test of the suite, by its qualified name, and the name under which pytest finds it."""
    return {
        function.__qualname__: name
        for part in parts()
        for name, function in vars(part).items()
        if name.startswith("test_")
    }


def test_every_test_has_a_clause_and_every_clause_a_test() -> None:
    assert {each.test for each in CLAUSES.values()} == set(suite_tests())


def test_no_part_of_the_suite_hides_a_method_of_another() -> None:
    names = Counter(name for part in parts() for name in vars(part) if not name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name in names if hasattr(Subject, name)] == []


def test_clauses_are_numbered_and_say_something() -> None:
    for each in CLAUSES.values():
        assert re.fullmatch(r"[A-Z]+-[1-9][0-9]*", each.id)
        assert each.text.strip() == each.text
        assert len(each.text) > 20
    assert len({each.text for each in CLAUSES.values()}) == len(CLAUSES)


def test_every_clause_tells_where_to_look_when_it_fails() -> None:
    for each in CLAUSES.values():
        assert each.look.strip() == each.look
        assert len(each.look) > 15, each.id
        assert each.look != each.text
    looks = Counter(each.look for each in CLAUSES.values())
    assert [look for look, count in looks.items() if count > 1] == []


def test_what_a_clause_needs_can_be_declared_and_refused() -> None:
    needed = {name for each in CLAUSES.values() for name in each.needs}
    assert needed <= set(DECLARED) == set(WITHOUT)


def test_every_capability_is_needed_by_a_clause() -> None:
    needed = {name for each in CLAUSES.values() for name in each.needs}
    values = {"wake_up", "max_payload", "max_batch"}
    dedup = {"dedup_window", "dedup_max"}
    assert set(Capabilities.__struct_fields__) - values - dedup | {"dedup"} == needed


def test_a_clause_cannot_be_there_twice() -> None:
    with pytest.raises(ValueError, match="PUT-1 is there twice"):

        class Other(Subject):
            @clause("PUT-1", "the same number for another promise", look="the number that it has")
            def test_something_else(self) -> None: ...
