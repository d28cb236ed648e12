"""Reads pprof files with protobuf, by the fields of the schema that its authors publish.

https://github.com/google/pprof/blob/main/proto/profile.proto, package ``perftools.profiles``.
"""

from __future__ import annotations

import gzip
from typing import Any

from published import Schema, message_class

SCHEMA: Schema = {
    "Profile": {
        "sample_type": (1, "[ValueType]"),
        "sample": (2, "[Sample]"),
        "mapping": (3, "[Mapping]"),
        "location": (4, "[Location]"),
        "function": (5, "[Function]"),
        "string_table": (6, "[string]"),
        "drop_frames": (7, "int64"),
        "keep_frames": (8, "int64"),
        "time_nanos": (9, "int64"),
        "duration_nanos": (10, "int64"),
        "period_type": (11, "ValueType"),
        "period": (12, "int64"),
        "comment": (13, "[int64]"),
        "default_sample_type": (14, "int64"),
    },
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Sample": {
        "location_id": (1, "[uint64]"),
        "value": (2, "[int64]"),
        "label": (3, "[Label]"),
    },
    "Label": {
        "key": (1, "int64"),
        "str": (2, "int64"),
        "num": (3, "int64"),
        "num_unit": (4, "int64"),
    },
    "Mapping": {"id": (1, "uint64")},
    "Location": {
        "id": (1, "uint64"),
        "mapping_id": (2, "uint64"),
        "address": (3, "uint64"),
        "line": (4, "[Line]"),
        "is_folded": (5, "bool"),
    },
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64")},
    "Function": {
        "id": (1, "uint64"),
        "name": (2, "int64"),
        "system_name": (3, "int64"),
        "filename": (4, "int64"),
        "start_line": (5, "int64"),
    },
}


class Profile:
    """A profile, with what its numbers stand for.

    Args:
        data: the file.
    """

    def __init__(self, data: bytes) -> None:
        self.message = message_class(SCHEMA, "perftools.profiles", "Profile").FromString(
            gzip.decompress(data)
        )
        self.texts = list(self.message.string_table)
        self._functions = {one.id: one for one in self.message.function}
        self._locations = {one.id: one for one in self.message.location}

    def types(self) -> list[tuple[str, str]]:
        """Type and unit of each value."""
        return [(self.texts[one.type], self.texts[one.unit]) for one in self.message.sample_type]

    def samples(self) -> list[tuple[str, tuple[int, ...], dict[str, Any]]]:
        """Path from the outermost, values, and labels of each sample."""
        return [
            (
                ";".join(self.frame(place)[0] for place in reversed(sample.location_id)),
                tuple(sample.value),
                {
                    self.texts[one.key]: self.texts[one.str] if one.str else one.num
                    for one in sample.label
                },
            )
            for sample in self.message.sample
        ]

    def frame(self, place: int) -> tuple[str, str, int]:
        """Name, file and line of a location."""
        (line,) = self._locations[place].line
        function = self._functions[line.function_id]
        assert line.line == function.start_line
        return self.texts[function.name], self.texts[function.filename], line.line
