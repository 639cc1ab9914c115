"""What is said of jobs and executions: whether they run, and how they ended."""

PENDING = "PENDING"
RUNNING = "RUNNING"
FAILED = "FAILED"
CACHED = "CACHED"
DONE = "DONE"
CANCELLED = "CANCELLED"

STATUSES = (PENDING, RUNNING, CACHED, DONE, FAILED, CANCELLED)
"""What a job may be."""

KILLED = "KILLED"
"""What is shown of one that runs no more, though that is what is recorded: its process is gone."""
