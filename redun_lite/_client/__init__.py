"""The command line: a room for each command, and what these share.

`command` has the table of them; `_cli`, above, runs one of them.  What they show is read by the
rooms below (`_history`, `_query`, `_lineage`, `_why`, `_changes`), which know nothing of terminals.
"""
