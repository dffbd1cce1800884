"""The end-to-end session inside a stream, written from src/proto/PROTOCOL.md alone.

A session turns what an application says into the bytes of a stream, and back. It knows neither WebSockets nor the hub.
"""

import base64
import datetime
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

USAGES = {"device": ExtendedKeyUsageOID.SERVER_AUTH, "service": ExtendedKeyUsageOID.CLIENT_AUTH}
VOUCHERS = 2


class SessionFailed(Exception):
    """The session failed; the last word is the kind of the refusal."""


def raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def uri(role: str, name: str) -> str:
    return f"devstream:{role}:{name.lower() if role == 'device' else name}"


def alpn(device: str, service: str, stream: str) -> bytes:
    hashed = b"devstream-e2e-v1\0"
    for name in (device.lower(), service, stream):
        hashed += len(name.encode()).to_bytes(8, "big") + name.encode()
    return b"devstream-e2e-v1/" + base64.urlsafe_b64encode(hashlib.sha256(hashed).digest()).rstrip(b"=")


def certificate(role: str, name: str, key: Ed25519PrivateKey) -> x509.Certificate:
    """Returns the certificate that an identity's key signs itself."""
    now, nobody = datetime.datetime.now(datetime.timezone.utc), x509.Name([])
    builder = x509.CertificateBuilder().subject_name(nobody).issuer_name(nobody).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=400))
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri(role, name))])
    # The only name of a certificate without a subject is critical (RFC 5280 section 4.2.1.6).
    builder = builder.add_extension(names, critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage([USAGES[role]]), critical=False).sign(key, None)


def presented_key(presented: x509.Certificate, role: str, name: str) -> bytes:
    """Returns the key in a certificate, which must be this owner's, in this role."""
    names = presented.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = presented.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if [entry.value for entry in names] != [uri(role, name)] or list(usages) != [USAGES[role]]:
        raise SessionFailed(f"the other end is not {role} {name}: streamAltered")
    return raw(presented.public_key())


def verify(chain: list, role: str, name: str, known) -> bytes:
    """Returns the key of the peer, for which the known one vouches; at the first contact, the key itself does."""
    key = presented_key(chain[0], role, name)
    anchor = Ed25519PublicKey.from_public_bytes(known or key)
    for voucher in chain[: 1 + VOUCHERS]:
        try:
            anchor.verify(voucher.signature, voucher.tbs_certificate_bytes)
        except InvalidSignature:
            continue
        if presented_key(voucher, role, name) == key:
            return key
    raise SessionFailed(f"{name} shows another end-to-end key than is known: anotherPeerKey")


class Session:
    """One end of a session: `role` is its own, `device`, `service` and `stream` name what it is for."""

    def __init__(self, role: str, key: Ed25519PrivateKey, device: str, service: str, stream: str, known=None):
        self.peer = ("device", device) if role == "service" else ("service", service)
        self.known, self.peer_key, self.has_peer_ended = known, None, False
        self.protocols = [alpn(device, service, stream)]
        if role == "device":
            # For its only forward, which a service need not name.
            self.protocols.append(alpn(device, service, ""))
        context = SSL.Context(SSL.TLS_CLIENT_METHOD if role == "service" else SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate(certificate(role, service if role == "service" else device, key))
        context.use_privatekey(key)
        # OpenSSL asks for a chain to an authority; `verify` is the rule here, and nothing passes before it.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if role == "service":
            context.set_alpn_protos(self.protocols)
        else:
            context.set_alpn_select_callback(lambda _, offered: self.choose(offered))
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state() if role == "service" else self.tls.set_accept_state()
        self.shake_hands()

    def choose(self, offered: list):
        return next((each for each in self.protocols if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    def is_open(self) -> bool:
        return self.peer_key is not None

    def shake_hands(self) -> None:
        """Goes on with the handshake, and decides about the peer when it is over."""
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            raise SessionFailed(f"{error}: endToEndNotBegun") from error
        if self.tls.get_alpn_proto_negotiated() not in self.protocols:
            raise SessionFailed("the other end did not agree on the stream: streamAltered")
        leaf = self.tls.get_peer_certificate(as_cryptography=True)
        rest = [each for each in self.tls.get_peer_cert_chain(as_cryptography=True) if each != leaf]
        self.peer_key = verify([leaf, *rest], *self.peer, self.known)

    def receive(self, data: bytes) -> bytes:
        """Takes bytes of the stream, and returns what the peer said."""
        said = b""
        while data:
            data = data[self.tls.bio_write(data) :]
            if not self.is_open():
                self.shake_hands()
            try:
                while self.is_open() and not self.has_peer_ended:
                    said += self.tls.recv(65536)
            except SSL.WantReadError:
                pass
            except SSL.ZeroReturnError:
                self.has_peer_ended = True
            except SSL.Error as error:
                raise SessionFailed(f"{error}: streamAltered") from error
        return said

    def send(self, data: bytes) -> None:
        self.tls.sendall(data)

    def end(self) -> None:
        """Ends this end's direction; the other one continues."""
        self.tls.shutdown()

    def outgoing(self) -> bytes:
        """Returns the bytes of the stream that are due."""
        due = b""
        try:
            while True:
                due += self.tls.bio_read(65536)
        except SSL.WantReadError:
            return due


class Plain:
    """No session: the hub can read the stream."""

    peer_key = None
    has_peer_ended = True

    def __init__(self):
        self.due = b""

    def is_open(self) -> bool:
        return True

    def receive(self, data: bytes) -> bytes:
        return data

    def send(self, data: bytes) -> None:
        self.due += data

    def end(self) -> None:
        pass

    def outgoing(self) -> bytes:
        due, self.due = self.due, b""
        return due
