"""The command ``distqueue``: one file for each group of verbs."""
