"""Every RPC there is, from the descriptors of the generated code: a new one is found by itself."""

import importlib
import pkgutil

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import interop_api.admin.v1
import interop_api.v1
from tests.e2e.connection.test_refusals_sessions import methods_of, path_of

__all__ = ["ADMIN_METHODS", "CLIENT_METHODS", "message_class", "path_of"]


def _methods(package: object) -> list[MethodDescriptor]:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    names = sorted(module.name for module in pkgutil.iter_modules(path) if module.name.endswith("_pb2"))
    return methods_of(*(importlib.import_module(f"{name}.{module}").DESCRIPTOR for module in names))


CLIENT_METHODS = _methods(interop_api.v1)
ADMIN_METHODS = _methods(interop_api.admin.v1)


def message_class(descriptor: Descriptor) -> type[Message]:
    """Returns the generated class of a message."""
    return GetMessageClass(descriptor)
