"""The plugins of a process: found lazily, imported only when named, and each on its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from threading import RLock
from typing import Any, Final

import msgspec
import pluggy

from distqueue.errors import ConfigError
from distqueue.forking import whole_imports
from distqueue.options import choices
from distqueue.plugins.checks import check_contract, check_hooks, spec_for, specs_of
from distqueue.plugins.discovery import BACKENDS, OBSERVERS, Installed, canonical, find_installed
from distqueue.plugins.events import Event
from distqueue.plugins.hookspecs import OBSERVING_HOOKS, Hooks
from distqueue.plugins.report import (
    IN_PROCESS,
    STATUS_OF,
    BackendPlugin,
    BackendRow,
    BackendStatus,
    PluginProblem,
    ProblemKind,
    Unusable,
)
from distqueue.plugins.spec import BackendSpec
from distqueue.plugins.unknown import unknown_backend

BUILT_IN: Final = "distqueue"
"""The distribution whose backends nobody can shadow."""

log = logging.getLogger("distqueue.plugins")

type Verdict = BackendPlugin | PluginProblem


class Plugins:
    """The plugins of a process. Nothing is searched or imported before it is asked for.

    ``DISTQUEUE_DISABLE_PLUGINS=a,b`` switches off the plugins of the distributions a and b. All
    methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("distqueue")
        self._manager.add_hookspecs(Hooks)
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._own: dict[str, tuple[object, BackendPlugin]] = {}
        self._lock = RLock()

    # --- Backends -------------------------------------------------------------------------------

    def resolve(self, scheme: str) -> BackendPlugin:
        """Return the backend for a URL scheme, importing the plugin of that name and no other.

        Raises:
            UnknownBackend: no plugin serves the scheme.
            PluginError: the one that does is broken, incompatible or in conflict with another.
        """
        with self._alone():
            if scheme in self._own:
                return self._own[scheme][1]
            claims = self._claims(scheme)
            if not claims:
                raise unknown_backend(scheme, self.schemes(), self._switched_off(scheme))
            verdict = self._judge(claims[0])
        if isinstance(verdict, PluginProblem):
            raise verdict.error() from verdict.cause
        return verdict

    def schemes(self) -> list[str]:
        """Return the schemes that plugins claim, in order, without importing any."""
        with self._alone():
            return sorted({*self._own, *(one.name for one in self._enabled)})

    def backends(self) -> list[BackendRow]:
        """Return every backend for a listing, loading each plugin (but no client library) apart."""
        with self._alone():
            rows = [self._row(one) for one in self._found[0]]
            rows += [_row_of(plugin) for _, plugin in self._own.values()]
            rows += [_row_of(problem) for problem in self._found[1]]
        return sorted(rows, key=lambda row: (row.scheme, row.distribution != BUILT_IN, row.distribution))

    @property
    def problems(self) -> list[PluginProblem]:
        """What has been found wrong with backends so far."""
        with self._alone():
            met = [one for one in self._verdicts.values() if isinstance(one, PluginProblem)]
            return met + self._found[1]

    # --- Plugins of the program itself ----------------------------------------------------------

    def register(self, plugin: object) -> None:
        """Add a module or an object with hooks: a backend or an observer of the program itself.

        Stores that are already open are not observed by it.

        Raises:
            PluginError: it is registered already, is not what a plugin has to be, or has a backend
                for a scheme that is taken.

        >>> class Printer:
        ...     @hookimpl
        ...     def distqueue_put(self, event):
        ...         print(event)
        >>> installed_plugins().register(Printer())          # doctest: +SKIP
        """
        name = getattr(plugin, "__name__", type(plugin).__name__)
        with self._alone():
            try:
                if self._manager.is_registered(plugin):
                    raise Unusable(ProblemKind.VALIDATION, "it is registered already")
                with self._registered(plugin, f"{IN_PROCESS}:{name}:{id(plugin):x}"):
                    own = dict(self._own_backends(plugin))
            except Unusable as fault:
                raise _problem(name, IN_PROCESS, "", fault).error() from fault.__cause__
            self._own |= own

    def unregister(self, plugin: object) -> None:
        """Take back what ``register`` added; a plugin that is not registered is ignored."""
        with self._alone():
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            self._own = {scheme: own for scheme, own in self._own.items() if own[0] is not plugin}

    # --- Observers ------------------------------------------------------------------------------

    def load_observers(self, names: Sequence[str]) -> None:
        """Import and register the installed observers of these names; a loaded one stays as it is.

        Raises:
            ConfigError: no installed observer has the name.
            PluginError: it is broken, or two distributions have it.
        """
        with self._alone():
            for name in names:
                self._load_observer(name)

    @property
    def is_observed(self) -> bool:
        """Whether any plugin is to be told what is done to stores."""
        return any(self.has_observers(hook) for hook in OBSERVING_HOOKS)

    def has_observers(self, hook: str) -> bool:
        """Tell whether any plugin implements this hook."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def notify(self, hook: str, event: Event) -> None:
        """Tell all who implement an observing hook; an error of one is logged and goes no further."""
        self.ask(hook, event)

    def ask(self, hook: str, event: Event) -> list[Any]:
        """Return what those who implement an observing hook answer; one that fails answers nothing."""
        answers = []
        for one in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                answer = one.function(*[event][: len(one.argnames)])
            except (Exception, SystemExit):  # an observer must not end what others wait for
                log.exception("%s of the observer %s failed", hook, one.plugin_name)
            else:
                if answer is not None:
                    answers.append(answer)
        return answers

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread at a time change what is known; a fork waits for it."""
        with whole_imports(), self._lock:
            yield

    def _leave_threads(self) -> None:
        """Be usable in a process that a fork has made, whatever a thread of the parent did for too long."""
        self._lock = RLock()

    # --- What is installed ----------------------------------------------------------------------

    @cached_property
    def _found(self) -> tuple[list[Installed], list[PluginProblem]]:
        return find_installed(BACKENDS)

    @cached_property
    def _found_observers(self) -> list[Installed]:
        return [one for one in find_installed(OBSERVERS)[0] if one.distribution not in self._disabled]

    @cached_property
    def _disabled(self) -> frozenset[str]:
        names = os.environ.get("DISTQUEUE_DISABLE_PLUGINS", "").split(",")
        return frozenset(canonical(name) for name in names)

    @property
    def _enabled(self) -> list[Installed]:
        return [one for one in self._found[0] if one.distribution not in self._disabled]

    def _claims(self, scheme: str) -> list[Installed]:
        """Return those that serve a scheme, ours first."""
        return _ours_first(one for one in self._enabled if one.name == scheme)

    def _switched_off(self, scheme: str) -> list[Installed]:
        return [one for one in self._found[0] if one.name == scheme and one.distribution in self._disabled]

    # --- Loading --------------------------------------------------------------------------------

    def _judge(self, installed: Installed) -> Verdict:
        """Load one backend plugin, once, or say why it cannot be used."""
        key = (installed.key, installed.entry_point.value)
        if key not in self._verdicts:
            try:
                self._verdicts[key] = self._load_backend(installed)
            except Unusable as fault:
                name, version = installed.distribution, installed.version
                self._verdicts[key] = _problem(installed.name, name, version, fault)
        return self._verdicts[key]

    def _load_backend(self, installed: Installed) -> BackendPlugin:
        _refuse_conflict(installed, self._claims(installed.name))
        plugin = _import(installed)
        with self._registered(plugin, installed.key):
            spec = spec_for(installed.name, self._specs(plugin))
        return BackendPlugin(
            scheme=installed.name, distribution=installed.distribution, version=installed.version, spec=spec
        )

    def _load_observer(self, name: str) -> None:
        claims = _ours_first(one for one in self._found_observers if one.name == name)
        if not claims:
            existing = {one.name for one in self._found_observers}
            raise ConfigError(f"no observer {name!r} is installed; {choices(name, existing)}")
        try:
            _refuse_conflict(claims[0], claims)
            with self._registered(_import(claims[0]), claims[0].key):
                pass
        except Unusable as fault:
            problem = _problem(name, claims[0].distribution, claims[0].version, fault)
            raise problem.error() from fault.__cause__

    @contextmanager
    def _registered(self, plugin: object, key: str) -> Iterator[None]:
        """Register a plugin, and take it back if it is refused in the end.

        Several entry points may name one module: it is registered for the first of them.
        """
        if self._manager.is_registered(plugin):
            yield
            return
        try:
            self._admit(plugin, key)
            yield
        except BaseException:
            # Before pluggy 1.7, a plugin that fails half-way stays registered.
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise

    def _admit(self, plugin: object, key: str) -> None:
        try:
            check_hooks(self._manager, plugin)
            self._manager.register(plugin, key)
        except Unusable:
            raise
        except Exception as error:
            reason = f"its hooks cannot be read ({type(error).__name__}: {error})"
            raise Unusable(ProblemKind.VALIDATION, reason) from error

    def _specs(self, plugin: object) -> list[BackendSpec]:
        for hook in self._manager.hook.distqueue_backends.get_hookimpls():
            if hook.plugin is plugin:
                return specs_of(hook.function)
        return []

    def _own_backends(self, plugin: object) -> Iterator[tuple[str, tuple[object, BackendPlugin]]]:
        for spec in self._specs(plugin):
            check_contract(spec)
            for scheme in spec.schemes:
                if scheme in self.schemes():
                    reason = f"the scheme {scheme!r} is taken; use another"
                    raise Unusable(ProblemKind.CONFLICT, reason)
                own = BackendPlugin(scheme=scheme, distribution=IN_PROCESS, version="", spec=spec)
                yield scheme, (plugin, own)

    def _row(self, installed: Installed) -> BackendRow:
        if installed.distribution in self._disabled:
            return BackendRow(
                scheme=installed.name,
                status=BackendStatus.DISABLED,
                distribution=installed.distribution,
                version=installed.version,
                reason="switched off by DISTQUEUE_DISABLE_PLUGINS",
            )
        verdict = self._judge(installed)
        row = _row_of(verdict)
        if isinstance(verdict, PluginProblem):
            return row
        lost = [scheme for scheme in verdict.spec.schemes if not self._claims(scheme)]
        reason = f"no URL reaches {', '.join(map(repr, lost))}: it needs an entry point of that name"
        return msgspec.structs.replace(row, reason=reason) if lost else row


_INSTALLED: Final = Plugins()
os.register_at_fork(after_in_child=_INSTALLED._leave_threads)


def installed_plugins() -> Plugins:
    """Return the plugins of this process, which every URL is resolved with."""
    return _INSTALLED


def _ours_first(claims: Iterable[Installed]) -> list[Installed]:
    return sorted(claims, key=lambda one: one.distribution != BUILT_IN)


def _import(installed: Installed) -> object:
    try:
        return installed.entry_point.load()
    except (Exception, SystemExit) as error:
        reason = f"it cannot be imported ({type(error).__name__}: {error})"
        is_missing = isinstance(error, ModuleNotFoundError)
        raise Unusable(ProblemKind.IMPORT, reason, installed.pip_line if is_missing else "") from error


def _refuse_conflict(installed: Installed, claims: Sequence[Installed]) -> None:
    """Refuse a plugin whose name another one has as well; ours keep theirs."""
    if len(claims) < 2 or installed.distribution == BUILT_IN:
        return
    takers = claims[:1] if claims[0].distribution == BUILT_IN else claims
    labels = " and ".join(one.label for one in takers)
    raise Unusable(ProblemKind.CONFLICT, f"the name {installed.name!r} is taken by {labels}")


def _problem(name: str, distribution: str, version: str, fault: Unusable) -> PluginProblem:
    return PluginProblem(
        kind=fault.kind,
        name=name,
        distribution=distribution,
        version=version,
        reason=fault.reason,
        remedy=fault.remedy,
        cause=fault.__cause__,
    )


def _row_of(verdict: Verdict) -> BackendRow:
    if isinstance(verdict, PluginProblem):
        return BackendRow(
            scheme=verdict.name,
            status=STATUS_OF[verdict.kind],
            distribution=verdict.distribution,
            version=verdict.version,
            reason=verdict.reason,
        )
    return BackendRow(
        scheme=verdict.scheme,
        status=BackendStatus.OK,
        distribution=verdict.distribution,
        version=verdict.version,
        summary=verdict.spec.summary,
        capabilities=verdict.spec.capabilities,
    )
