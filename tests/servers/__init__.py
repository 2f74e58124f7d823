"""Servers for tests and benchmarks, each in a temporary directory of its own on a port of the loopback."""
