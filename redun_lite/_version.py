"""The release number, in a file of its own: a build reads it without importing the package."""

from __future__ import annotations

VERSION = "0.1.0"
