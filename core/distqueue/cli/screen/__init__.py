"""Screens that live: what a worker does (``work``), and what a store holds (``top``)."""
