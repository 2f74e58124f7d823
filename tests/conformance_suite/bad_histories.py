"""Histories made by hand, each of which breaks one promise."""

from __future__ import annotations

from collections.abc import Callable

from distqueue.conformance.history import AnyEvent

from .histories import Script


def lost() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.publish("b")
    script.settle(script.deliver("b"))
    return script.drained()


def never_ended() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a")
    return script.drained()


def gone_though_its_ack_was_refused() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    receipt = script.deliver("a", lease=0.1)
    script.tick(0.2)
    script.settling(receipt)
    script.stale(receipt)
    return script.drained()


def left_over() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a"))
    return script.drained(left=1)


def never_published() -> list[AnyEvent]:
    script = Script()
    script.settle(script.deliver("a"))
    return script.drained()


def another_payload() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", checksum=8))
    return script.drained()


def another_queue() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", queue="other"))
    return script.drained()


def delivered_though_refused() -> list[AnyEvent]:
    script = Script()
    script.invoke("a")
    script.refused("a")
    script.settle(script.deliver("a"))
    return script.drained()


def stored_twice() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.publish("a")
    script.settle(script.deliver("a"))
    return script.drained()


def duplicate_of_nothing() -> list[AnyEvent]:
    script = Script()
    script.invoke("a")
    script.ok("a", duplicate=True)
    script.settle(script.deliver("a"))
    return script.drained()


def delivered_after_its_ack() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", lease=0.1))
    script.tick(0.2)
    script.deliver("a", 2)
    return script.drained()


def acked_twice() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    first = script.deliver("a", lease=0.1)
    script.tick(0.2)
    second = script.deliver("a", 2, "c2")
    script.settle(second, process="c2")
    script.settle(first)
    return script.drained()


def acked_without_delivery() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle("1.a")
    return script.drained()


def one_number_twice() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a", lease=0.1)
    script.tick(0.2)
    script.settle(script.deliver("a", 1, "c2"), process="c2")
    return script.drained()


def number_went_back() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.kill("c0")
    script.deliver("a", 2, lease=0.1)
    script.tick(0.2)
    script.settle(script.deliver("a", 1))
    return script.drained()


def two_leases_at_once() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a")
    script.settle(script.deliver("a", 2, "c2"), process="c2")
    return script.drained()


def extended_in_vain() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", lease=0.5), "extend", lease=10.0)
    script.tick(1.0)
    script.settle(script.deliver("a", 2, "c2"), process="c2")
    return script.drained()


def another_consumer_was_killed() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a")
    script.kill("c3")
    script.settle(script.deliver("a", 2, "c2"), process="c2")
    return script.drained()


def delivery_that_nobody_saw() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", 2))
    return script.drained()


def live_receipt_refused() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    receipt = script.deliver("a", lease=0.5)
    script.settling(receipt)
    script.stale(receipt)
    script.tick(1.0)
    script.settle(script.deliver("a", 2))
    return script.drained()


def overtaken() -> list[AnyEvent]:
    script = Script()
    for name in "abc":
        script.publish(name)
    for name in "acb":
        script.settle(script.deliver(name))
    return script.drained()


BAD: dict[str, list[Callable[[], list[AnyEvent]]]] = {
    "nothing_lost": [lost, never_ended, gone_though_its_ack_was_refused, left_over],
    "no_phantom": [never_published, another_payload, another_queue],
    "nothing_from_refused": [delivered_though_refused],
    "one_id_is_one_task": [stored_twice, duplicate_of_nothing],
    "no_delivery_after_ack": [delivered_after_its_ack],
    "one_ack": [acked_twice, acked_without_delivery],
    "numbers_increase": [one_number_twice, number_went_back],
    "leases_apart": [two_leases_at_once, extended_in_vain, another_consumer_was_killed],
    "gaps_explained": [delivery_that_nobody_saw],
    "live_receipts_settle": [live_receipt_refused],
    "in_order": [overtaken],
}
