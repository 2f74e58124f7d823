"""``sqlite:``: one SQLite database, shared by the processes of one machine."""
