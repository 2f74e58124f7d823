"""What was sold is summed up, once for each night."""

from __future__ import annotations

import json

import pytest

from tests.examples.conftest import ON_A_SERVER, Example

pytestmark = pytest.mark.slow

EXAMPLE = "nightly"


@ON_A_SERVER
def test_sales_are_summed_up(example: Example) -> None:
    example.python("shop.py", "coffee", "2.40")
    example.python("shop.py", "cake", "3.10")
    example.work("shop:app")
    assert "nightly_report" in example.python("-m", "distqueue", "schedules")
    example.python("-m", "distqueue", "schedules", "run", "nightly_report")
    example.work("shop:app")
    (report,) = (example.folder / "reports").iterdir()
    assert json.loads(report.read_text()) == {"sales": 2, "total": "5.50"}
