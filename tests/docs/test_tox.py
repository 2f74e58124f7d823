"""``tox.ini`` says the same as ``pyproject.toml`` where both say something."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_lowest_versions_are_those_that_are_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    allowed = [*project["dependencies"], *extras["conformance"], *extras["postgresql"]]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    tried = [
        line.replace('"', "'")
        for line in tox["testenv:lowest"]["deps"].split("\n")
        if "==" in re.sub(";.*", "", line)
    ]
    lowest = [re.sub(r",<[0-9.]+", "", each).replace(">=", "==", 1) for each in allowed]
    assert sorted(tried) == sorted(lowest)
