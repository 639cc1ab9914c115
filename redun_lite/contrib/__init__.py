"""What needs packages from outside, one file for each service; see the extras in pyproject.toml.

Nothing here is imported before a configuration or a URL asks for it by name (see `_plugins`).
"""
