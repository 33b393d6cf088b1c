"""Worker nodes, and the robots' agent. They know the server only by HTTP and by task name."""

__version__ = "0.1.0"  # the distribution's; a test holds it to orchestrator's
