"""Histories are written in whole lines, and what a kill tears is left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from distqueue.conformance.history import Recorder, payload_checksum, read_events, read_history

from .histories import good_history


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.jsonl", "a")
    recorder.record(good_history()[:10])
    recorder.record(good_history()[10:])
    recorder.close()
    assert list(read_events(tmp_path / "a.jsonl")) == good_history()


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    recorder = Recorder(path, "a")
    recorder.record(good_history()[:3])
    recorder.close()
    whole = path.read_bytes()
    last_line = whole[: whole.rstrip(b"\n").rfind(b"\n") + 1]
    for size in range(len(last_line), len(whole)):
        path.write_bytes(whole[:size])
        assert list(read_events(path)) == good_history()[:2]


def test_an_empty_history_has_no_events(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert list(read_events(tmp_path / "a.jsonl")) == []


def test_histories_of_several_processes_are_put_in_order(tmp_path: Path) -> None:
    for name, part in (("a", good_history()[::2]), ("b", good_history()[1::2])):
        recorder = Recorder(tmp_path / f"{name}.jsonl", name)
        recorder.record(part)
        recorder.close()
    events = read_history(sorted(tmp_path.glob("*.jsonl")))
    assert [event.at for event in events] == [event.at for event in good_history()]


def test_the_checksum_is_that_of_the_value() -> None:
    assert payload_checksum(b'{"a":1,"b":[1,2]}') == payload_checksum(b'{ "b": [1, 2],\n "a": 1 }')
    assert payload_checksum(b"1") != payload_checksum(b"2")


def test_the_checker_and_the_campaign_need_no_pytest() -> None:
    code = (
        "import sys, distqueue.conformance.campaign, distqueue.conformance.consumer; "
        "assert 'pytest' not in sys.modules and 'hypothesis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
