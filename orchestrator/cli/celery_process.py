"""`celery -A APP worker …` without the rest of Celery's command line.

That imports every subcommand, Flower and its web server among them, and makes a start half a second longer.

    python -m orchestrator.cli.celery_process APP [arguments of celery worker]
"""

from __future__ import annotations

import logging
import os
import sys

from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.worker import worker
from celery.signals import setup_logging

from orchestrator import logs


def main(name: str, arguments: list[str]) -> None:
    """Become a worker of the application in the module `name`; ends the process with its exit status."""
    setup_logging.connect(logs.adopt_libraries)
    context = CLIContext(app=find_app(name), no_color=True, workdir=None, quiet=True)
    try:
        status = worker.main(args=arguments, prog_name="celery worker", obj=context, standalone_mode=False)
    except SystemExit as end:
        status = end.code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # The worker has stopped in order. Taking the interpreter apart object by object would hold the end up.
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
