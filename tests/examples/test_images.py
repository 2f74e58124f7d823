"""Every picture has its thumbnails, and a place on its album's sheet, whoever made them at the same time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from distqueue import Queue
from tests.examples.conftest import ON_A_SERVER, Example

pytestmark = pytest.mark.slow

EXAMPLE = "images"
ALBUMS = ("sea", "hills")
COUNT = 10


def draw(folder: Path) -> list[Path]:
    """Draw some pictures in each album."""
    paths = []
    for album in ALBUMS:
        (folder / album).mkdir(parents=True)
        for number in range(COUNT):
            paths.append(folder / album / f"{number}.jpg")
            Image.new("RGB", (640, 480), (number * 20, 100, 50)).save(paths[-1])
    return paths


@ON_A_SERVER
def test_a_folder_of_pictures_goes_through_the_pipeline(example: Example) -> None:
    draw(example.folder / "pictures")
    (example.folder / "pictures" / "sea" / "notes.txt").write_text("no picture")
    assert example.python("pipeline.py", "pictures").startswith("21 files enqueued")
    example.work("pipeline:app", "--processes", "2", "--concurrency", "4")

    for album in ALBUMS:
        made = example.folder / "thumbnails" / album
        names = {f"{number}-{width}.png" for number in range(COUNT) for width in (64, 256)}
        assert {path.name for path in made.iterdir()} == names | {"sheet.png", "sheet.json"}
        with Image.open(made / "3-256.png") as thumbnail:
            assert thumbnail.size == (256, 192)
        on_the_sheet = json.loads((made / "sheet.json").read_text())
        assert sorted(on_the_sheet) == [f"pictures/{album}/{number}.jpg" for number in range(COUNT)]
        with Image.open(made / "sheet.png") as sheet:
            assert sheet.size == (8 * 64, 2 * 64)

    with Queue(example.store) as queue:
        assert queue.stats().ready == 0
        [dead] = queue.dead()
    assert dead.error == "pictures/sea/notes.txt is no picture"


def test_to_run_it_again_changes_nothing(example: Example) -> None:
    draw(example.folder / "pictures")
    for _ in range(2):
        example.python("pipeline.py", "pictures")
        example.work("pipeline:app")
    for album in ALBUMS:
        sheet = example.folder / "thumbnails" / album / "sheet.json"
        assert len(json.loads(sheet.read_text())) == COUNT
