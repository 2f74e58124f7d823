"""``json:``: one readable JSON file that is a log; see ``docs/formats/queue-json.md``."""
