"""Botswain: the orchestrator, what is true and its HTTP."""

__version__ = "0.1.0"
