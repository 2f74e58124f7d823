"""Schedules: tasks that are put when it is time.

A schedule is kept in the store itself, as a chain: one scheduled task, the link, that is due at the next
tick. Whoever carries it out puts the tick's task and the next link in the commit that acks it.
"""
