"""Curves as TensorBoard event files, so that other programs can show them.

The format is TensorFlow's: records of a length, a masked CRC-32C, the content and its CRC, where
the content is an `Event` message of protocol buffers. Only what scalars need is written here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from dafusion_core.domain.records import Metric

__all__ = ["write_events"]

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed


def _make_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _make_table()


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _masked_crc(length) + content + _masked_crc(content)


def _scalar(name: str, step: int, value: float, wall_time: float) -> bytes:
    """Event(wall_time = 1, step = 2, summary = 5(value = 1(tag = 1, simple_value = 2)))."""
    tagged = _bytes_field(1, name.encode()) + b"\x15" + struct.pack("<f", value)
    event = b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step)
    return event + _bytes_field(5, _bytes_field(1, tagged))


def write_events(folder: Path, metrics: Iterable[Metric], name: str = "dafusion") -> Path:
    """Write the points to one event file in `folder`, replacing an earlier one of ours.

    Steps are as recorded (0 or more). Returns the file's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.0.{name}"
    with path.open("wb") as stream:
        version = b"\x09" + struct.pack("<d", 0.0) + _bytes_field(3, b"brain.Event:2")
        stream.write(_record(version))
        for metric in metrics:
            at = datetime.fromisoformat(metric.at).timestamp()
            stream.write(_record(_scalar(metric.series, metric.step, metric.value, at)))
    return path
