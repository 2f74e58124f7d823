"""A shop that notes its sales, and sums them up at night."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from distqueue import App, current_delivery

app = App()
SALES = Path("sales.jsonl")
REPORTS = Path("reports")


@app.task
def note_sale(article: str, price: Decimal, at: datetime) -> None:
    """Note a sale; to note it twice would count it twice, so its task's id goes with it."""
    sale = {"id": current_delivery().task_id, "article": article, "price": str(price), "at": at.isoformat()}
    with SALES.open("a") as file:
        file.write(json.dumps(sale) + "\n")


@app.schedule("30 3 * * *", timezone="Europe/Berlin", missed="one")
@app.task(queue="reports", max_attempts=10)
def nightly_report() -> None:
    """Sum up what was sold until now, into a file named by the task: the same one when it is retried."""
    lines = SALES.read_text().splitlines() if SALES.exists() else []
    sales = {sale["id"]: Decimal(sale["price"]) for sale in map(json.loads, lines)}
    REPORTS.mkdir(exist_ok=True)
    report = {"sales": len(sales), "total": str(sum(sales.values(), Decimal(0)))}
    (REPORTS / f"{current_delivery().task_id}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    note_sale.enqueue(sys.argv[1], Decimal(sys.argv[2]), datetime.now(UTC))
    app.close()
