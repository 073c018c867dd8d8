"""The protos as their authors wrote them, comments included: descriptors with source information; knows no rule."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).parents[1] / "protos"
GOOGLE_PROTOS = Path(protoc.__file__).parent / "_proto"


def read_protos(folder: Path = PROTOS) -> list[descriptor_pb2.FileDescriptorProto]:
    """Compiles every proto file under a folder, in the order of their names."""
    with tempfile.TemporaryDirectory() as out_folder:
        out = Path(out_folder) / "protos.bin"
        sources = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.proto"))]
        folders = (f"-I{folder}", f"-I{GOOGLE_PROTOS}")
        arguments = ["protoc", *folders, "--include_source_info", f"--descriptor_set_out={out}", *sources]
        assert protoc.main(arguments) == 0
        return list(descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file)


def comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """The comment in front of each thing that has one, by its path in the descriptor."""
    for location in file.source_code_info.location:
        if location.leading_comments:
            yield tuple(location.path), location.leading_comments
