"""From a preset to a policy: made once, compared ever after, never changed behind anybody's back."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from ..models import Calendar, DelinquencyPolicy, PolicyStage
from .presets import Preset

__all__ = ('Difference', 'create_policy', 'differences')


# What of a stage is told where it is not as a new one has it.
STAGE_DETAILS = (
    'min_arrears', 'min_invoices', 'throttle_to', 'throttle_percent', 'throttle_down_kbps', 'throttle_up_kbps',
    'channel', 'approval', 'start_from', 'start_until',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a policy is not as its preset: the field, what it has, and what the preset says."""

    field: str
    policy: str
    preset: str


def differences(policy: DelinquencyPolicy, preset: Preset) -> list[Difference]:
    found = [
        Difference(name, str(getattr(policy, name)), str(value))
        for name, value in {**preset.rules, 'preset_version': preset.version}.items()
        if getattr(policy, name) != value
    ]
    have = [_line(stage) for stage in policy.stages.order_by('position')]
    want = [_line(PolicyStage(**stage)) for stage in preset.stages]
    if have != want:
        found.append(Difference('stages', '; '.join(have), '; '.join(want)))
    return found


def _line(stage: PolicyStage) -> str:
    more = [
        f'{name} {value}'
        for name in STAGE_DETAILS
        if (value := getattr(stage, name)) != PolicyStage._meta.get_field(name).get_default()
    ]
    return ', '.join([f'{stage.action} {stage.after_days} days since {stage.clock}', *more])


@transaction.atomic
def create_policy(preset: Preset, calendar: Calendar | None, name: str = '') -> DelinquencyPolicy:
    """A new policy with the preset's rules and stages. Raises `ValidationError` where a calendar is missing."""
    policy = DelinquencyPolicy(
        name=name or preset.name, preset=preset.slug, preset_version=preset.version, calendar=calendar,
        description=preset.title[:200], **preset.rules,
    )  # fmt: skip
    policy.full_clean()
    policy.save()
    for values in preset.stages:
        stage = PolicyStage(policy=policy, **values)
        stage.full_clean()
        stage.save()
    return policy
