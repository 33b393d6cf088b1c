"""A supervisor with parts that are small programs: python stand_in.py FOLDER SECONDS NAME=PROGRAM..."""

import sys
from pathlib import Path

from orchestrator.cli.data_folder import DataFolder
from orchestrator.cli.parts import Part, environment
from orchestrator.cli.supervisor import Supervisor


def say(line: str) -> None:
    print(line, flush=True)


folder, seconds = DataFolder(Path(sys.argv[1])), float(sys.argv[2])
with Supervisor(folder, folder.lock(), say, ((("first",), seconds), (("last",), seconds))) as supervisor:
    for argument in sys.argv[3:]:
        name, _, program = argument.partition("=")
        supervisor.start(Part(name, (sys.executable, "-c", program), environment()))
    say("watching")
    supervisor.watch()
