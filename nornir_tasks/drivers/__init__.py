"""Drivers: one package a vendor or protocol; what each must be is in `base`, which there are in `registry`."""

from nornir_tasks.drivers.base import Abilities, Driver, DriverParameters, Finding
from nornir_tasks.drivers.registry import available_drivers, get_driver

__all__ = ('Abilities', 'Driver', 'DriverParameters', 'Finding', 'available_drivers', 'get_driver')
