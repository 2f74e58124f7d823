"""What a measuring says: figures that programs can read, and a picture that is well-formed."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from distqueue.bench.loads import InTurn
from distqueue.bench.plot import check_plot, svg, write_plot
from distqueue.bench.processes import Together
from distqueue.bench.raw import limits
from distqueue.bench.report import (
    BenchReport,
    LimitFound,
    Machine,
    Measure,
    Outcome,
    Skipped,
    Spread,
    Versions,
    ratio,
)
from distqueue.bench.run import Bench, Load
from distqueue.bench.samples import WAKE_UP, Sample
from distqueue.bench.stores import subject_of
from distqueue.bench.waking import Waking
from distqueue.errors import ConfigError
from distqueue.urls import parse_url

pytestmark = pytest.mark.slow

STORE = 'json, <b>&amp;"</b>'
MANUAL = Path(__file__).parents[2] / "docs" / "howto" / "measure.md"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BenchReport:
    """What a short measuring of two stores found; the name of one could be taken for XML."""
    place = tmp_path_factory.mktemp("bench")
    subjects = [
        subject_of(parse_url(f"json:///{place}/Queue.json"))._replace(name=STORE),
        subject_of(parse_url("memory://")),
    ]
    loads: list[Load] = [InTurn(100, 1), InTurn(100, 5), Waking(100), Together(100, 1, 2, 1)]
    steps: list[int] = []
    found = Bench(subjects, loads, limits([100], [1]), str(place), 0.2, 2).run(steps.append, "ext4")
    assert steps == list(range(1, 2 * (2 * 4 + 3) + 1))
    return found


def test_programs_can_read_it(report: BenchReport) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=BenchReport) == report
    assert report.format == 1
    assert report.rounds == 2


def test_there_is_a_measure_for_each_store_and_load(report: BenchReport) -> None:
    found = [(each.measure, each.store, each.batch) for each in report.measures]
    assert found == [
        ("put", STORE, 1),
        ("put", "memory://", 1),
        ("get and ack", STORE, 1),
        ("get and ack", "memory://", 1),
        ("put", STORE, 5),
        ("put", "memory://", 5),
        ("get and ack", STORE, 5),
        ("get and ack", "memory://", 5),
        (WAKE_UP, STORE, 1),
        ("put by all", STORE, 1),
        ("get and ack by all", STORE, 1),
    ]
    assert [each.store for each in report.skipped] == ["memory://", "memory://"]
    assert len(report.limits) == 3


def test_each_figure_has_its_durability_and_its_spread(report: BenchReport) -> None:
    for each in report.measures:
        assert each.durability == ("memory" if each.store == "memory://" else "fsync")
        assert 0 <= each.p50 <= each.p99
        if each.store != "memory://":  # of several processes, one may come to nothing in a short time
            assert each.ratio == Spread(1.0, 1.0, 1.0) or (each.ratio is None and each.publishers)
        if each.measure == WAKE_UP:
            assert each.tasks_per_second is None
            assert each.bytes_per_second is None
        else:
            rate = each.tasks_per_second
            assert rate is not None
            assert 0 <= rate.lowest <= rate.median <= rate.highest
            assert rate.median or each.publishers
            assert each.bytes_per_second == rate.median * 100


def test_every_field_is_described() -> None:
    text = MANUAL.read_text()
    for kind in (BenchReport, Measure, Spread, Outcome, LimitFound, Skipped, Versions, Machine):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text, f"{kind.__name__}.{name}"


def test_the_picture_is_well_formed(report: BenchReport) -> None:
    root = ElementTree.fromstring(svg(report))  # noqa: S314 - it is our own
    name = "{http://www.w3.org/2000/svg}"
    texts = [text.text or "" for text in root.iter(f"{name}text")]
    assert STORE in texts
    assert sum("p99" in text for text in texts) == len(report.measures) + len(report.limits)
    bars = [bar for bar in root.iter(f"{name}rect") if bar.get("class") == "bar"]
    height = float(root.attrib["height"])
    assert len(bars) == len(report.measures) + len(report.limits)
    for bar in bars:
        assert 0 < float(bar.attrib["width"]) <= 250
        assert 0 < float(bar.attrib["y"]) < height
    style = root.find(f"{name}style")
    assert style is not None
    assert re.search(r"@media\(prefers-color-scheme:dark\)", style.text or "")


def test_a_picture_replaces_a_picture_and_nothing_else(report: BenchReport, tmp_path: Path) -> None:
    file = tmp_path / "plot.svg"
    for _ in range(2):
        check_plot(str(file))
        write_plot(str(file), report)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    file.write_text('{"distqueue": 1}')
    with pytest.raises(ConfigError, match="is no SVG"):
        check_plot(str(file))
    with pytest.raises(ConfigError, match="is no SVG"):
        check_plot("/dev/null")
    with pytest.raises(ConfigError, match="not a directory to write into"):
        check_plot(str(tmp_path / "nowhere" / "plot.svg"))


def test_a_round_in_which_the_first_store_got_nothing_done_does_not_count() -> None:
    nothing, some = Sample("put", 0, 0.1, []), Sample("put", 10, 0.1, [0.1])
    assert ratio([some, some], [nothing, some]) == Spread(1.0, 1.0, 1.0)
    assert ratio([some], [nothing]) is None
    assert ratio([nothing], [some]) == Spread(0.0, 0.0, 0.0)


def test_a_longer_wake_up_is_a_smaller_ratio() -> None:
    slow, fast = Sample(WAKE_UP, 1, 0.02, [0.02]), Sample(WAKE_UP, 1, 0.01, [0.01])
    assert ratio([slow], [fast]) == Spread(0.5, 0.5, 0.5)
