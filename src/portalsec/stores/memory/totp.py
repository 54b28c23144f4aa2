"""TOTP devices in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

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
        return self._of(account_id, removed=False)

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        with self._lock:
            device = self._held(account_id, device_id)
            if device is None or device.confirmed:
                return False
            self._devices[device_id] = replace(device, confirmed=True, last_step=step, failures=0)
            return True

    def try_(self, account_id: str, device_id: str, *, cap: int, weight: int = 1) -> bool:
        with self._lock:
            device = self._held(account_id, device_id)
            if device is None or device.failures >= cap:
                return False
            self._devices[device_id] = replace(device, failures=device.failures + weight)
            return True

    def untry(self, account_id: str, device_id: str, *, weight: int = 1) -> None:
        with self._lock:
            device = self._held(account_id, device_id)
            if device is not None:
                self._devices[device_id] = replace(device, failures=max(0, device.failures - weight))

    def advance(
        self, account_id: str, device_id: str, step: int, *, drift: int = 0, at: datetime | None = None
    ) -> bool:
        with self._lock:
            device = self._held(account_id, device_id)
            if device is None or not device.confirmed or device.last_step >= step:
                return False
            self._devices[device_id] = replace(
                device, last_step=step, failures=0, drift=drift, used_at=at or device.used_at
            )
            return True

    def rename(self, account_id: str, device_id: str, label: str) -> bool:
        with self._lock:
            device = self._held(account_id, device_id)
            if device is None:
                return False
            self._devices[device_id] = replace(device, label=label)
            return True

    def remove(self, account_id: str, device_id: str, *, at: datetime | None = None) -> bool:
        with self._lock:
            device = self._held(account_id, device_id)
            if device is None:
                return False
            if at is None or not device.confirmed:
                del self._devices[device_id]
            else:
                self._devices[device_id] = replace(device, removed_at=at)
            return True

    def removed(self, account_id: str) -> Sequence[TotpDevice]:
        return self._of(account_id, removed=True)

    def restore(self, account_id: str, device_id: str, *, since: datetime) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if (
                device is None
                or device.account_id != account_id
                or device.removed_at is None
                or device.removed_at <= since
            ):
                return False
            self._devices[device_id] = replace(device, removed_at=None)
            return True

    def purge_removed(self, *, until: datetime) -> int:
        with self._lock:
            kept = {
                key: device
                for key, device in self._devices.items()
                if device.removed_at is None or device.removed_at > until
            }
            purged = len(self._devices) - len(kept)
            self._devices = kept
            return purged

    def _held(self, account_id: str, device_id: str) -> TotpDevice | None:
        """Where it is this account's and not removed. The caller holds the lock."""
        device = self._devices.get(device_id)
        if device is None or device.account_id != account_id or device.removed_at is not None:
            return None
        return device

    def _of(self, account_id: str, *, removed: bool) -> Sequence[TotpDevice]:
        with self._lock:
            own = [
                device
                for device in self._devices.values()
                if device.account_id == account_id and (device.removed_at is not None) == removed
            ]
        return tuple(sorted(own, key=lambda device: (device.created_at, device.id)))
