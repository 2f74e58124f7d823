"""A model of the contract, written apart from every backend: the slowest and most obvious one.

It says which outcomes a command may have, and follows the one that a backend gave. Nothing in it reads a
clock: the time is an argument, in seconds. What it does not model is what moves between stores: fences and
loading.
"""

from distqueue.conformance.model.answers import Possible
from distqueue.conformance.model.store import Disagreement, Model

__all__ = ["Disagreement", "Model", "Possible"]
