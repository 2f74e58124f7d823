"""The suite: a file for each group of verbs, combined into one class."""

from __future__ import annotations

from distqueue.conformance.suite.attempts import Attempts
from distqueue.conformance.suite.breaking import Cutting, Restarting
from distqueue.conformance.suite.claiming import Claiming, Order
from distqueue.conformance.suite.clients import Clients
from distqueue.conformance.suite.clocks import Clocks
from distqueue.conformance.suite.closing import Closing, Threads
from distqueue.conformance.suite.declaring import Declaring
from distqueue.conformance.suite.dedup import Dedup
from distqueue.conformance.suite.dying import Dying
from distqueue.conformance.suite.expiry import Expiry
from distqueue.conformance.suite.failing import Failing
from distqueue.conformance.suite.fencing import Fences
from distqueue.conformance.suite.filling import Filling
from distqueue.conformance.suite.following import AckThen
from distqueue.conformance.suite.forking import Forking
from distqueue.conformance.suite.groups import Groups
from distqueue.conformance.suite.keeping import Keeping
from distqueue.conformance.suite.limits import Limits
from distqueue.conformance.suite.modelled import Modelled
from distqueue.conformance.suite.moving import Moving
from distqueue.conformance.suite.naming import Naming
from distqueue.conformance.suite.pausing import Pausing
from distqueue.conformance.suite.payloads import Payloads
from distqueue.conformance.suite.publishing import Publishing
from distqueue.conformance.suite.reading import Reading
from distqueue.conformance.suite.removing import Cancelling, Purging, Redriving
from distqueue.conformance.suite.reopening import Reopening
from distqueue.conformance.suite.scheduling import Scheduling
from distqueue.conformance.suite.settling import SettlingOnce, SettlingTwice
from distqueue.conformance.suite.sharing import Sharing
from distqueue.conformance.suite.syncing import Syncing
from distqueue.conformance.suite.together import Together
from distqueue.conformance.suite.transacting import Transacting
from distqueue.conformance.suite.unique import Unique
from distqueue.conformance.suite.waiting import Waiting
from distqueue.conformance.suite.walking import Walking


class BackendConformance(
    # pytest runs the last base first: what is quick and basic stands at the end.
    Dying,
    Forking,
    Sharing,
    Syncing,
    Modelled,
    Together,
    Walking,
    Limits,
    Restarting,
    Cutting,
    Transacting,
    Clients,
    Waiting,
    Threads,
    Closing,
    Clocks,
    Reopening,
    Filling,
    Fences,
    Moving,
    Keeping,
    Expiry,
    Unique,
    Groups,
    Scheduling,
    Pausing,
    Redriving,
    Purging,
    Cancelling,
    Reading,
    Failing,
    Attempts,
    AckThen,
    SettlingTwice,
    SettlingOnce,
    Order,
    Claiming,
    Dedup,
    Naming,
    Payloads,
    Publishing,
    Declaring,
):
    """Every clause of the contract, held against the backend that serves ``url``.

    In the URL ``{tmp}`` becomes a fresh directory and ``{name}`` a fresh name, so that each test has
    a store of its own. ``moment`` is a short lease (seconds; longer where the store's clock is
    coarse), ``patience`` how long a test waits for what has to happen.

    >>> class TestAcme(BackendConformance):
    ...     url = "acme://localhost/{name}"
    """
