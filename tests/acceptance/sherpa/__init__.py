"""The examples of Sherpa's Python framework document, letter by letter, as one robot.

The three texts are the page's own; only the commas that it forgot are there, and the line ends that its
layout lost. `robot_script` sets the host and the robot's names, and puts them in the order of the page's
algorithm; the step that is not printed there, running the script, is the only code of ours.
"""

from pathlib import Path
from textwrap import indent

FOLDER = Path(__file__).parent
PRINTED_HOST = "http://192.168.1.111:4500"
PRINTED_GUID = "da8bc2f0-8065-4385-b867-405e66b8e151"

ALGORITHM = """\
import subprocess
import sys

robot_machine, robot_ip, robot_mac = 'DESK-7', '192.168.1.112', '00-11-22-33-44-55'
while True:
{ready}
    if heartbeat_results['HasNewJob'] == 0:
        break
{consume}
{in_progress}
{working}
    subprocess.run([sys.executable, python_script_name], check=True)
{success}
"""


def robot_script(host: str, guid: str) -> str:
    """A robot that works until there is no job left; the scripts are in its working folder."""
    heartbeat, consume, update = (
        (FOLDER / name).read_text(encoding="utf-8").replace(PRINTED_HOST, host).replace(PRINTED_GUID, guid)
        for name in ("heartbeat.txt", "consume_next_job.txt", "job_update.txt")
    )
    working = heartbeat.replace("'Status': 2", "'Status': 3")
    working = working.replace("'JobGUID': ''", "'JobGUID': job_guid")
    working = working.replace("'JobName': ''", "'JobName': python_script_name")
    steps = {
        "ready": heartbeat,
        "consume": consume,
        "in_progress": update,
        "working": working,
        "success": update.replace("'status': 8", "'status': 4"),
    }
    return ALGORITHM.format(**{name: indent(text, "    ") for name, text in steps.items()})
