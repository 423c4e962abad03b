"""One simulated BRAS console to look at by hand: `python -m tests.simulators.consoles junos [--port 2222]`.

Log in with `ssh -p PORT admin@127.0.0.1`, password `admin`. `ana` and `bob` are online with the first of the policies
given; `--radius ana=slow` has `ana` get another one when her session is ended and she dials again.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from tests.simulators.console import console_box
from tests.simulators.iosxr import IOSXRTerminal
from tests.simulators.junos import JunosTerminal
from tests.simulators.sros import SROSTerminal
from tests.simulators.vrp import VRPTerminal

TERMINALS = {'vrp': VRPTerminal, 'iosxr': IOSXRTerminal, 'junos': JunosTerminal, 'sros': SROSTerminal}


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m tests.simulators.consoles', description=__doc__.split('\n')[0])
    parser.add_argument('vendor', choices=TERMINALS)
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument('--policies', nargs='+', default=['fast', 'slow', 'walled'], help='What the box has')
    parser.add_argument('--radius', nargs='*', default=[], metavar='USER=POLICY', help='What RADIUS holds')
    arguments = parser.parse_args()
    online = dict.fromkeys(('ana', 'bob'), (arguments.policies[0],))
    values = {'profiles': set(arguments.policies), 'radius': online, 'port': arguments.port}
    with console_box(TERMINALS[arguments.vendor], **values) as running:
        for item in arguments.radius:
            user, _, policy = item.partition('=')
            running.box.radius[user] = (policy,)
        sys.stdout.write(json.dumps(running.listening.as_dict()) + '\n')
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == '__main__':
    main()
