"""The observers that come with distqueue, for libraries that are installed as extras.

Each is a plugin like any other, named in ``observers`` of ``distqueue.toml`` or in ``DISTQUEUE_OBSERVERS``.
"""
