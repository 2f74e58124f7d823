"""The app under test: its handlers write down what they do."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

from distqueue import App, Backoff, RejectTask, RetryTask, current_delivery

app = App("json:////no/such/place/Queue.json")
done: list[str] = []
mark: ContextVar[str] = ContextVar("mark", default="")


@dataclass
class Customer:
    """An argument that is not a JSON value."""

    name: str
    age: int = 0


@app.task(queue="emails", max_attempts=3, retry=Backoff(first=10, jitter=0))
def send_email(to: str, subject: str = "Hello") -> None:
    """Fail for those that are nowhere."""
    if to == "nobody":
        raise ConnectionError("no route to nobody")
    done.append(f"{subject} to {to}, attempt {current_delivery().attempt}")


@app.task
def greet(customer: Customer) -> None:
    """Enqueue in the commit of the ack."""
    current_delivery().then(send_email.task(customer.name))
    done.append(f"greeted {customer.name}")


@app.task
def greet_and_fail(name: str) -> None:
    """Ask for a follow-up, and fail."""
    current_delivery().then(send_email.task(name))
    raise ValueError("after all")


@app.task
async def fetch(page: str) -> None:
    """Do what needs an event loop."""
    await asyncio.sleep(0)
    await send_email.enqueue_async(page, subject="Fetched")
    done.append(f"fetched {page}, attempt {current_delivery().attempt}")


@app.task(timeout=0.01)
async def hang() -> None:
    """Never end."""
    await asyncio.Event().wait()


@app.task
def decide(verdict: str) -> None:
    """Say itself what becomes of the task."""
    if verdict == "reject":
        raise RejectTask("there is no such customer")
    if verdict == "retry" and current_delivery().attempt == 1:
        raise RetryTask("down for maintenance", delay=600)
    done.append(f"decided to {verdict}")


@app.task
def interrupted() -> None:
    """Be where Ctrl-C strikes."""
    raise KeyboardInterrupt


@app.task
def marked() -> None:
    """Tell what the thread of the test has set."""
    done.append(mark.get())
