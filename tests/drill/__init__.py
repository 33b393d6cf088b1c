"""The fault drill: `make drill`, or `python -m tests.drill [name …]`. See `__main__.py`."""
