# SPDX-License-Identifier: MIT
"""The segment's table of labels: an element with the bins around it, and which labels have ended.

A label is named by its key (`abi.label_key`): its row is used again once it is freed.

Context: agent, one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gst_pyro_shim.segment.abi import constant, enum_names, label_key, label_of_key
from gst_pyro_shim.segment.rows import Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.segment.native import Reader

_KINDS: Final = enum_names("gp_label_kind", "GP_LABEL_")
_MAX_LABELS: Final = constant("GP_LABELS")
_SLOT_LIVE: Final = constant("GP_SLOT_LIVE")
_SLOT_FREE: Final = constant("GP_SLOT_FREE")
_MAX_DEPTH: Final = 64
"""Of bins in bins, as in csrc/shim/labels/label_rows.c."""
_ANY_SERIAL: Final = -1


class LabelTable:
    """Labels of a mapped segment."""

    def __init__(self, reader: Reader) -> None:
        """Reads nothing yet."""
        self._reader = reader
        self._raw = reader.raw

    def path(self, key: int) -> list[Step]:
        """An element with the bins around it, as they are now, outermost first.

        A bin's own work has a label beside the bin's: then the last step is the bin, with kind "own_work".

        Args:
            key: of the element's label. The path is empty where the shim has not published the label, or where its row
                is another label's by now.
        """
        found: list[Step] = []
        number, serial = label_of_key(key)
        while 0 < number < _MAX_LABELS and len(found) < _MAX_DEPTH:
            row, text = self._raw.labels[number], self._reader.text
            if row.state == _SLOT_FREE or serial not in {row.serial, _ANY_SERIAL}:
                break
            if row.is_own_work and not found:
                bin_path = self.path(self._key(row.parent))
                return [*bin_path[:-1], *(step._replace(kind="own_work") for step in bin_path[-1:])]
            found.append(
                Step(
                    label_key(number, row.serial),
                    _KINDS.get(row.kind, "thread"),
                    text(row.name),
                    text(row.factory),
                    bool(row.auto_named),
                )
            )
            number, serial = row.parent, _ANY_SERIAL
        return found[::-1]

    def _key(self, number: int) -> int:
        return label_key(number, self._raw.labels[number].serial)

    def is_gone(self, key: int) -> bool:
        """Whether the element of a label no longer exists."""
        number, serial = label_of_key(key)
        row = self._raw.labels[number]
        return row.serial != serial or bool(row.gone) or row.state != _SLOT_LIVE

    @property
    def moves(self) -> int:
        """How often an element that already had a label was put into another bin."""
        return self._raw.labels_moved

    def ended(self) -> list[int]:
        """Keys of labels that have ended: only what the shim has already written may still refer to them."""
        return [self._key(number) for number in self._reader.ended_labels()]

    def free(self, keys: Iterable[int]) -> None:
        """Frees the rows of labels that have ended.

        Args:
            keys: of labels whose records, accounts and links have been taken.
        """
        self._reader.free_labels(list(keys))
