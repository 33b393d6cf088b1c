"""Scheduler nodes: they claim tasks in batches, hand jobs to robots, and one of them does maintenance."""
