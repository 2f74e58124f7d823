"""The web application: it takes orders, and tells what has become of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

from orders import app, send_receipt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from distqueue import InvalidTask, TaskState


async def take_order(request: Request) -> Response:
    """Answer once the task is on the disk; what many ask for at the same time is one write."""
    try:
        order = await request.json()
        receipt = send_receipt.options(task_id=f"receipt-{order['order']}")
        stored = await receipt.enqueue_async(**order)
    except (InvalidTask, KeyError, TypeError, ValueError) as error:
        return PlainTextResponse(f"this is no order: {error}\n", 400)
    page = request.url_for("status", task_id=stored.task_id)
    return PlainTextResponse(f"see {page}\n", 202, {"Location": str(page)})


def status(request: Request) -> Response:
    """Show how far a task is. Not a coroutine, so it runs in a thread: ``find`` asks the store."""
    task = app.queue().find(request.path_params["task_id"])
    if task is None:
        return PlainTextResponse("there is no such task (any more)\n", 404)
    is_over = task.state in (TaskState.DONE, TaskState.DEAD)
    again = "" if is_over else '<meta http-equiv="refresh" content="2">'
    error = f"<p>{escape(task.error)}</p>" if task.error else ""
    return HTMLResponse(f"<!doctype html>{again}<h1>{task.state}</h1><p>attempt {task.attempt}</p>{error}")


@asynccontextmanager
async def lifespan(web: Starlette) -> AsyncIterator[None]:
    """Close the store at the end; it is opened with the first order, in each process by itself."""
    with app:
        yield


web = Starlette(
    routes=[
        Route("/orders", take_order, methods=["POST"]),
        Route("/tasks/{task_id}", status),
    ],
    lifespan=lifespan,
)
