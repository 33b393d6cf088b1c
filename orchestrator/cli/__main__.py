"""python -m orchestrator.cli: how the embedded cluster starts its parts, whatever PATH says."""

from orchestrator.cli import main

main()
