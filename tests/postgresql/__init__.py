"""The PostgreSQL backend, beyond what the suite can see of it."""
