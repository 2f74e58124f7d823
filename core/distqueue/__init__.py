"""A durable task queue with swappable storage."""
