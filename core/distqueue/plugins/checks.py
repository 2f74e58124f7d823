"""The checks that a plugin passes before it is used; they do not depend on pluggy's version."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pluggy

from distqueue.options import nearest
from distqueue.plugins.hookspecs import HOOKS, Hooks
from distqueue.plugins.report import ProblemKind, Unusable
from distqueue.plugins.spec import CONTRACT, BackendSpec, fault_of


def check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Refuse a plugin whose hooks distqueue cannot call.

    Raises:
        Unusable: it has none, or one is misspelt or takes what it will not be given.
    """
    hooks = list(_hooks_of(manager, plugin))
    if not hooks:
        raise _invalid("it has no hook; mark its functions with @distqueue.plugins.hookimpl")
    for name, function, options in hooks:
        if name in HOOKS:
            _check_function(name, function, options)
        elif not options.get("optionalhook"):
            near = nearest(name, HOOKS)
            guess = f"did you mean {near!r}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise _invalid(f"there is no hook {name!r}; {guess}")


def specs_of(function: Callable[[], Any]) -> list[BackendSpec]:
    """Return the specs that a plugin's ``distqueue_backends`` gives.

    Raises:
        Unusable: it raises, or gives something else, or a spec that is not what it has to be.
    """
    try:
        specs = list(function())
    except Exception as error:
        raise _invalid(f"distqueue_backends raised {type(error).__name__}: {error}") from error
    for spec in specs:
        if not isinstance(spec, BackendSpec):
            raise _invalid(f"distqueue_backends gave a {type(spec).__name__}, not a BackendSpec")
        if fault := fault_of(spec):
            raise _invalid(fault)
    return specs


def spec_for(scheme: str, specs: list[BackendSpec]) -> BackendSpec:
    """Return the spec that serves a scheme.

    Raises:
        Unusable: none does, or the one that does is for another contract.
    """
    for spec in specs:
        if scheme in spec.schemes:
            check_contract(spec)
            return spec
    others = ", ".join(repr(other) for spec in specs for other in spec.schemes)
    raise _invalid(f"it describes no backend for {scheme!r}" + (others and f", only for {others}"))


def check_contract(spec: BackendSpec) -> None:
    """Refuse a backend written for another contract than the one that this distqueue keeps.

    Raises:
        Unusable: it is.
    """
    if spec.contract != CONTRACT:
        reason = f"it is written for contract {spec.contract!r}, and this distqueue keeps {CONTRACT!r}"
        raise Unusable(ProblemKind.CONTRACT, reason)


def _hooks_of(
    manager: pluggy.PluginManager, plugin: object
) -> Iterator[tuple[str, Callable[..., Any], pluggy.HookimplOpts]]:
    for attribute in dir(plugin):
        if options := manager.parse_hookimpl_opts(plugin, attribute):
            yield options.get("specname") or attribute, getattr(plugin, attribute), options


def _check_function(name: str, function: Callable[..., Any], options: pluggy.HookimplOpts) -> None:
    if options.get("wrapper") or options.get("hookwrapper"):
        raise _invalid(f"{name} is a wrapper; plugins are called one at a time: there is nothing to wrap")
    if inspect.iscoroutinefunction(function):
        raise _invalid(f"{name} is a coroutine function; hooks are plain functions")
    wanted = [
        argument for argument in inspect.signature(getattr(Hooks, name)).parameters if argument != "self"
    ]
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if argument.name not in wanted:
            raise _invalid(_unknown_argument(name, argument.name, wanted))
        if argument.default is not argument.empty:
            raise _invalid(f"{name} gives its argument {argument.name!r} a default; leave the default out")


def _unknown_argument(name: str, argument: str, wanted: list[str]) -> str:
    takes = ", ".join(wanted) or "no argument"
    hint = " (is it a class? then name an instance of it)" if argument == "self" else ""
    return f"{name} has an argument {argument!r}, but the hook takes {takes}{hint}"


def _invalid(reason: str) -> Unusable:
    return Unusable(ProblemKind.VALIDATION, reason)
