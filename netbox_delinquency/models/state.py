"""How an `AccessState` is kept in columns: `<name>_mode`, `<name>_down_kbps`, `<name>_up_kbps`."""

from typing import Any

from django.db.models import CheckConstraint, Model, Q

from nornir_tasks.change import AccessState, Mode, Reading

__all__ = ('get_state', 'is_state', 'most_restrictive', 'set_state', 'state_constraint', 'state_fields')

FOREIGN = 'foreign'  # `ObservedModeChoices.FOREIGN`


def state_fields(name: str) -> tuple[str, str, str]:
    return f'{name}_mode', f'{name}_down_kbps', f'{name}_up_kbps'


def get_state(instance: Model, name: str) -> AccessState | None:
    """The state kept under `name`; `None` where its mode is empty. What another alone restricts is normal by us."""
    mode, down, up = (getattr(instance, field) for field in state_fields(name))
    if mode == FOREIGN:
        return AccessState.normal()
    return AccessState(Mode(mode), down, up) if mode else None


def set_state(instance: Model, name: str, state: AccessState | None) -> None:
    mode, down, up = state_fields(name)
    setattr(instance, mode, str(state.mode) if state else '')
    setattr(instance, down, state.down_kbps if state else None)
    setattr(instance, up, state.up_kbps if state else None)


def is_state(name: str, state: AccessState) -> Q:
    """The rows whose state under `name` is this one."""
    values = (str(state.mode), state.down_kbps, state.up_kbps)
    return Q(
        **{
            (f'{field}__isnull' if value is None else field): (True if value is None else value)
            for field, value in zip(state_fields(name), values, strict=True)
        }
    )


def most_restrictive(reading: Reading) -> AccessState | None:
    """The more restrictive of what is stored and what the session gets; `None` where nothing could be read."""
    stored, live = reading.stored, reading.live
    if reading.error or stored is None or live is None:
        return reading.observed
    return stored if stored.is_more_restrictive_than(live) else live


def state_constraint(model: str, name: str, **extra: Any) -> CheckConstraint:
    """The database's own guard of a state: throttled has both its rates, every other mode has none."""
    mode, down, up = state_fields(name)
    # A comparison with NULL is unknown, and a check that is unknown passes: hence the explicit "is not null".
    throttled = Q(**{
        mode: 'throttled', f'{down}__isnull': False, f'{up}__isnull': False, f'{down}__gte': 1, f'{up}__gte': 1,
    })  # fmt: skip
    other = ~Q(**{mode: 'throttled'}) & Q(**{f'{down}__isnull': True, f'{up}__isnull': True})
    return CheckConstraint(condition=throttled | other, name=f'netbox_delinquency_{model}_{name}_state', **extra)
