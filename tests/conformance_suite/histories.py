"""Histories made by hand: a good one, and the events to make bad ones of."""

from __future__ import annotations

from dataclasses import dataclass, field

from distqueue.conformance.history import (
    AnyEvent,
    Delivered,
    Drained,
    Fault,
    PublishInvoked,
    PublishOk,
    PublishRefused,
    PublishUnknown,
    SettleInvoked,
    SettleOk,
    SettleStale,
)


@dataclass
class Script:
    """Writes a history event by event; ``at`` goes on by a millisecond with each."""

    events: list[AnyEvent] = field(default_factory=list)
    at: float = 100.0
    numbers: int = 0

    def tick(self, seconds: float = 0.001) -> float:
        self.at = round(self.at + seconds, 6)
        return self.at

    def invoke(self, task_id: str, process: str = "p1", checksum: int = 7) -> None:
        self.numbers += 1
        self.events.append(
            PublishInvoked(
                at=self.tick(),
                process=process,
                task_id=task_id,
                checksum=checksum,
                queue="q",
                number=self.numbers,
            )
        )

    def ok(self, task_id: str, process: str = "p1", *, duplicate: bool = False) -> None:
        self.events.append(PublishOk(at=self.tick(), process=process, task_id=task_id, duplicate=duplicate))

    def publish(self, task_id: str, process: str = "p1") -> None:
        self.invoke(task_id, process)
        self.ok(task_id, process)

    def refused(self, task_id: str) -> None:
        self.events.append(PublishRefused(at=self.tick(), process="p1", task_id=task_id, error="TooLarge"))

    def unknown(self, task_id: str) -> None:
        self.events.append(
            PublishUnknown(at=self.tick(), process="p1", task_id=task_id, error="OutcomeUnknown")
        )

    def deliver(
        self,
        task_id: str,
        number: int = 1,
        process: str = "c1",
        *,
        lease: float = 30.0,
        checksum: int = 7,
        queue: str = "q",
    ) -> str:
        receipt = f"{number}.{task_id}"
        asked = self.tick()
        self.events.append(
            Delivered(
                at=self.tick(),
                process=process,
                task_id=task_id,
                checksum=checksum,
                queue=queue,
                receipt=receipt,
                deliveries=number,
                attempt=number,
                asked=asked,
                lease=lease,
            )
        )
        return receipt

    def settling(self, receipt: str, verb: str = "ack", process: str = "c1", lease: float = 0.0) -> None:
        task_id = receipt.split(".", 1)[1]
        self.events.append(
            SettleInvoked(
                at=self.tick(), process=process, task_id=task_id, receipt=receipt, verb=verb, lease=lease
            )
        )

    def settled(self, receipt: str, verb: str = "ack", process: str = "c1") -> None:
        task_id = receipt.split(".", 1)[1]
        self.events.append(
            SettleOk(at=self.tick(), process=process, task_id=task_id, receipt=receipt, verb=verb)
        )

    def settle(self, receipt: str, verb: str = "ack", process: str = "c1", lease: float = 0.0) -> None:
        self.settling(receipt, verb, process, lease)
        self.settled(receipt, verb, process)

    def stale(self, receipt: str, verb: str = "ack", process: str = "c1") -> None:
        task_id = receipt.split(".", 1)[1]
        self.events.append(
            SettleStale(
                at=self.tick(),
                process=process,
                task_id=task_id,
                receipt=receipt,
                verb=verb,
                error="LeaseLost",
            )
        )

    def kill(self, victim: str) -> None:
        self.events.append(Fault(at=self.tick(), process="test", kind="kill", victim=victim))

    def drained(self, left: int = 0, dead: tuple[str, ...] = ()) -> list[AnyEvent]:
        self.events.append(Drained(at=self.tick(), process="test", left=left, dead=dead))
        return self.events


def good_history(tasks: int = 12) -> list[AnyEvent]:
    """A history with everything that may happen: kills, lapses, retries, releases, lost answers."""
    script = Script()
    for number in range(tasks):
        script.publish(f"t{number}")
    script.invoke("lost")
    script.kill("p1")
    script.invoke("lost", "p2")
    script.ok("lost", "p2", duplicate=True)
    script.invoke("bad", "p2")
    script.refused("bad")
    for number in range(tasks):
        _handle(script, f"t{number}", number % 6)
    script.settle(script.deliver("lost"))
    return script.drained()


def _handle(script: Script, task_id: str, way: int) -> None:
    match way:
        case 0:
            script.settle(script.deliver(task_id))
        case 1:
            script.settle(script.deliver(task_id), "retry")
            script.settle(script.deliver(task_id, 2))
        case 2:
            script.settle(script.deliver(task_id), "release")
            script.settle(script.deliver(task_id, 2))
        case 3:
            consumer = f"killed-{task_id}"
            script.deliver(task_id, 1, consumer)
            script.kill(consumer)
            script.settle(script.deliver(task_id, 3))  # the second one never arrived
        case 4:
            receipt = script.deliver(task_id, lease=0.5)
            script.tick(0.6)
            newer = script.deliver(task_id, 2, "c2")
            script.settling(receipt)
            script.stale(receipt)
            script.settle(newer, process="c2")
        case _:
            receipt = script.deliver(task_id, lease=0.5)
            script.settle(receipt, "extend", lease=2.0)
            script.tick(1.0)
            script.settle(receipt)
