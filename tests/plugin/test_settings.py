import pytest
from django.core.exceptions import ImproperlyConfigured

from netbox_delinquency import DelinquencyConfig
from netbox_delinquency.settings import DelinquencySettings, parse_settings


def test_no_setting_is_needed():
    assert parse_settings({}) == DelinquencySettings()


@pytest.mark.parametrize(
    ('config', 'sentence'),
    [
        ({'evaluate_minute': 5}, 'evaluate_minute: Extra inputs are not permitted'),
        ({'evaluate_minutes': 0}, 'evaluate_minutes: Input should be greater than or equal to 1'),
        ({'retention_days': 'many'}, 'retention_days: Input should be a valid integer'),
    ],
)
def test_a_wrong_setting_stops_start_up_with_a_sentence(config, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        DelinquencyConfig.validate(config, '4.7.3')
    assert sentence in str(refused.value)
    assert 'settings there are: webhook_max_bytes' in str(refused.value)
