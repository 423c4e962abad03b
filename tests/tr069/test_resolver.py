"""What the search for levers costs: the tree is read through for management once, however many levers it has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulators.cpe_trees import tr181
from tr069 import guard
from tr069.datamodel.resolver import resolve
from tr069.datamodel.tree import Leaf


def test_management_is_located_once_for_all_levers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    locate = guard.locate_management

    def counted(*given: Any) -> guard.Management:
        calls.append(1)
        return locate(*given)

    monkeypatch.setattr(guard, 'locate_management', counted)
    tree = {path: Leaf(*node) for path, node in tr181().items() if not path.endswith('.Upstream')}
    for number in range(10, 20):
        tree[f'Device.QoS.Shaper.{number}.ShapingRate'] = Leaf('0', 'xsd:int', True)
        tree[f'Device.QoS.Shaper.{number}.Interface'] = Leaf('Device.Ethernet.Interface.1.', 'xsd:string', True)
    assert len(resolve(tree).levers) > 10
    assert len(calls) == 1
