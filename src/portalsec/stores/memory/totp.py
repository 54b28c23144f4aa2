"""TOTP devices in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from portalsec.auth.ports import TotpDevice
from portalsec.errors import StoreError

__all__ = ["MemoryTotp"]


class MemoryTotp:
    """`portalsec.auth.ports.TotpStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, TotpDevice] = {}

    def add(self, device: TotpDevice) -> None:
        with self._lock:
            kept = {
                key: other
                for key, other in self._devices.items()
                if other.confirmed or other.account_id != device.account_id
            }
            if device.id in kept:
                raise StoreError(f"a TOTP device with the id {device.id!r} exists already")
            self._devices = {**kept, device.id: device}

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        with self._lock:
            own = [device for device in self._devices.values() if device.account_id == account_id]
        return tuple(sorted(own, key=lambda device: (device.created_at, device.id)))

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.account_id != account_id or device.confirmed:
                return False
            self._devices[device_id] = replace(device, confirmed=True, last_step=step)
            return True

    def advance(self, account_id: str, device_id: str, step: int) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if (
                device is None
                or device.account_id != account_id
                or not device.confirmed
                or device.last_step >= step
            ):
                return False
            self._devices[device_id] = replace(device, last_step=step)
            return True

    def remove(self, account_id: str, device_id: str) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.account_id != account_id:
                return False
            del self._devices[device_id]
            return True
