"""``python -m distqueue``: the same as the command ``distqueue``."""

from __future__ import annotations

import sys

from distqueue.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
