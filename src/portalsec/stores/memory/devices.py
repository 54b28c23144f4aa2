"""Known devices in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from portalsec.auth.ports import KnownDevice

__all__ = ["MemoryDevices"]


class MemoryDevices:
    """`portalsec.auth.ports.DeviceStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, KnownDevice] = {}

    def add(self, device: KnownDevice) -> bool:
        with self._lock:
            if device.id in self._devices or self._taken(device.digest):
                return False
            self._devices[device.id] = device
            return True

    def find(self, digest: bytes) -> KnownDevice | None:
        with self._lock:
            held = list(self._devices.values())
        current = next((device for device in held if device.digest == digest), None)
        return current or next((device for device in held if device.previous == digest), None)

    def rotate(
        self, device_id: str, *, expected: bytes, digest: bytes, at: datetime, address: str | None
    ) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.digest != expected or self._taken(digest):
                return False
            self._devices[device_id] = replace(
                device, digest=digest, previous=expected, used_at=max(device.used_at, at), address=address
            )
            return True

    def trust(self, account_id: str, device_id: str, *, until: datetime | None, setup: bytes | None) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.account_id != account_id:
                return False
            self._devices[device_id] = replace(device, trusted_until=until, trusted_setup=setup)
            return True

    def of_account(self, account_id: str) -> Sequence[KnownDevice]:
        with self._lock:
            own = [device for device in self._devices.values() if device.account_id == account_id]
        return tuple(sorted(own, key=lambda device: (device.used_at, device.id), reverse=True))

    def revoke(self, account_id: str, device_id: str) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.account_id != account_id:
                return False
            del self._devices[device_id]
            return True

    def revoke_all(self, account_id: str) -> int:
        return self._remove(lambda device: device.account_id == account_id)

    def purge(self, *, used_until: datetime) -> int:
        return self._remove(lambda device: device.used_at <= used_until)

    def _taken(self, digest: bytes) -> bool:
        return any(device.digest == digest for device in self._devices.values())

    def _remove(self, gone: Callable[[KnownDevice], bool]) -> int:
        with self._lock:
            kept = {key: device for key, device in self._devices.items() if not gone(device)}
            removed = len(self._devices) - len(kept)
            self._devices = kept
            return removed
