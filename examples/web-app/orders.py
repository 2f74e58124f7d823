"""What is done about an order, after the customer has been answered."""

from __future__ import annotations

import os

from distqueue import App

app = App(queue="orders")


@app.task
def send_receipt(order: str, to: str) -> None:
    """Write a receipt into the outbox; where it is sent to, mails go out."""
    if "@" not in to:
        raise ValueError(f"{to} is no address")
    os.makedirs("outbox", exist_ok=True)
    with open(f"outbox/{order}.txt", "w") as letter:  # twice is the same as once
        letter.write(f"To: {to}\n\nThank you for your order {order}.\n")
