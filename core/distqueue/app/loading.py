"""Finding an app by what a user types: ``package.module:app``."""

from __future__ import annotations

import importlib
import os
import sys
from traceback import StackSummary, TracebackException
from typing import Final

from distqueue.app.app import App
from distqueue.delivery import error_text
from distqueue.errors import ConfigError

_OURS: Final = os.path.dirname(os.path.dirname(__file__))


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
    if module_name.endswith(".py") or os.sep in module_name:
        dotted = module_name.removesuffix(".py").strip("./").replace(os.sep, ".")
        raise ConfigError(f"{module_name} is a file; name its module: {dotted}:{path or 'app'}")
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
    module = found
    for name in (path or "app").split("."):
        if not hasattr(found, name):
            raise ConfigError(f"{module_name} has no {path or 'app'!r}; {_apps_of(module)}")
        found = getattr(found, name)
    if not isinstance(found, App):
        raise ConfigError(f"{spec} is a {type(found).__name__}, not an App of distqueue")
    return found


def told_of_import(error: BaseException) -> str:
    """Return in one line what a module raised when it was imported, and where; print the whole of it."""
    whole = TracebackException.from_exception(error)
    whole.stack = StackSummary.from_list([frame for frame in whole.stack if _is_theirs(frame.filename)])
    print("".join(whole.format()), end="", file=sys.stderr, flush=True)
    text = error_text(error).splitlines()[-1]
    return f"{text} ({whole.stack[-1].filename}:{whole.stack[-1].lineno})" if whole.stack else text


def _is_theirs(filename: str) -> bool:
    return not filename.startswith(("<frozen ", _OURS, os.path.dirname(importlib.__file__)))


def _apps_of(module: object) -> str:
    apps = [name for name, value in vars(module).items() if isinstance(value, App)]
    name = getattr(module, "__name__", "module")
    return f"it has {', '.join(f'{name}:{one}' for one in apps)}" if apps else f"there is no App in {name}"
