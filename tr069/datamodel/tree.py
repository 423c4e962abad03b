"""A device's parameters as read: `path → Leaf`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tr069.guard import matches

TR098 = 'InternetGatewayDevice'
TR181 = 'Device'


@dataclass(frozen=True, slots=True)
class Leaf:
    """`value` is `None` where only the name is known; `writable` is `None` where the device was not asked.

    Neither is a proof: CPEs misreport Writable, and refuse what they listed.
    """

    value: str | None = None
    type: str = ''
    writable: bool | None = None


Tree = Mapping[str, Leaf]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the device is, for matching a profile."""

    manufacturer: str = ''
    oui: str = ''
    product_class: str = ''
    software_version: str = ''
    model_name: str = ''  # `DeviceInfo.ModelName`: some makers' product class is the same for all they make

    @property
    def model(self) -> str:
        """The name a quarantine goes by: one firmware of one product."""
        return '/'.join(part or '-' for part in (self.oui, self.product_class, self.software_version))


def root_of(tree: Tree) -> str:
    """`InternetGatewayDevice`, `Device`, or empty where the tree has neither. A box with both is read as TR-098."""
    roots = {path.partition('.')[0] for path in tree}
    return next((root for root in (TR098, TR181) if root in roots), '')


def expand(pattern: str, tree: Tree) -> Iterator[str]:
    """The tree's paths that fit `pattern` (`*` for one segment), in order."""
    return iter(sorted(path for path in tree if matches(pattern, path)))


def plain(tree: Tree) -> dict[str, str]:
    """`path → value` of what has a value: the form the guard reads."""
    return {path: leaf.value for path, leaf in tree.items() if leaf.value is not None}
