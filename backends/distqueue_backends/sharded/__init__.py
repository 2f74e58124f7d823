"""``sharded-json:``: a directory of JSON files, each with a lock of its own, so that writers seldom meet."""
