"""What a backend declares: each value is sane, and all of them together."""

from __future__ import annotations

from typing import Final

from distqueue.capabilities import Capabilities, Durability, Ordering, WakeUp
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject
from distqueue.limits import MAX_BATCH, MAX_PAYLOAD
from distqueue.plugins import installed_plugins
from distqueue.urls import parse_url

_BEST_FIRST: Final[dict[str, list[object]]] = {
    "durability": [*reversed(Durability)],
    "ordering": [*Ordering],
    "wake_up": [*WakeUp],
}
"""From the most that can be promised to the least. How long ids are remembered is up to options."""


class Declaring(Subject):
    """What a backend declares."""

    @clause(
        "DECLARE-1",
        "every declared value is of its kind and in its range",
        look="the Capabilities in the plugin: enums instead of strings, sizes within the limits",
    )
    def test_the_values_are_sane(self) -> None:
        has = self.capabilities
        assert isinstance(has, Capabilities)
        assert isinstance(has.durability, Durability)
        assert isinstance(has.ordering, Ordering)
        assert isinstance(has.wake_up, WakeUp)
        assert has.dedup_window is None or has.dedup_window >= 0
        assert has.dedup_max is None or has.dedup_max >= 0
        assert 1024 <= has.max_payload <= MAX_PAYLOAD
        assert 1 <= has.max_batch <= MAX_BATCH

    @clause(
        "DECLARE-2",
        "what an open store has is what the plugin declares; it may have less, never more",
        look="the capabilities property of the open store: derive it from the plugin's with replace",
    )
    def test_the_plugin_declares_the_same(self) -> None:
        declared = installed_plugins().resolve(parse_url(self.store).scheme).spec.capabilities
        for name in Capabilities.__struct_fields__:
            mine, theirs = getattr(self.capabilities, name), getattr(declared, name)
            if isinstance(theirs, bool):
                assert theirs or not mine, name
            elif name in ("max_payload", "max_batch"):
                assert mine <= theirs, name
            elif (order := _BEST_FIRST.get(name)) is not None:
                assert order.index(mine) >= order.index(theirs), name

    @clause(
        "DECLARE-3",
        "what is declared does not contradict itself",
        look="the Capabilities in the plugin: groups with ordering, replicated with shared, window with max",
    )
    def test_the_values_fit_together(self) -> None:
        has = self.capabilities
        if has.groups:
            assert has.ordering is not Ordering.NONE
        if has.durability is Durability.REPLICATED:
            assert has.shared_between_processes
        assert (has.dedup_window == 0) == (has.dedup_max == 0)
