"""`PLUGINS_CONFIG['netbox_delinquency']` as a schema: a wrong setting stops start-up with a sentence."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PLUGIN = 'netbox_delinquency'


class DelinquencySettings(BaseModel):
    """Every setting, its unit and its default."""

    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)

    webhook_max_bytes: int = Field(default=262_144, ge=1_024, le=2_621_440)
    evaluate_minutes: int = Field(default=15, ge=1, le=1_440)
    clearing_days: int = Field(default=6, ge=1, le=15)
    job_timeout_seconds: int = Field(default=6 * 3_600, ge=60)
    retention_days: int = Field(default=180, ge=1, le=3_650)
    action_log_days: int = Field(default=1_826, ge=1, le=1_826)


def parse_settings(config: dict[str, Any]) -> DelinquencySettings:
    """Raises `ValueError` whose text names each wrong setting and what it may be."""
    try:
        return DelinquencySettings.model_validate(config)
    except ValidationError as error:
        problems = '; '.join(f'{".".join(map(str, item["loc"]))}: {item["msg"]}' for item in error.errors())
        known = ', '.join(DelinquencySettings.model_fields)
        raise ValueError(f"PLUGINS_CONFIG['{PLUGIN}'] is not valid: {problems} (settings there are: {known})") from None


def get_settings() -> DelinquencySettings:
    from django.conf import settings

    return parse_settings(settings.PLUGINS_CONFIG.get(PLUGIN, {}))
