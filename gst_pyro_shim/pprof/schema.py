# SPDX-License-Identifier: MIT
"""Wire formats: pprof's profile.proto and Pyroscope's push.v1, as message classes that are built at import.

No protoc is needed to build the package: each message is a list of `(name, number, type)` below. The field numbers are
those of pprof's `proto/profile.proto` and of Pyroscope's `push/v1/push.proto` and `types/v1/types.proto`. The messages
have a descriptor pool of their own, so that another library's copy of the same protos cannot collide with these.

Context: agent and controller. Pure data, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from typing import Any

_Field = tuple[str, int, str]

_SCALARS: Final = {
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}

# A type that is no scalar is a message of the same table; a trailing "*" means repeated (packed where scalar).
_PPROF: Final[dict[str, tuple[_Field, ...]]] = {
    "Profile": (
        ("sample_type", 1, "ValueType*"),
        ("sample", 2, "Sample*"),
        ("mapping", 3, "Mapping*"),
        ("location", 4, "Location*"),
        ("function", 5, "Function*"),
        ("string_table", 6, "string*"),
        ("drop_frames", 7, "int64"),
        ("keep_frames", 8, "int64"),
        ("time_nanos", 9, "int64"),
        ("duration_nanos", 10, "int64"),
        ("period_type", 11, "ValueType"),
        ("period", 12, "int64"),
        ("comment", 13, "int64*"),
        ("default_sample_type", 14, "int64"),
    ),
    "ValueType": (("type", 1, "int64"), ("unit", 2, "int64")),
    "Sample": (("location_id", 1, "uint64*"), ("value", 2, "int64*"), ("label", 3, "Label*")),
    "Label": (
        ("key", 1, "int64"),
        ("str", 2, "int64"),
        ("num", 3, "int64"),
        ("num_unit", 4, "int64"),
    ),
    "Mapping": (
        ("id", 1, "uint64"),
        ("memory_start", 2, "uint64"),
        ("memory_limit", 3, "uint64"),
        ("file_offset", 4, "uint64"),
        ("filename", 5, "int64"),
        ("build_id", 6, "int64"),
        ("has_functions", 7, "bool"),
        ("has_filenames", 8, "bool"),
        ("has_line_numbers", 9, "bool"),
        ("has_inline_frames", 10, "bool"),
    ),
    "Location": (
        ("id", 1, "uint64"),
        ("mapping_id", 2, "uint64"),
        ("address", 3, "uint64"),
        ("line", 4, "Line*"),
        ("is_folded", 5, "bool"),
    ),
    "Line": (("function_id", 1, "uint64"), ("line", 2, "int64")),
    "Function": (
        ("id", 1, "uint64"),
        ("name", 2, "int64"),
        ("system_name", 3, "int64"),
        ("filename", 4, "int64"),
        ("start_line", 5, "int64"),
    ),
}

_PUSH: Final[dict[str, tuple[_Field, ...]]] = {
    "PushRequest": (("series", 1, "RawProfileSeries*"),),
    "RawProfileSeries": (("labels", 1, "LabelPair*"), ("samples", 2, "RawSample*")),
    "RawSample": (("raw_profile", 1, "bytes"), ("ID", 2, "string")),
    "LabelPair": (("name", 1, "string"), ("value", 2, "string")),
    "PushResponse": (),
}


def _file(package: str, messages: dict[str, tuple[_Field, ...]]) -> FileDescriptorProto:
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for name, number, spelled in fields:
            kind = spelled.rstrip("*")
            field = message.field.add(name=name, number=number)
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if spelled.endswith("*")
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
    return file


_POOL: Final = DescriptorPool()
_POOL.AddSerializedFile(_file("perftools.profiles", _PPROF).SerializeToString())
_POOL.AddSerializedFile(_file("push.v1", _PUSH).SerializeToString())


def _message(full_name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(full_name))


# Typed Any: the classes are made at run time, and mypy cannot see their fields.
PprofProfile: Final[Any] = _message("perftools.profiles.Profile")
PushRequest: Final[Any] = _message("push.v1.PushRequest")
PushResponse: Final[Any] = _message("push.v1.PushResponse")
