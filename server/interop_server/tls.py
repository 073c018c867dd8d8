"""Certificates for TLS: those that are made at the start, or those of files; loaded only when TLS is wanted."""

import ipaddress
import ssl
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from interop_server.config import TlsFiles
from interop_server.runtime.files import read_chosen

_VALID = timedelta(days=365)
_SKEW = timedelta(days=1)
"""By how much the clock of a client may be behind."""


class TlsUnusable(Exception):
    """TLS cannot be spoken with what was chosen; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What a server needs to speak TLS."""

    ca: str
    """The certificate that clients are to trust, as PEM."""
    chain: bytes
    """The server's certificates, its own first, as PEM."""
    key: bytes = field(repr=False)
    """Its private key, as PEM."""

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Returns the credentials of a gRPC server."""
        return grpc.ssl_server_credentials([(self.key, self.chain)])

    def http_context(self) -> ssl.SSLContext:
        """Returns the context of an HTTP server.

        Raises:
            TlsUnusable: Certificate and key do not belong together, or are none; or no file can be made for them.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            with tempfile.NamedTemporaryFile() as file:  # ssl reads files only; this one is the user's alone
                file.write(self.chain + b"\n" + self.key)
                file.flush()
                _load(context, file.name)
        except OSError as error:
            raise TlsUnusable(
                f"no temporary file can be made, which TLS for HTTP needs ({error.strerror}): set TMPDIR to a folder "
                "with room that can be written."
            ) from error
        return context


def _load(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_cert_chain(path)
    except (ssl.SSLError, OSError) as error:
        raise TlsUnusable(f"certificate and key cannot be used for TLS: {error}.") from error


def from_files(files: TlsFiles) -> Tls:
    """Returns what files hold. Clients are to trust the last certificate, which is that of a server alone or its CA.

    Raises:
        TlsUnusable: A file cannot be read, or holds none of what it is for.
    """
    try:
        chain, key = read_chosen(files.certificate), read_chosen(files.key)
        certificates = x509.load_pem_x509_certificates(chain)
    except OSError as error:
        raise TlsUnusable(f"{error.filename} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise TlsUnusable(f"{files.certificate} holds no certificate as PEM: {error}.") from error
    tls = Tls(_pem(certificates[-1]), chain, key)
    tls.http_context()
    return tls


def make(hosts: Collection[str], now_ms: int) -> Tls:
    """Makes an authority, and a certificate by it for a server with these names.

    Args:
        hosts: Names and addresses by which clients reach it, beside those of loopback.
        now_ms: The machine's time: that by which clients check.
    """
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("interopsim, an authority of one start")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = [_general_name(host) for host in dict.fromkeys(("localhost", "127.0.0.1", "::1", *hosts))]
    own = (
        _builder(_name("interopsim"), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Tls(_pem(ca), (_pem(own) + _pem(ca)).encode(), private)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
    )


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
