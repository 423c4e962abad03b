"""Device profiles: what is known of a model, as data (`profiles/*.yaml`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tr069.datamodel.tree import Identity
from tr069.errors import ProfileError, without_contents


class Kind(StrEnum):
    SHAPING = 'shaping'
    QUEUE = 'queue'
    POLICER = 'policer'
    CAPTIVE_PORTAL = 'captive_portal'
    FIREWALL = 'firewall'
    DNS = 'dns'
    LAN_OFF = 'lan_off'
    WIFI_OFF = 'wifi_off'
    WAN_OFF = 'wan_off'


class Direction(StrEnum):
    """Seen from the subscriber."""

    UP = 'up'
    DOWN = 'down'
    BOTH = 'both'
    NONE = 'none'


class Unit(StrEnum):
    BPS = 'bit/s'  # ShapingRate: 100 or less would be percent
    KBPS = 'kbit/s'
    SWITCH = 'switch'
    TEXT = 'text'
    UNKNOWN = 'unknown'


class Status(StrEnum):
    """How sure we are. Only `verified` was measured on the device; `unverified` is shown and never chosen unasked."""

    VERIFIED = 'verified'
    STANDARD = 'standard'  # as the data model lays down
    SEEN = 'seen'  # writable in a real device tree; unit by the data model
    UNVERIFIED = 'unverified'  # writable in a real device tree; unit or effect is a guess


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f'no regular expression: {error.msg} at position {error.pos}') from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


class _Model(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)


class Match(_Model):
    """Regular expressions, all of which must match wholly (case ignored). An empty one matches anything.

    `model` is the product class or, where a maker's product class says nothing, `DeviceInfo.ModelName`.
    """

    manufacturer: Pattern = ''
    oui: Pattern = ''
    product_class: Pattern = ''
    model: Pattern = ''
    software_version: Pattern = ''

    def fits(self, identity: Identity) -> bool:
        return self.may_fit(identity) and (
            _matches(self.model, identity.product_class) or _matches(self.model, identity.model_name)
        )

    def may_fit(self, identity: Identity) -> bool:
        """Whether all but the model fits: then its name decides."""
        return (
            _matches(self.manufacturer, identity.manufacturer)
            and _matches(self.oui, identity.oui)
            and _matches(self.product_class, identity.product_class)
            and _matches(self.software_version, identity.software_version)
        )

    @property
    def specificity(self) -> int:
        """How narrow it is: a software of a model before the model, that before an OUI, and that before a maker."""
        model = bool(self.product_class or self.model)
        return 8 * bool(self.software_version) + 4 * model + 2 * bool(self.oui) + bool(self.manufacturer)


def _matches(pattern: str, value: str) -> bool:
    return not pattern or re.fullmatch(pattern, value, re.IGNORECASE) is not None


class LeverFact(_Model):
    """One parameter that may serve as a lever. `path` has `*` for an instance number."""

    kind: Kind
    direction: Direction = Direction.NONE
    path: str
    unit: Unit = Unit.UNKNOWN
    status: Status = Status.UNVERIFIED
    enable: str = ''  # a switch that must be on for the lever to work
    note: str = ''


class Quirks(_Model):
    xml_declaration: bool = True  # False: replies must not start with <?xml …?>
    recover_xml: bool = False  # True: this model sends malformed XML
    boolean_as_number: bool = True  # True: 1/0, False: true/false
    max_names: int = Field(default=32, ge=1, le=256)  # names in one GetParameterValues


class GuardFacts(_Model):
    allow_wan_off: bool = False
    allow_list: tuple[str, ...] = ()  # paths known to spare management


class DeviceProfile(_Model):
    name: str
    match: Match
    levers: tuple[LeverFact, ...] = ()
    do_not_use: tuple[str, ...] = ()
    quirks: Quirks = Quirks()
    guard: GuardFacts = GuardFacts()
    note: str = ''
    is_shipped: bool = Field(default=False, exclude=True)


GENERIC = DeviceProfile(name='generic', match=Match())


def load(path: Path) -> DeviceProfile:
    """Raises `ProfileError` naming the file and what is wrong in it; it quotes nothing of the file.

    Who sees the error may not be who may read the file, and not every file is what its path says.
    """
    try:
        return DeviceProfile.model_validate(yaml.safe_load(path.read_text('utf-8')))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ProfileError(f'device profile {path.name}: {without_contents(error)}') from None


@cache
def builtin() -> tuple[DeviceProfile, ...]:
    """The profiles shipped with this package, in the order of their file names."""
    found = (load(path) for path in sorted((Path(__file__).parent / 'profiles').glob('*.yaml')))
    return tuple(profile.model_copy(update={'is_shipped': True}) for profile in found)


def load_directory(directory: Path | None) -> tuple[DeviceProfile, ...]:
    """An operator's own profiles, and the shipped ones."""
    own = tuple(load(path) for path in sorted(directory.glob('*.yaml'))) if directory else ()
    return own + builtin()


def profile_for(identity: Identity, profiles: Iterable[DeviceProfile] | None = None) -> DeviceProfile:
    """Of the profiles that fit the most specific one, or `GENERIC`; an operator's own come before those shipped."""
    known = builtin() if profiles is None else profiles
    fitting = (profile for profile in known if profile.match.fits(identity))
    return max(fitting, key=lambda profile: (not profile.is_shipped, profile.match.specificity), default=GENERIC)


def needs_model_name(identity: Identity, profiles: Iterable[DeviceProfile]) -> bool:
    """Whether the name of the model could make another profile the device's."""
    return not identity.model_name and any(
        profile.match.model and profile.match.may_fit(identity) and not profile.match.fits(identity)
        for profile in profiles
    )
