"""Programs that run handlers under the same loads: ``distqueue work``, and what a user would pick instead."""
