#!/usr/bin/env python3
"""A service in another language, written from src/proto/PROTOCOL.md alone; nothing of devstream's own is used.

    client.py join LINK FILE               becomes the service that the join link is for, and keeps its key in FILE
    client.py call FILE DEVICE STREAM      opens a stream; sends standard input and its end, and prints what comes back

It needs `websockets` for the frames, `pyOpenSSL` for a TLS session that exports keying material, and `cryptography` for
Ed25519 and certificates. What is said about it goes to standard error; a refusal's kind is the last word there.
"""

import base64
import hashlib
import ipaddress
import json
import os
import signal
import socket
import sys
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.verification import PolicyBuilder, Store
from OpenSSL import SSL
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

PROTOCOL = "devstream.v1"
DEADLINE = 60
WINDOW = 256 * 1024
MESSAGE = 64 * 1024


class Refused(Exception):
    """The hub or the device said no."""


class Broken(Exception):
    """The stream did not end by itself."""


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Identity:
    """Who asks, whom, and with which key."""

    def __init__(self, hub: str, pin: str, role: str, name: str, seed: bytes):
        self.hub, self.pin, self.role, self.name, self.seed = hub, pin, role, name, seed
        self.key = Ed25519PrivateKey.from_private_bytes(seed)

    def public(self) -> bytes:
        return self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def credential(self, session: SSL.Connection, method: str, authority: str, path: str) -> str:
        signed = b"devstream-auth-v1\0"
        for field in (self.role, self.name, method, authority, path):
            signed += len(field.encode()).to_bytes(8, "big") + field.encode()
        signed += session.export_keying_material(b"EXPORTER-devstream-auth-v1", 32, b"")
        fingerprint = unpadded(hashlib.sha256(self.public()).digest()[:16])
        signature = unpadded(self.key.sign(signed))
        return f"DevStream v=1, role={self.role}, id={self.name}, key={fingerprint}, sig={signature}"

    def save(self, path: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            kept = {"hub": self.hub, "pin": self.pin, "role": self.role, "name": self.name, "seed": self.seed.hex()}
            json.dump(kept, file)

    @classmethod
    def load(cls, path: str) -> "Identity":
        with open(path) as file:
            kept = json.load(file)
        return cls(kept["hub"], kept["pin"], kept["role"], kept["name"], bytes.fromhex(kept["seed"]))


def connect(authority: str, pin: str) -> SSL.Connection:
    """TLS 1.3 with the hub that the pin is for."""
    parts = urlsplit(f"//{authority}")
    host, port = parts.hostname, parts.port or 443
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_alpn_protos([b"http/1.1", b"devstream-pin"])
    plain = socket.create_connection((host, port), timeout=DEADLINE)
    plain.settimeout(None)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    session = SSL.Connection(context, plain)
    try:
        subject = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
        session.set_tlsext_host_name(host.encode())
    session.set_connect_state()
    session.do_handshake()
    chain = session.get_peer_cert_chain(as_cryptography=True)
    authorities = [certificate for certificate in chain if pin_of(certificate) == pin]
    if not authorities:
        raise Refused("no certificate of the chain has the pin: certificateNotTrusted")
    # The name, the time and the signature.
    PolicyBuilder().store(Store(authorities)).build_server_verifier(subject).verify(chain[0], [])
    return session


def pin_of(certificate: x509.Certificate) -> str:
    info = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256:" + unpadded(hashlib.sha256(info).digest())


def receive(session: SSL.Connection) -> bytes:
    """Some bytes; none at the end of the connection."""
    try:
        return session.recv(65536)
    except (SSL.ZeroReturnError, SSL.SysCallError):
        return b""


def ask(identity: Identity, method: str, path: str, headers: dict, body: bytes = b""):
    """One request on a connection of its own; gives the status, the headers and the body."""
    session = connect(identity.hub, identity.pin)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {identity.hub}", f"Content-Length: {len(body)}"]
    lines.append("devstream-authorization: " + identity.credential(session, method, identity.hub, path))
    lines += [f"{name}: {value}" for name, value in headers.items()]
    session.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        some = receive(session)
        if not some:
            raise Broken("the hub hung up")
        answer += some
    head, rest = answer.split(b"\r\n\r\n", 1)
    status, *fields = head.decode().split("\r\n")
    found = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
    while len(rest) < int(found.get("content-length", 0)):
        rest += receive(session)
    session.close()
    return int(status.split()[1]), found, rest


def refusal(status: int, body: bytes) -> Refused:
    try:
        said = json.loads(body)["refusal"]
        return Refused(f"HTTP {status}: {said.get('detail', '')}: {said['kind']}")
    except (ValueError, KeyError):
        return Refused(f"HTTP {status}: {body!r}")


def join(link: str) -> Identity:
    """A key is made here, and its public half goes to the hub with the code."""
    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    seed = os.urandom(32)
    identity = Identity(parts.netloc, query["pin"], query["role"], parts.path.strip("/"), seed)
    request = json.dumps({"code": query["code"], "key": unpadded(identity.public())}).encode()
    status, _, body = ask(identity, "POST", "/join", {"Content-Type": "application/json"}, request)
    if status != 204:
        raise refusal(status, body)
    return identity


def open_stream(identity: Identity, device: str, name: str) -> "Stream":
    """The two steps: ask, then bring a WebSocket to where the answer says."""
    wanted = {"devstream-stream-protocol": PROTOCOL, "iothub-streaming-connect-timeout-in-seconds": "10"}
    status, headers, body = ask(identity, "POST", f"/twins/{device}/streams/{name}", wanted)
    if status != 200 or headers.get("iothub-streaming-is-accepted") != "True":
        raise refusal(status, body)
    if headers.get("devstream-stream-protocol") != PROTOCOL:
        raise Refused("the device speaks no protocol of ours")
    url, token = headers["iothub-streaming-url"], headers["iothub-streaming-auth-token"]
    return Stream(identity, url, token)


class Stream:
    """One end of a stream that speaks devstream.v1."""

    def __init__(self, identity: Identity, url: str, token: str):
        uri = parse_uri(url)
        self.session = connect(urlsplit(url).netloc, identity.pin)
        self.socket = ClientProtocol(uri, subprotocols=[PROTOCOL], max_size=256 * 1024)
        request = self.socket.connect()
        request.headers["Authorization"] = f"Bearer {token}"
        credential = identity.credential(self.session, "GET", request.headers["Host"], request.path)
        request.headers["devstream-authorization"] = credential
        self.socket.send_request(request)
        self.flush()
        self.sent, self.allowed = 0, WINDOW
        self.received, self.told = 0, 0
        self.is_over, self.peer_is_over, self.is_closed = False, False, False
        while self.socket.state is State.CONNECTING:
            self.hear()
        if self.socket.handshake_exc:
            raise Refused(str(self.socket.handshake_exc))

    def flush(self) -> None:
        for data in self.socket.data_to_send():
            if data:
                self.session.sendall(data)

    def say(self, **control) -> None:
        # Who has closed hears no more.
        if self.socket.state is State.OPEN:
            self.socket.send_text(json.dumps(control).encode())
            self.flush()

    def carry(self, data: bytes, out) -> None:
        """Sends all of it and the end; writes what comes until its end; closes."""
        while not (self.is_over and self.peer_is_over):
            while self.sent < len(data) and self.sent < self.allowed:
                until = min(len(data), self.allowed, self.sent + MESSAGE)
                self.socket.send_binary(data[self.sent : until])
                self.sent = until
                self.flush()
            if self.sent == len(data) and not self.is_over:
                self.is_over = True
                self.say(type="end", bytes=self.sent)
            if not (self.is_over and self.peer_is_over):
                self.hear(out)
            if self.is_closed and not (self.is_over and self.peer_is_over):
                raise Broken(f"closed before the end: {self.close_code()}")
        if self.socket.state is State.OPEN:
            self.socket.send_close(1000)
            self.flush()
        while not self.is_closed:
            self.hear(out)
        if self.close_code() != 1000:
            raise Broken(f"closed with {self.close_code()}")
        self.session.close()

    def close_code(self):
        """What the other side closed with, if it did."""
        return self.socket.close_rcvd and self.socket.close_rcvd.code

    def hear(self, out=None) -> None:
        """What comes next."""
        some = receive(self.session)
        if some:
            self.socket.receive_data(some)
        else:
            self.socket.receive_eof()
            self.is_closed = True
        for event in self.socket.events_received():
            opcode = getattr(event, "opcode", None)
            if opcode in (Opcode.BINARY, Opcode.CONT):
                self.took(event.data, out)
            elif opcode is Opcode.TEXT:
                self.heard(json.loads(event.data), out)
            elif opcode is Opcode.CLOSE:
                self.is_closed = True
        # Answers to pings and to a close.
        self.flush()

    def took(self, data: bytes, out) -> None:
        out.write(data)
        self.received += len(data)
        if self.received - self.told >= WINDOW // 4:
            self.acknowledge()

    def acknowledge(self, **further) -> None:
        self.told = self.received
        self.say(type="ack", bytes=self.received, window=WINDOW, **further)

    def heard(self, control: dict, out) -> None:
        if control["type"] == "ack":
            self.allowed = max(self.allowed, control["bytes"] + control["window"])
        elif control["type"] == "end":
            if control["bytes"] != self.received:
                raise Broken(f"{self.received} of {control['bytes']} bytes arrived")
            out.flush()
            self.peer_is_over = True
            self.acknowledge(end=True)


def main(arguments: list) -> int:
    signal.alarm(DEADLINE)
    try:
        match arguments:
            case ["join", link, file]:
                join(link).save(file)
            case ["call", file, device, name]:
                open_stream(Identity.load(file), device, name).carry(sys.stdin.buffer.read(), sys.stdout.buffer)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (Refused, Broken) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
