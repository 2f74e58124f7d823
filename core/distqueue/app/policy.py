"""How a handler's failures are treated, and how long it may run."""

from __future__ import annotations

from typing import Any

import msgspec

from distqueue.errors import ConfigError
from distqueue.retry import Backoff
from distqueue.times import Duration, seconds


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What ``@app.task`` says of a handler besides the options of its tasks.

    ``timeout`` is in seconds (``None``: it may run for ever). ``retry`` is the backoff between attempts
    (``None``: that of the queue). An exception of a class in ``reject_on`` makes the task dead at once; if
    ``retry_on`` names any, so does every other exception that is not among them.
    """

    timeout: float | None = None
    retry: Backoff | None = None
    retry_on: tuple[type[BaseException], ...] = ()
    reject_on: tuple[type[BaseException], ...] = ()

    def retries(self, error: BaseException) -> bool:
        """Whether an attempt that ended so is followed by another one."""
        if isinstance(error, self.reject_on):
            return False
        return not self.retry_on or isinstance(error, self.retry_on)


def make_policy(
    name: str,
    timeout: Duration | None,
    retry: Backoff | None,
    retry_on: type[BaseException] | tuple[type[BaseException], ...],
    reject_on: type[BaseException] | tuple[type[BaseException], ...],
) -> Policy:
    """Return a policy, with what was given made into what it has to be.

    Raises:
        ConfigError: a value is none that it can have.
    """
    limit = None if timeout is None else seconds("timeout", timeout)
    if limit is not None and limit <= 0:
        raise ConfigError(f"{name}: timeout is {limit:g} s; use more than 0, or None for no limit")
    if retry is not None and not isinstance(retry, Backoff):
        raise ConfigError(f"{name}: retry is {retry!r:.80}; use a Backoff(first=…, factor=…, cap=…)")
    return Policy(
        timeout=limit,
        retry=retry,
        retry_on=_classes(name, "retry_on", retry_on),
        reject_on=_classes(name, "reject_on", reject_on),
    )


def _classes(name: str, option: str, given: Any) -> tuple[type[BaseException], ...]:
    classes = given if isinstance(given, tuple | list) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise ConfigError(f"{name}: {option} is {one!r:.80}; use classes of exceptions")
    return tuple(classes)
