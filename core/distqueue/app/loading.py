"""Finding an app by what a user types: ``package.module:app``."""

from __future__ import annotations

import importlib
import os
import sys

from distqueue.app.app import App
from distqueue.errors import ConfigError


def full_name(spec: str) -> str:
    """Return a spec with both of its parts: ``module`` stands for ``module:app``."""
    module_name, _, path = spec.partition(":")
    return f"{module_name}:{path or 'app'}"


def load_app(spec: str) -> App:
    """Import the module that a spec names and return its app; ``module`` stands for ``module:app``.

    Modules of the working directory are found, too.

    Raises:
        ConfigError: there is no such module, or no such app in it. What the module raises passes through.
    """
    module_name, _, path = spec.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports one that is not
        raise ConfigError(
            f"there is no module {module_name!r} in {here} or where Python looks; "
            "name the app as in `distqueue work package.module:app`"
        ) from error
    for name in (path or "app").split("."):
        if not hasattr(found, name):
            raise ConfigError(f"{module_name} has no {path or 'app'!r}; name the app as in module:app")
        found = getattr(found, name)
    if not isinstance(found, App):
        raise ConfigError(f"{spec} is a {type(found).__name__}, not an App of distqueue")
    return found
