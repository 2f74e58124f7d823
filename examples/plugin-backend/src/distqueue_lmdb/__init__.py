"""A backend for distqueue that keeps tasks in LMDB."""
