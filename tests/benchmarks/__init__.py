"""Benchmarks: `make bench`, or `python -m tests.benchmarks [name …]`. See `__main__.py`."""
