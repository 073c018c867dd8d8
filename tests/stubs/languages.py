"""How the contract becomes code in each language, and how that code is compiled; knows nothing of who asks.

Compilers of other languages come with the machine or from Debian's and npm's packages; none of them belongs to the
project. A language whose tools are not there is not compiled, and the answer says which and how to get them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".stubs"
"""Where npm's packages go, and all that is generated: for a look at it, and kept out of git."""
DEBIAN_JARS = Path("/usr/share/java")
FOLDERS = ("-I.", f"-I{Path(protoc.__file__).parent / '_proto'}")
"""Where `protoc` looks: in the contract, then among types of Google, which Debian has in a package of its own."""
DEBIAN_GO = Path("/usr/share/gocode")
GO_MODULE = "interopsim.dev"
"""What `go_package` begins with."""
_JARS = ("grpc-api", "grpc-stub", "grpc-protobuf", "guava", "geronimo-annotation-1.3-spec")
_TSCONFIG = """\
{
  "compilerOptions": {"strict": true, "noEmit": true, "module": "nodenext", "target": "es2022", "types": []},
  "include": ["src/**/*.ts"]
}
"""


class StubsBroken(Exception):
    """Stubs cannot be generated, or do not compile; the message is what the tool said."""


class Language(ABC):
    """One language: its tools, and how they are used."""

    name: str
    packages: tuple[str, ...] = ()
    """What installs the tools."""
    installer: tuple[str, ...] = ()
    """The command in front of the packages."""

    @abstractmethod
    def missing(self) -> list[str]:
        """Returns the tools that are not there."""

    @abstractmethod
    def compile(self, protos: Path, work: Path) -> None:
        """Generates stubs of all protos under a folder into an empty one, and compiles them.

        Raises:
            StubsBroken: One of the two fails.
        """

    @property
    def how_to_get(self) -> str:
        """The command that installs the tools, from the project's folder."""
        return " ".join((*self.installer, *self.packages))


class Python(Language):
    """As the project itself has them: grpcio-tools, and an import of every module."""

    name = "Python"

    def missing(self) -> list[str]:
        """Returns nothing: the tools are among the project's own."""
        return []

    def compile(self, protos: Path, work: Path) -> None:
        """See Language."""
        _run_protoc_of_python(protos, [f"--python_out={work}", f"--grpc_python_out={work}"])
        # A package without this file would give way to the project's own of the same name.
        for folder in {folder for file in work.rglob("*.py") for folder in file.parents if work in folder.parents}:
            (folder / "__init__.py").touch()
        modules = [".".join(file.relative_to(work).with_suffix("").parts) for file in sorted(work.rglob("*.py"))]
        # Byte-compiled first: of a name that is a keyword, an import by name would say nothing.
        _run([sys.executable, "-W", "error", "-m", "compileall", "-q", "."], work)
        importing = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
        _run([sys.executable, "-W", "error", "-c", importing, *modules], work, {"PYTHONPATH": str(work)})


class TypeScript(Language):
    """protoc-gen-es, checked by tsc with `strict`."""

    name = "TypeScript"
    installer = (
        "npm", "install", "--prefix", TOOLS.name, "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
        "--silent",
    )  # fmt: skip
    packages = ("@bufbuild/protoc-gen-es@2.10.0", "@bufbuild/protobuf@2.10.0", "typescript@5.9.3")
    _modules = TOOLS / "node_modules"

    def missing(self) -> list[str]:
        """Returns the tools that are not there."""
        of_npm = (name for name in ("protoc-gen-es", "tsc") if not (self._modules / ".bin" / name).exists())
        return [*_not_on_path("node"), *of_npm]

    def compile(self, protos: Path, work: Path) -> None:
        """See Language."""
        (work / "src").mkdir()
        (work / "tsconfig.json").write_text(_TSCONFIG)
        (work / "node_modules").symlink_to(self._modules)
        plugin = self._modules / ".bin" / "protoc-gen-es"
        _run_protoc_of_python(protos, [f"--plugin=protoc-gen-es={plugin}", f"--es_out=target=ts:{work / 'src'}"])
        _run([str(self._modules / ".bin" / "tsc"), "--project", "."], work)


class Go(Language):
    """protoc-gen-go and protoc-gen-go-grpc, built without modules against Debian's sources."""

    name = "Go"
    installer = ("apt-get", "install", "--yes", "--no-install-recommends")
    packages = (
        "golang-go", "golang-google-protobuf-dev", "golang-google-grpc-dev", "protobuf-compiler", "protoc-gen-go",
        "protoc-gen-go-grpc",
    )  # fmt: skip

    def missing(self) -> list[str]:
        """Returns the tools that are not there."""
        sources = (DEBIAN_GO / "src" / "google.golang.org" / name for name in ("protobuf", "grpc"))
        return [
            *_not_on_path("protoc", "protoc-gen-go", "protoc-gen-go-grpc", "go"),
            *(str(path) for path in sources if not path.exists()),
        ]

    def compile(self, protos: Path, work: Path) -> None:
        """See Language."""
        out = work / "src" / GO_MODULE
        out.mkdir(parents=True)
        options = [
            f"--{kind}_{what}" for kind in ("go", "go-grpc") for what in (f"out={out}", f"opt=module={GO_MODULE}")
        ]
        _run(["protoc", *FOLDERS, *options, *_files(protos)], protos)
        settings = {"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": f"{work}:{DEBIAN_GO}", "GOCACHE": str(TOOLS / "go")}
        _run(["go", "build", f"{GO_MODULE}/..."], work, settings)


class Java(Language):
    """protoc and its gRPC plugin, compiled by javac against Debian's libraries of the same release."""

    name = "Java"
    installer = ("apt-get", "install", "--yes", "--no-install-recommends")
    packages = (
        "default-jdk-headless", "protobuf-compiler", "protobuf-compiler-grpc-java-plugin", "libprotobuf-java",
        "libgrpc-java", "libguava-java", "libgeronimo-annotation-1.3-spec-java",
    )  # fmt: skip

    def missing(self) -> list[str]:
        """Returns the tools that are not there."""
        return [
            *_not_on_path("protoc", "grpc_java_plugin", "javac"),
            *(str(jar) for jar in self._jars() if not jar.exists()),
        ]

    def compile(self, protos: Path, work: Path) -> None:
        """See Language."""
        sources, classes = work / "src", work / "classes"
        sources.mkdir()
        classes.mkdir()
        plugin = f"--plugin=protoc-gen-grpc-java={shutil.which('grpc_java_plugin')}"
        options = (f"--java_out={sources}", plugin, f"--grpc-java_out={sources}")
        _run(["protoc", *FOLDERS, *options, *_files(protos)], protos)
        # A quick compilation by a compiler that is itself not optimised first: there is no third run to win it back in.
        options = ["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-nowarn", "-proc:none", "-d", str(classes)]
        class_path = ":".join(map(str, self._jars()))
        files = work / "files"
        files.write_text("\n".join(map(str, sorted(sources.rglob("*.java")))))
        _run(["javac", *options, "--class-path", class_path, f"@{files}"], work)

    def _jars(self) -> list[Path]:
        names = list(_JARS)
        if shutil.which("protoc"):  # the code that it writes needs the library of its own release
            names.insert(0, f"protobuf-{_output(['protoc', '--version']).rpartition(' ')[2]}")
        return [DEBIAN_JARS / f"{name}.jar" for name in names]


LANGUAGES: tuple[Language, ...] = (Python(), TypeScript(), Go(), Java())


def digest_of(protos: Path) -> str:
    """Returns a digest of all that stubs are made of: the protos, and this module."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in _files(protos):
        digest.update(file.encode() + b"\0" + (protos / file).read_bytes())
    return digest.hexdigest()


def _files(protos: Path) -> list[str]:
    return [file.relative_to(protos).as_posix() for file in sorted(protos.rglob("*.proto"))]


def _not_on_path(*names: str) -> Iterable[str]:
    return (name for name in names if shutil.which(name) is None)


def _run_protoc_of_python(protos: Path, options: Sequence[str]) -> None:
    _run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *options, *_files(protos)], protos)


def _run(command: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None) -> None:
    environment = {**os.environ, **(settings or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise StubsBroken(f"{command[0]} failed:\n{done.stdout}{done.stderr}".rstrip())


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
