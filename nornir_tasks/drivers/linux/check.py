"""Whether a Linux box can be a BRAS of ours: its programs, what the login may do, its clock. Reads only."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from nornir_tasks.drivers.base import Finding
from nornir_tasks.drivers.clock import clock_finding
from nornir_tasks.drivers.linux.batch import Output
from nornir_tasks.drivers.linux.nft import WalledGarden

# Run as the changes will be (through sudo where set), and none of them changes anything. `nft --check` loads a rule set
# as far as the kernel's checks and forgets it; it needs the privilege to change one.
CHECKS: Mapping[str, str] = {
    'tc': 'tc -V',
    'ip': 'ip -V',
    'nft': 'nft --version',
    'privilege': "nft --check 'add table inet nbd_check'",
    'ifb': 'modprobe --dry-run ifb',
    'clock': 'date -u +%s',
    'sets': 'nft -j list sets',
}
# What providers call those who do not pay; only to offer a name that no parameter has yet.
LIKELY = re.compile(r'bloq|inadimpl|suspen|cort[ae]|devedor|atras|calot|block|overdue|unpaid', re.IGNORECASE)
PACKAGES = {'tc': 'iproute2', 'ip': 'iproute2', 'nft': 'nftables'}


def check_outputs(
    outputs: Mapping[str, Output], table: str, garden: WalledGarden, now: datetime, foreign: Collection[str] = ()
) -> list[Finding]:
    """What the outputs of `CHECKS` mean."""
    findings = []
    for program, package in PACKAGES.items():
        there = outputs[program].status == 0
        said = outputs[program].stdout.strip() if there else f'is missing: apt-get install {package}'
        findings.append(Finding(program, ok=there, message=said))
    findings += [_privileges(outputs['privilege']), _clock(outputs['clock'], now)]
    findings += _foreign_sets(outputs['sets'], table, foreign)
    if outputs['ifb'].status:
        text = 'the kernel module could not be looked up; without ifb, uploads cannot be shaped'
        findings.append(Finding('ifb', ok=False, message=text, required=False))
    if garden.portal_ipv4 is None and garden.portal_ipv6 is None:
        text = f'blocked lines see no notice page: set "portal_ipv4" of this point (table {table})'
        findings.append(Finding('notice page', ok=False, message=text, required=False))
    elif not garden.resolvers:
        text = 'blocked lines have no DNS, and so do not get to the notice page: set "resolvers" of this point'
        findings.append(Finding('resolvers', ok=False, message=text, required=False))
    return findings


def _foreign_sets(output: Output, table: str, foreign: Collection[str]) -> list[Finding]:
    """Sets by which somebody else seems to restrict, and that the point's parameters do not name."""
    try:
        entries = json.loads(output.stdout or '{}').get('nftables', ())
    except ValueError:
        return []
    findings = []
    for entry in entries:
        found = entry.get('set') or {}
        name = f'{found.get("family", "")} {found.get("table", "")} {found.get("name", "")}'
        if name in foreign:
            findings.append(Finding(f'set "{name}"', ok=True, message="another's restriction"))
        elif found.get('table') != table and LIKELY.search(str(found.get('name', ''))):
            text = 'if somebody else restricts by it, name it in "foreign_sets"; until then it passes for normal'
            findings.append(Finding(f'set "{name}"', ok=False, message=text, required=False))
    return findings


def _privileges(output: Output) -> Finding:
    if not output.status:
        return Finding('privileges', ok=True, message='the login may change nftables')
    said = ' '.join(output.stderr.split())[:200] or 'no reason given'
    text = f'the login may not change the network ({said}): it needs root, or "sudo" of this point and a sudoers line'
    return Finding('privileges', ok=False, message=text)


def _clock(output: Output, now: datetime) -> Finding:
    text = output.stdout.strip()
    return clock_finding(datetime.fromtimestamp(int(text), UTC) if text.isdigit() else None, now)
