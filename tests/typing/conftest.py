"""The files here are read by type checkers, in tests/test_typing.py; nothing in them ever runs."""

collect_ignore_glob = ["*"]
