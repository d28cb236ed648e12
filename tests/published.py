"""Makes classes of protobuf messages from the fields that the authors of a format publish."""

from __future__ import annotations

from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

# descriptor.proto, FieldDescriptorProto.Type and Label
TYPES = {
    "double": 1,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "fixed64": 6,
    "bool": 8,
    "string": 9,
    "message": 11,
    "bytes": 12,
    "uint32": 13,
    "sint32": 17,
    "sint64": 18,
}
OPTIONAL, REPEATED = 1, 3

# Message → field → (number, type); in brackets, it is repeated.
Schema = dict[str, dict[str, tuple[int, str]]]


def message_class(schema: Schema, package: str, name: str) -> Any:
    """The class of one of a schema's messages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="published.proto", package=package, syntax="proto3"
    )
    for each, fields in schema.items():
        message = file.message_type.add(name=each)
        for field, (number, kind) in fields.items():
            plain = kind.strip("[]")
            added = message.field.add(name=field, number=number)
            added.label = REPEATED if kind.startswith("[") else OPTIONAL
            if plain in schema:
                added.type, added.type_name = TYPES["message"], f".{package}.{plain}"
            else:
                added.type = TYPES[plain]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
