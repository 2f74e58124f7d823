"""The task table: the whole lifecycle on plain data in memory, beside the backends that keep it."""
