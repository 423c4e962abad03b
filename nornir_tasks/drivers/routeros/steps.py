"""The console steps that bring a RouterOS line to where it should be. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nornir_tasks.change import AccessChange, AccessState, Mode, Reading
from nornir_tasks.drivers.routeros import syntax
from nornir_tasks.drivers.routeros.box import LIMITS, Rates, host_target, normal_address, parse_rates
from nornir_tasks.drivers.routeros.line import RefusedError, RouterLine

NO_BURST = dict.fromkeys(('limit-at', 'burst-limit', 'burst-threshold'), '0/0') | {'burst-time': '0s/0s'}


def plan_steps(line: RouterLine, change: AccessChange, before: Reading) -> list[str]:
    """Console steps that bring a line from `before` to what is desired. Raises `RefusedError`, `ValueError`."""
    return _Steps(line, change, before).plan()


class _Steps:
    def __init__(self, line: RouterLine, change: AccessChange, before: Reading) -> None:
        self.line = line
        self.desired = change.desired
        self.exact = change.exact
        self.before = before
        self.now = before.detail
        self.steps: list[str] = []

    def plan(self) -> list[str]:
        if self.desired.mode is not Mode.NORMAL and (obstacle := self.now.get('obstacle')):
            raise RefusedError(str(obstacle))
        if self.now['kind'] == 'ppp':
            self._profile()
        self._queue()
        self._entries()
        if self.now['session']:
            self._session()
        return self.steps

    def _profile(self) -> None:
        if self.now['disabled'] and self.line.names.enables and self.desired.mode is not Mode.BLOCKED:
            self.steps.append(syntax.enable_secret(self.line.target.username))
        wanted = self._wanted_profile()
        if wanted != self.now['profile']:
            _check_name('PPP profile', wanted)
            if self.desired.mode is not Mode.NORMAL:
                _check_name('PPP profile', self.now['profile'])
            self.steps.append(syntax.set_profile(self.line.target.username, wanted))

    def _wanted_profile(self) -> str:
        if recorded := self.exact.get('profile'):
            if recorded not in self.line.profiles:
                raise RefusedError(f'the recorded PPP profile "{recorded}" is no longer on the router')
            return str(recorded)
        if self.desired.mode is Mode.BLOCKED:
            return self._blocked_profile()
        if self.desired.mode is Mode.THROTTLED:
            return self._throttled_profile()
        return self._profile_to_go_back_to()

    def _profile_to_go_back_to(self) -> str:
        """The present one where it is none of ours; else another's of before, which stays theirs; else the normal."""
        present = str(self.now['profile'])
        if self.line.profile_state(present).mode is Mode.NORMAL:
            return present
        before = str((self.line.target.restricted.get('before') or {}).get('profile', ''))
        if before in self.line.profiles and self.line.names.is_foreign_profile(self.line.profiles[before]):
            return before
        if name := self.line.normal_profile:
            return name
        recorded, plan = self.line.target.baseline.get('profile'), self.line.own.profile
        raise RefusedError(
            f'no profile to go back to from "{present}": '
            + (f'the recorded one, "{recorded}", is no normal one of this router' if recorded else 'none was recorded')
            + ', and the plan\'s routeros parameter "profile" '
            + (f'names "{plan}", which is none either' if plan else 'names none')
        )

    def _base(self) -> str:
        """A profile to copy from: the new one must keep the pools and addresses of the old."""
        return self.line.normal_profile or str(self.now['profile'])

    def _blocked_profile(self) -> str:
        name, listed = self.line.point.blocked_profile, self.line.point.restricted_list
        profile = self.line.profiles.get(name)
        if profile is None:
            raise RefusedError(
                f'the router has no PPP profile "{name}": /ppp profile add '
                f'copy-from=[find name={syntax.quote(self._base())}] name={syntax.quote(name)} '
                f'address-list={syntax.quote(listed)}'
            )
        if profile.address_list != listed:
            raise RefusedError(
                f'PPP profile "{name}" does not fill the address list "{listed}": /ppp profile set '
                f'[find name={syntax.quote(name)}] address-list={syntax.quote(listed)}'
            )
        return name

    def _throttled_profile(self) -> str:
        line, rates = self.line, self._desired_rates()
        profile = line.profiles.get(line.throttled_name)
        if profile and profile.rates == rates:
            return profile.name
        if line.throttles_by_queue and self.now['queue']:
            return line.normal_profile or self._unrestricted_profile()
        base = self._base()
        name = line.generated_name(base, rates)
        existing = line.profiles.get(name)
        add = syntax.add_profile(name, base, rates.pair())
        if existing and existing.rates == rates and line.point.create_profiles:
            return name
        if line.point.create_profiles and existing is None and base in line.profiles:
            self.steps.append(add)
            return name
        has = (
            f'PPP profile "{line.throttled_name}" has other rates or is missing'
            if line.throttled_name
            else ('no throttled PPP profile is named')
        )
        raise RefusedError(
            f'{has}; for {self.desired}: /ppp profile add copy-from=[find name={syntax.quote(base)}] '
            f'name={syntax.quote(name)} rate-limit={syntax.quote(rates.pair())} and set it as "throttled_profile"'
        )

    def _unrestricted_profile(self) -> str:
        if self.line.profile_state(self.now['profile']).mode is Mode.BLOCKED:
            raise RefusedError('no profile to go back to: the plan\'s routeros parameter "profile" is needed')
        return str(self.now['profile'])

    def _desired_rates(self) -> Rates:
        assert self.desired.down_kbps is not None
        assert self.desired.up_kbps is not None
        return Rates(self.desired.down_kbps, self.desired.up_kbps)

    def _queue(self) -> None:
        queue = self.now['queue']
        if self.exact:
            self._exact_queue(queue)
        elif queue is None:
            if self.desired.mode is Mode.THROTTLED and self.now['kind'] == 'static':
                self._add_queue()
        elif self.desired.mode is Mode.THROTTLED:
            rates = self._desired_rates()
            if self.line.normal_rates is None and queue['name'] != self.line.own_queue_name:
                raise RefusedError(f'the contracted rates are not known, so queue "{queue["name"]}" cannot be judged')
            self._set_queue(queue, NO_BURST | {'max-limit': rates.pair()})
        elif self.desired.mode is Mode.NORMAL:
            self._restore_queue(queue)
        elif self.line.rate_state(parse_rates(queue['limits']['max-limit'])).mode is Mode.THROTTLED:
            _check_name('simple queue', queue['name'])  # a restore will have to set it

    def _exact_queue(self, queue: Mapping[str, Any] | None) -> None:
        recorded = self.exact.get('queue')
        own = self.line.own_queue_name
        if recorded and queue and recorded['name'] == queue['name']:
            self._set_queue(queue, recorded['limits'])
        elif recorded and recorded['name'] == own and self.line.point.manage_queues:
            self.steps.append(
                syntax.add_queue(own, host_target(self.line.target.ipv4), recorded['limits']['max-limit'])
            )
        elif queue and queue['name'] == own:
            self.steps.append(syntax.remove_queue(own))
        elif recorded or queue:
            raise RefusedError("the line's simple queue is not the one that was recorded")

    def _restore_queue(self, queue: Mapping[str, Any]) -> None:
        recorded = self.line.target.baseline.get('queue')
        if queue['name'] == self.line.own_queue_name:
            self.steps.append(syntax.remove_queue(queue['name']))
        elif recorded and recorded['name'] == queue['name']:
            self._set_queue(queue, recorded['limits'])
        elif self.line.rate_state(parse_rates(queue['limits']['max-limit'])).mode is Mode.THROTTLED:
            normal = self.line.normal_rates
            assert normal is not None  # else nothing could be read as throttled
            self._set_queue(queue, {'max-limit': normal.pair()})

    def _add_queue(self) -> None:
        target = self.line.target
        rates, name = self._desired_rates().pair(), self.line.own_queue_name
        if not target.ipv4:
            raise RefusedError('a line without PPP and without an IPv4 address cannot be throttled')
        if not self.line.point.manage_queues:
            where = syntax.quote(host_target(target.ipv4))
            raise RefusedError(
                f'no simple queue has this line as its target: /queue simple add name={syntax.quote(name)} '
                f'target={where} max-limit={syntax.quote(rates)}, or set "manage_queues"'
            )
        self.steps.append(syntax.add_queue(name, host_target(target.ipv4), rates))

    def _set_queue(self, queue: Mapping[str, Any], limits: Mapping[str, str]) -> None:
        present = queue['limits']
        changed = {
            key: limits[key]
            for key in LIMITS
            if limits.get(key) and limits[key] != present[key] and not _same_rates(key, limits[key], present[key])
        }
        if changed:
            _check_name('simple queue', queue['name'])
            self.steps.append(syntax.set_queue(queue['name'], changed))

    def _entries(self) -> None:
        listed = self.line.point.restricted_list
        present = [(entry[0], entry[1], *entry[2:]) for entry in (*self.now['entries'], *self.now.get('strays', ()))]
        wanted = self._wanted_entries()
        for number, (family, address, *other) in enumerate(present):
            if (family, address, *other) not in wanted:
                self.steps.append(syntax.remove_entry(number, family, other[0] if other else listed, address))
        for family, address in wanted:
            if (family, address) not in present:
                self.steps.append(syntax.add_entry(family, listed, address, self._timeout(family)))
                if self.line.point.flush_connections:
                    flush = syntax.flush_connections if family == 'ip' else syntax.flush_connections_v6
                    self.steps += filter(None, [flush(address)])

    def _wanted_entries(self) -> list[tuple[str, str]]:
        """What a block lists by hand; nothing for any other state."""
        if self.desired.mode is not Mode.BLOCKED:
            return []
        target, session = self.line.target, self.now['session']
        wanted = []
        if self.now['kind'] == 'static':
            wanted += [('ip', normal_address(target.ipv4))] if target.ipv4 else []
        elif session and session['state']['mode'] != 'blocked' and self._lists_session():
            wanted.append(('ip', session['address']))
        # An entry made before stays: while the line is blocked, there is no harm in it.
        wanted += [('ip', entry[1]) for entry in self.now['entries'] if entry[0] == 'ip']
        if target.ipv6 and self.line.point.ipv6:
            wanted.append(('ipv6', normal_address(target.ipv6)))
        return list(dict.fromkeys(wanted))

    def _lists_session(self) -> bool:
        how = self.line.point.block_session
        return how == 'address-list' or (how == 'auto' and bool(self.now['fixed_address']))

    def _timeout(self, family: str) -> str:
        is_pool = family == 'ip' and self.now['kind'] == 'ppp' and not self.now['fixed_address']
        return self.line.point.entry_timeout if is_pool else ''

    def _session(self) -> None:
        """End a session that keeps what its old profile gave it: it comes back with the new one."""
        own = AccessState.from_dict(self.now['session']['state'])
        queue = self.now['queue']
        if self.desired.mode is Mode.BLOCKED:
            listed = ('ip', self.now['session']['address']) in self._wanted_entries()
            stays = own.mode is Mode.BLOCKED or listed
        elif queue:
            stays = own in (AccessState.normal(), self.desired)
        else:
            stays = own == self.desired
        if stays:
            return
        name = self.line.target.username
        if several := self.now.get('sessions'):  # a way back: each of them is the subscriber's own
            self.steps += [syntax.remove_session_at(number, name, address) for number, address in enumerate(several)]
        else:
            self.steps.append(syntax.remove_session(name))


def _check_name(kind: str, name: str) -> None:
    """Raises `RefusedError` for a name that was not read as it is on the router: there would be no way back."""
    if syntax.UNREADABLE in name:
        raise RefusedError(
            f'the name of {kind} "{name}" cannot be read exactly, so it could not be put back: rename it'
        )


def _same_rates(key: str, one: str, other: str) -> bool:
    return key != 'burst-time' and parse_rates(one) == parse_rates(other)
