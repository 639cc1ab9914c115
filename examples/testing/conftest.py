"""Gives the tests the fixtures `scheduler` and `tmp_repository`."""

pytest_plugins = ["redun_lite.testing"]
