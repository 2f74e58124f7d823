"""Benchmarks: what a promise costs, beside the limit of the disk and beside other queues, in one run."""
