"""The demo: real processes on a real store, some of them killed, and nothing lost."""
