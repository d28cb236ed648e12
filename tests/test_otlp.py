"""OTLP Profiles, read with protobuf by the fields that opentelemetry-proto publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock
from handmade import block, sample, single
from published import Schema, message_class
from stichotrope import Profiler
from stichotrope.export import export_otlp_profiles, otlp
from stichotrope.results import ProfilerResults

pytestmark = pytest.mark.unit

# opentelemetry/proto/profiles/v1development/profiles.proto, common.proto, resource.proto
SCHEMA: Schema = {
    "ProfilesData": {
        "resource_profiles": (1, "[ResourceProfiles]"),
        "dictionary": (2, "ProfilesDictionary"),
    },
    "ProfilesDictionary": {
        "mapping_table": (1, "[Mapping]"),
        "location_table": (2, "[Location]"),
        "function_table": (3, "[Function]"),
        "link_table": (4, "[Link]"),
        "string_table": (5, "[string]"),
        "attribute_table": (6, "[KeyValueAndUnit]"),
        "stack_table": (7, "[Stack]"),
    },
    "ResourceProfiles": {
        "resource": (1, "Resource"),
        "scope_profiles": (2, "[ScopeProfiles]"),
        "schema_url": (3, "string"),
    },
    "Resource": {"attributes": (1, "[KeyValue]")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "AnyValue": {
        "string_value": (1, "string"),
        "bool_value": (2, "bool"),
        "int_value": (3, "int64"),
    },
    "ScopeProfiles": {
        "scope": (1, "InstrumentationScope"),
        "profiles": (2, "[Profile]"),
        "schema_url": (3, "string"),
    },
    "InstrumentationScope": {"name": (1, "string"), "version": (2, "string")},
    "Profile": {
        "sample_type": (1, "ValueType"),
        "samples": (2, "[Sample]"),
        "time_unix_nano": (3, "fixed64"),
        "duration_nano": (4, "uint64"),
        "period_type": (5, "ValueType"),
        "period": (6, "int64"),
        "profile_id": (7, "bytes"),
    },
    "ValueType": {"type_strindex": (1, "int32"), "unit_strindex": (2, "int32")},
    "Sample": {
        "stack_index": (1, "int32"),
        "attribute_indices": (2, "[int32]"),
        "link_index": (3, "int32"),
        "values": (4, "[int64]"),
        "timestamps_unix_nano": (5, "[fixed64]"),
    },
    "Mapping": {"memory_start": (1, "uint64")},
    "Link": {"trace_id": (1, "bytes"), "span_id": (2, "bytes")},
    "Stack": {"location_indices": (1, "[int32]")},
    "Location": {
        "mapping_index": (1, "int32"),
        "address": (2, "uint64"),
        "lines": (3, "[Line]"),
        "attribute_indices": (4, "[int32]"),
    },
    "Line": {"function_index": (1, "int32"), "line": (2, "int64"), "column": (3, "int64")},
    "Function": {
        "name_strindex": (1, "int32"),
        "system_name_strindex": (2, "int32"),
        "filename_strindex": (3, "int32"),
        "start_line": (4, "int64"),
    },
    "KeyValueAndUnit": {
        "key_strindex": (1, "int32"),
        "value": (2, "AnyValue"),
        "unit_strindex": (3, "int32"),
    },
}


class Data:
    """What was written, with what its numbers stand for."""

    def __init__(self, data: bytes) -> None:
        package = "opentelemetry.proto.profiles.v1development"
        self.message = message_class(SCHEMA, package, "ProfilesData").FromString(data)
        self.tables = self.message.dictionary

    def text(self, place: int) -> str:
        """A text of the table."""
        return str(self.tables.string_table[place])

    def attributes(self, places: Any) -> dict[str, Any]:
        """Attributes by name."""
        found = (self.tables.attribute_table[place] for place in places)
        return {
            self.text(one.key_strindex): one.value.string_value or one.value.int_value
            for one in found
        }

    def path(self, stack: int) -> str:
        """The names from the outermost."""
        lines = [
            self.tables.location_table[place].lines[0]
            for place in self.tables.stack_table[stack].location_indices
        ]
        functions = [self.tables.function_table[line.function_index] for line in lines]
        return ";".join(self.text(one.name_strindex) for one in reversed(functions))

    def samples(self) -> dict[tuple[str, str, str], int]:
        """(type, thread, path) → value."""
        return {
            (
                self.text(profile.sample_type.type_strindex),
                self.attributes(one.attribute_indices).get("thread.name", ""),
                self.path(one.stack_index),
            ): one.values[0]
            for resource in self.message.resource_profiles
            for scope in resource.scope_profiles
            for profile in scope.profiles
            for one in profile.samples
        }


def test_each_path_of_each_thread_is_a_sample_of_each_type() -> None:
    """Where it has any; with the process as the resource."""
    data = Data(otlp.render(sample()))
    assert data.samples() == {
        ("hits", "MainThread", "read"): 3,
        ("hits", "MainThread", "read;decode µ"): 2,
        ("hits", "pool_0", "parse"): 1,
        ("total", "MainThread", "read"): 600,
        ("total", "MainThread", "read;decode µ"): 250,
        ("total", "pool_0", "parse"): 1_000_000,
        ("self", "MainThread", "read"): 350,
        ("self", "MainThread", "read;decode µ"): 250,
        ("self", "pool_0", "parse"): 1_000_000,
    }
    (resource,) = data.message.resource_profiles
    facts = {one.key: one.value for one in resource.resource.attributes}
    assert (facts["service.name"].string_value, facts["process.pid"].int_value) == ("census", 4711)
    assert resource.scope_profiles[0].scope.name == "stichotrope"


def test_the_first_of_each_table_stands_for_nothing() -> None:
    """As the format says."""
    tables = Data(otlp.render(sample())).tables
    for table in (
        *(tables.mapping_table, tables.location_table, tables.function_table),
        *(tables.link_table, tables.attribute_table, tables.stack_table),
    ):
        assert table[0] == type(table[0])()
    assert tables.string_table[0] == ""
    assert len(set(tables.string_table)) == len(tables.string_table)


def test_work_and_its_time_are_told(clock: ManualClock) -> None:
    """In bytes and counts; a profile says when it was, and has an id of its own."""
    p = Profiler("work")
    with p.block(0, "read") as b:
        b.add_bytes(100)
        b.add_items(7)
        clock.advance(50)
    data = Data(otlp.render(p.get_results()))
    assert data.samples()["bytes", "MainThread", "read"] == 100
    assert data.samples()["items", "MainThread", "read"] == 7
    profiles = data.message.resource_profiles[0].scope_profiles[0].profiles
    assert {one.time_unix_nano for one in profiles} == {p.get_results().metadata["start_ns"]}
    assert len({bytes(one.profile_id) for one in profiles}) == len(profiles)
    assert {len(one.profile_id) for one in profiles} == {16}


def test_it_is_written_where_somebody_says_that_he_knows(tmp_path: Path) -> None:
    """And nowhere else."""
    target = tmp_path / "p.pb"
    with pytest.raises(ValueError, match=r"^OTLP Profiles are alpha, and their layout may change"):
        export_otlp_profiles(sample(), target, alpha=False)
    with pytest.raises(TypeError, match=r"^alpha must be True or False, not 'yes'"):
        export_otlp_profiles(sample(), target, alpha="yes")  # type: ignore[arg-type]
    assert not target.exists()
    export_otlp_profiles(sample(), target, alpha=True)
    assert Data(target.read_bytes()).samples()
    with pytest.raises(ValueError, match=r"^OTLP holds numbers of 64 bits"):
        export_otlp_profiles(single(block("long", (2**63,))), tmp_path / "out", alpha=True)


def test_results_without_anything_are_no_profile() -> None:
    """But a file that can be read."""
    assert Data(otlp.render(ProfilerResults("empty"))).samples() == {}
