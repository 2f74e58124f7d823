"""A reader of a store, written from ``docs/formats/queue-json.md`` with nothing but ``json``."""

from __future__ import annotations

import json
from typing import Any, Final

type Fields = dict[str, Any]

LAPSED: Final = "the lease ran out before the task was settled"
LIVE: Final = ("scheduled", "ready", "leased")
OPTIONS: Final[Fields] = {
    "priority": 0,
    "max_attempts": 5,
    "expires_in": None,
    "keep_done": 0,
    "group": None,
    "unique": None,
    "publisher_id": None,
    "headers": None,
}
LOADED: Final[Fields] = {
    "number": 0,
    "put_at": 0.0,
    "state": "ready",
    "until": None,
    "failures": 0,
    "deliveries": 0,
    "token": None,
    "settled": None,
    "error": None,
    "history": [],
}
DEFAULTS: Final[Fields] = {"place": None, **OPTIONS, **LOADED}


EMPTY: Final[Fields] = {"next": 1, "last": 0, "paused": False, "expired": 0}


class Reader:
    """Reads a store as the page says, knowing nothing of distqueue."""

    def __init__(self, text: str, window: float, most: int) -> None:
        self.window, self.most = window, most
        self.queues: dict[str, Fields] = {}
        store = json.loads(text)
        for commit in store["commits"]:
            for op in commit["ops"]:
                queue = self.queues.setdefault(
                    op["queue"],
                    {**EMPTY, "tasks": {}, "gone": [], "fence": "none", "note": ""},
                )
                self.take(queue, op, commit["at"])

    def take(self, queue: Fields, op: Fields, at: float) -> None:
        tasks = queue["tasks"]
        match op["op"]:
            case "put":
                for task in op["tasks"]:
                    self.put(queue, task, at)
            case "load":
                for task in op["tasks"]:
                    self.load(queue, task)
            case "queue":
                queue.update(next=op["next_number"], last=op["last_number"])
                queue.update(paused=op.get("paused", False), expired=op.get("expired", 0))
                queue.update(fence=op.get("fence", "none"), note=op.get("note", ""))
            case "fence":
                queue.update(fence=op["level"], note="" if op["level"] == "none" else op["note"])
            case "clear":
                queue.update(EMPTY, tasks={}, gone=[])
            case "remember":
                for task in op["tasks"]:
                    receipt = (task.get("deliveries", 0), task.get("token"))
                    self.remember(queue, task["id"], task["at"], task["settled"], *receipt)
            case "pause" | "resume" as verb:
                queue["paused"] = verb == "pause"
            case "redrive":
                self.redrive(queue, op.get("id"), op.get("error"))
            case "purge":
                states = op.get("states") or ("scheduled", "ready", "leased", "done", "dead")
                for task in sorted(tasks.values(), key=by_number):
                    if task["state"] in states:
                        self.remove(queue, task, "purge", at)
            case verb:
                for task_id in op["ids"]:
                    self.step(queue, tasks[task_id], verb, op, at)

    def step(self, queue: Fields, task: Fields, verb: str, op: Fields, at: float) -> None:
        match verb:
            case "due":
                task.update(state="ready", until=None, place=self.number(queue))
            case "claim":
                task.update(state="leased", until=op["until"], token=op["token"], settled=None)
                task["deliveries"] += 1
            case "extend":
                task["until"] = op["until"]
            case "release":
                task.update(state="ready", until=None, settled="release")
                if "due" in op:
                    task.update(state="scheduled", until=op["due"], place=None)
            case "lapse":
                task["token"] = None
                end = task["until"]
                self.fail(task, LAPSED, {"state": "ready", "until": None}, keeps_error=True)
                self.note(task, "lapse", end, LAPSED, None)
            case "retry":
                task.update(settled="retry", error=op.get("error"))
                later = {"state": "scheduled", "until": op.get("due"), "place": None}
                if "due" not in op:
                    later = {"state": "ready", "until": None}
                self.fail(task, op.get("error"), later)
                if task["state"] == "ready":
                    task["place"] = self.number(queue)
                self.note(task, "retry", at, op.get("error"), op.get("traceback"))
            case "reject":
                task["settled"] = "reject"
                task["max_attempts"], most = task["failures"] + 1, task["max_attempts"]
                self.fail(task, op.get("error"), {})
                task["max_attempts"] = most
                self.note(task, "reject", at, op.get("error"), op.get("traceback"))
            case "ack" if task["keep_done"]:
                task.update(state="done", until=at + task["keep_done"], settled="ack")
            case "ack" | "forget":
                self.remove(queue, task, "ack", at)
            case "expire" | "cancel":
                self.remove(queue, task, verb, at)
            case _:
                raise AssertionError(f"the page has no {verb}")

    def put(self, queue: Fields, task: Fields, at: float) -> None:
        number = self.number(queue)
        queue["last"] = number
        new = self.task(task) | {"number": number, "put_at": at, "place": number}
        if "due" in task:
            new |= {"state": "scheduled", "until": task["due"], "place": None}
        queue["tasks"][task["id"]] = new

    def load(self, queue: Fields, task: Fields) -> None:
        new = self.task(task)
        new["place"] = task.get("place", task["number"])
        for name in (
            "number",
            "put_at",
            "state",
            "until",
            "failures",
            "deliveries",
            "token",
            "settled",
            "error",
            "history",
        ):
            new[name] = task.get(name, new[name])
        queue["next"] = max(queue["next"], new["number"] + 1, (new["place"] or 0) + 1)
        queue["last"] = max(queue["last"], new["number"])
        queue["tasks"][task["id"]] = new

    @staticmethod
    def task(task: Fields) -> Fields:
        """Return a task with the defaults of what is not there."""
        return DEFAULTS | {name: task[name] for name in ("id", "data", *OPTIONS) if name in task}

    def fail(self, task: Fields, error: str | None, else_: Fields, *, keeps_error: bool = False) -> None:
        task["failures"] += 1
        if task["max_attempts"] is not None and task["failures"] >= task["max_attempts"]:
            task.update(state="dead", until=None, place=None, error=error)
        else:
            task.update(else_)

    def note(self, task: Fields, verb: str, at: float, error: str | None, trace: str | None) -> None:
        failed = {"attempt": task["failures"], "at": at, "verb": verb}
        failed |= {"error": cut(error, 1024), "traceback": cut(trace, 8192)}
        kept = {name: value for name, value in failed.items() if value is not None}
        task["history"] = [*task["history"], kept][-10:]

    def redrive(self, queue: Fields, task_id: str | None, error: str | None) -> None:
        for task in sorted(queue["tasks"].values(), key=by_number):
            if task["state"] != "dead" or task_id not in (None, task["id"]):
                continue
            if error is not None and error not in (task["error"] or ""):
                continue
            live = [
                each for each in queue["tasks"].values() if each["state"] in ("scheduled", "ready", "leased")
            ]
            if task["unique"] is not None and task["unique"] in [each["unique"] for each in live]:
                continue
            peers = [each for each in live if task["group"] is not None and each["group"] == task["group"]]
            if peers and peers[0]["priority"] != task["priority"]:
                continue
            number = queue["last"] = self.number(queue)
            task.update(state="ready", until=None, failures=0, number=number, place=number)

    def remove(self, queue: Fields, task: Fields, verb: str, at: float) -> None:
        del queue["tasks"][task["id"]]
        queue["expired"] += verb == "expire"
        self.remember(queue, task["id"], at, verb, task["deliveries"], task["token"])

    def remember(
        self, queue: Fields, task_id: str, at: float, verb: str, deliveries: int, token: str
    ) -> None:
        gone = [each for each in queue["gone"] if each["id"] != task_id]
        gone.append({"id": task_id, "at": at, "settled": verb, "deliveries": deliveries, "token": token})
        while gone and (len(gone) > self.most or at - gone[0]["at"] >= self.window):
            gone.pop(0)
        queue["gone"] = gone

    @staticmethod
    def number(queue: Fields) -> int:
        number: int = queue["next"]
        queue["next"] += 1
        return number

    def line(self, queue: Fields) -> list[str]:
        """Return the ready tasks in the order in which they would be claimed."""
        tasks = sorted(queue["tasks"].values(), key=by_number)
        heads: dict[str, str] = {}
        for task in tasks:
            if task["group"] is not None and task["state"] in LIVE:
                heads.setdefault(task["group"], task["id"])
        free = [task for task in tasks if task["group"] is None or heads.get(task["group"]) == task["id"]]
        ready = [task for task in free if task["state"] == "ready"]
        return [task["id"] for task in sorted(ready, key=lambda t: (-t["priority"], t["place"], t["number"]))]


def as_read(text: str, window: float, most: int) -> Fields:
    """Return what a reader makes of a store, in the words in which the library tells it."""
    reader = Reader(text, window, most)
    return {
        name: {
            "tasks": [as_record(name, task) for task in sorted(queue["tasks"].values(), key=by_number)],
            "line": reader.line(queue),
            "gone": [gone | ({} if gone["token"] else {"deliveries": 0}) for gone in queue["gone"]],
            "paused": queue["paused"],
            "expired": queue["expired"],
            "fence": queue["fence"],
            "note": queue["note"],
        }
        for name, queue in reader.queues.items()
        if name != "*"
    }


def as_record(queue: str, task: Fields) -> Fields:
    """Return a task as verbs of reading tell of it."""
    renamed = {
        "task_id": task["id"],
        "queue": queue,
        "attempt": task["failures"] + (task["state"] != "dead"),
        "expires_at": None if task["expires_in"] is None else task["put_at"] + task["expires_in"],
        "receipt": None if task["token"] is None else f"{task['deliveries']}.{task['token']}.{task['id']}",
    }
    inner = ("id", "failures", "expires_in", "token", "history")
    rest = {name: value for name, value in task.items() if name not in inner}
    return renamed | rest | {"failures": task["history"]}


def cut(text: str | None, most: int) -> str | None:
    """Return a text with its middle cut out if it is longer than ``most`` characters."""
    if text is None or len(text) <= most:
        return text
    half = most // 2 - 16
    return f"{text[:half]}\n… cut …\n{text[-half:]}"


def by_number(task: Fields) -> int:
    number: int = task["number"]
    return number
