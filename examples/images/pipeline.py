"""Thumbnails and contact sheets of the pictures in a folder.

python pipeline.py FOLDER
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from distqueue import App, RejectTask, current_delivery

app = App()
WIDTHS = (64, 256)
CELL = 64
COLUMNS = 8


@app.task(timeout=60)
def add_picture(path: str) -> None:
    """Look at a picture, and have the rest done: all of it is stored with this task's end, or nothing."""
    album = Path(path).parent.name
    try:
        with Image.open(path) as picture:
            picture.verify()
    except UnidentifiedImageError as error:
        raise RejectTask(f"{path} is no picture") from error
    current_delivery().then(
        *(make_thumbnail.task(path, width) for width in WIDTHS),
        add_to_sheet.options(group=f"sheet of {album}").task(path),
    )


@app.task(timeout=60)
def make_thumbnail(path: str, width: int) -> None:
    """Write one thumbnail."""
    with Image.open(path) as picture:
        picture.thumbnail((width, width))
        save(picture, folder_of(path) / f"{Path(path).stem}-{width}.png")


@app.task(timeout=60)
def add_to_sheet(path: str) -> None:
    """Put a picture on the sheet of its album. Its group lets no two of these run at the same time."""
    folder = folder_of(path)
    index = folder / "sheet.json"
    paths = json.loads(index.read_text()) if index.exists() else []
    if path not in paths:  # it may be, if this ran before and could not say so
        paths.append(path)
    save(sheet(paths), folder / "sheet.png")
    replace(index, json.dumps(paths).encode())


def sheet(paths: list[str]) -> Image.Image:
    """Return a contact sheet."""
    rows = -(-len(paths) // COLUMNS)
    drawn = Image.new("RGB", (COLUMNS * CELL, rows * CELL), "white")
    for at, path in enumerate(paths):
        with Image.open(path) as picture:
            picture.thumbnail((CELL, CELL))
            drawn.paste(picture, (at % COLUMNS * CELL, at // COLUMNS * CELL))
    return drawn


def folder_of(path: str) -> Path:
    """Return where the thumbnails of a picture's album go."""
    folder = Path("thumbnails") / Path(path).parent.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture."""
    data = BytesIO()
    picture.save(data, "PNG")
    replace(path, data.getvalue())


def replace(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    unfinished = path.with_suffix(f".{current_delivery().task_id}")
    unfinished.write_bytes(data)
    unfinished.replace(path)


if __name__ == "__main__":
    found = sorted(str(path) for path in Path(sys.argv[1]).rglob("*") if path.is_file())
    stored = add_picture.enqueue_many([(path,) for path in found])
    print(f"{len(stored)} files enqueued; run: distqueue work pipeline:app")
