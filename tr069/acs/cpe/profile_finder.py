"""Which profile is a device's, by its Inform. Asked at every Inform, so what was found is kept by model."""

from __future__ import annotations

from collections.abc import Mapping

from tr069.cwmp import messages as m
from tr069.datamodel.profiles import DeviceProfile, needs_model_name, profile_for
from tr069.datamodel.tree import Identity

_MAX_KEPT = 10_000  # models are few; forged ones must not fill the memory


class ProfileFinder:
    """`model_names`: of the devices that had to be asked for it, and grows elsewhere."""

    def __init__(self, profiles: tuple[DeviceProfile, ...], model_names: Mapping[str, str]) -> None:
        self.can_recover = any(profile.quirks.recover_xml for profile in profiles)
        self._profiles = profiles
        self._model_names = model_names
        self._kept: dict[tuple[str, str, str, str], tuple[DeviceProfile, bool]] = {}

    def find(self, inform: m.Inform, key: str) -> tuple[DeviceProfile, str]:
        """The device's profile, and the name of its model where that matters and is known.

        Profiles bound to a software version do not decide quirks: these are needed before it is known.
        """
        device = inform.device
        maker = (device.manufacturer, device.oui, device.product_class)
        known = self._kept.get((*maker, ''))
        if known is None:
            known = self._find(Identity(*maker))
        profile, has_other = known
        if not has_other:
            return profile, ''
        name = inform.value('.DeviceInfo.ModelName') or self._model_names.get(key, '')
        if not name:
            return profile, ''
        known = self._kept.get((*maker, name))
        if known is None:
            known = self._find(Identity(*maker, model_name=name))
        return known[0], name

    def _find(self, identity: Identity) -> tuple[DeviceProfile, bool]:
        if len(self._kept) > _MAX_KEPT:
            self._kept.clear()
        found = profile_for(identity, self._profiles), needs_model_name(identity, self._profiles)
        place = (identity.manufacturer, identity.oui, identity.product_class, identity.model_name)
        self._kept[place] = found
        return found
