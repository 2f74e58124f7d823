"""Measuring: how much a store takes, how long a call lasts, and what the machine allows.

The same loads run on any store, and on other queues (``benchmarks/peers``).
"""
