"""The campaign of kills, as it is run from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distqueue.conformance import campaign
from distqueue.conformance.crew import Plan
from distqueue.errors import Unsupported

KILLS = 4


def url_in(directory: Path) -> str:
    return f"json:///{directory}/Queue.json"


def see_the_file(url: str) -> None:
    """A hook that finds nothing wrong."""
    json.loads(Path(url.removeprefix("json:///")).read_bytes())


def complain(url: str) -> None:
    """A hook that finds something wrong."""
    raise ValueError(f"{url} is not good enough")


def test_a_campaign_reports_what_it_did(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    histories = tmp_path / "histories"
    histories.mkdir()
    arguments = [url_in(tmp_path), "--kills", str(KILLS), "--publishers", "2", "--consumers", "1"]
    arguments += ["--lease", "0.5", "--gap", "0.02", "--seed", "7", "--histories", str(histories)]
    arguments += ["--after-kill", f"{__name__}:see_the_file"]
    assert campaign.main(arguments) == 0
    report = json.loads(capfdbinary.readouterr().out)
    assert (report["verdict"], report["seed"]) == ("VALID", 7)
    assert sum(report["kills"].values()) == report["counts"]["kills"] == KILLS
    assert report["counts"]["acknowledged"] <= report["counts"]["acked"] + report["counts"]["delivered"]
    assert len(list(histories.iterdir())) == 1 + 3 + KILLS


def test_a_hook_that_complains_fails_the_campaign(tmp_path: Path) -> None:
    plan = Plan(
        url=url_in(tmp_path), directory=str(tmp_path), kills=1, publishers=1, consumers=1, lease=0.2, gap=0.01
    )
    report = campaign.run(plan, complain)
    assert not report.valid
    assert report.failures == [f"ValueError: {url_in(tmp_path)} is not good enough"]


def test_a_process_that_ends_by_itself_fails_the_campaign(tmp_path: Path) -> None:
    def ruin_the_store(url: str) -> None:
        with open(url.removeprefix("json:///"), "r+b") as file:
            file.write(b"no store any more")

    plan = Plan(
        url=url_in(tmp_path),
        directory=str(tmp_path),
        kills=50,
        publishers=1,
        consumers=1,
        lease=0.2,
        gap=0.05,
    )
    report = campaign.run(plan, ruin_the_store)
    assert not report.valid
    assert any("ended by itself" in failure and "Queue.json" in failure for failure in report.failures)


def test_a_backend_that_is_not_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="not shared between processes"):
        campaign.run(Plan(url="memory://x", directory=str(tmp_path)))
