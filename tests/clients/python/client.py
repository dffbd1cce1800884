#!/usr/bin/env python3
"""A service and a device in Python, written from src/proto/PROTOCOL.md alone, without any code of devstream.

    client.py join LINK FILE               joins as the identity that the link is for, and stores the identity in FILE
    client.py call FILE DEVICE STREAM      opens a stream, sends standard input and its end, and prints the response
    client.py call-plain FILE DEVICE STREAM    the same without end-to-end encryption
    client.py serve FILE STREAM            as a device with this forward, accepts one stream and does the same

The other end's end-to-end key is kept in FILE at the first contact. It needs `websockets` for framing, `pyOpenSSL` for TLS with exported keying material, and `cryptography` for Ed25519 and
certificates. Errors go to standard error; the last word there is the kind of the refusal.
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

from end_to_end import Plain, Session, SessionFailed

PROTOCOL = "devstream.v1"
CONTROL_PROTOCOL = "devstream.control.v1"
DEADLINE = 60
WINDOW = 256 * 1024
MESSAGE = 64 * 1024


class Refused(Exception):
    """The hub or the device refused."""


class Broken(Exception):
    """The stream did not end cleanly."""


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Identity:
    """An identity: its hub, pin, role, name and private key."""

    def __init__(self, hub: str, pin: str, role: str, name: str, seed: bytes, known=None):
        self.hub, self.pin, self.role, self.name, self.seed = hub, pin, role, name, seed
        self.known = known or {}
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
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            fields = {"hub": self.hub, "pin": self.pin, "role": self.role, "name": self.name, "seed": self.seed.hex()}
            json.dump({**fields, "known": {peer: key.hex() for peer, key in self.known.items()}}, file)

    @classmethod
    def load(cls, path: str) -> "Identity":
        with open(path) as file:
            fields = json.load(file)
        known = {peer: bytes.fromhex(key) for peer, key in fields["known"].items()}
        return cls(fields["hub"], fields["pin"], fields["role"], fields["name"], bytes.fromhex(fields["seed"]), known)


def connect(authority: str, pin: str) -> SSL.Connection:
    """Connects to the hub with TLS 1.3, and verifies its certificate against the pin."""
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
        raise Refused("no certificate in the chain matches the pin: certificateNotTrusted")
    # Verifies name, validity period and signature.
    PolicyBuilder().store(Store(authorities)).build_server_verifier(subject).verify(chain[0], [])
    return session


def pin_of(certificate: x509.Certificate) -> str:
    info = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256:" + unpadded(hashlib.sha256(info).digest())


def receive(session: SSL.Connection) -> bytes:
    """Returns received bytes; none at the end of the connection."""
    try:
        return session.recv(65536)
    except (SSL.ZeroReturnError, SSL.SysCallError):
        return b""


def send_request(identity: Identity, method: str, path: str, headers: dict, body: bytes = b""):
    """Sends one request on a new connection; returns status, headers and body."""
    session = connect(identity.hub, identity.pin)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {identity.hub}", f"Content-Length: {len(body)}"]
    lines.append("devstream-authorization: " + identity.credential(session, method, identity.hub, path))
    lines += [f"{name}: {value}" for name, value in headers.items()]
    session.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = receive(session)
        if not data:
            raise Broken("the hub closed the connection")
        answer += data
    head, rest = answer.split(b"\r\n\r\n", 1)
    status, *fields = head.decode().split("\r\n")
    found = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
    while len(rest) < int(found.get("content-length", 0)):
        rest += receive(session)
    session.close()
    return int(status.split()[1]), found, rest


def refusal(status: int, body: bytes) -> Refused:
    try:
        reason = json.loads(body)["refusal"]
        return Refused(f"HTTP {status}: {reason.get('detail', '')}: {reason['kind']}")
    except (ValueError, KeyError):
        return Refused(f"HTTP {status}: {body!r}")


def join(link: str) -> Identity:
    """Generates a key, and sends its public half to the hub with the code."""
    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    seed = os.urandom(32)
    identity = Identity(parts.netloc, query["pin"], query["role"], parts.path.strip("/"), seed)
    message = json.dumps({"code": query["code"], "key": unpadded(identity.public())}).encode()
    status, _, body = send_request(identity, "POST", "/join", {"Content-Type": "application/json"}, message)
    if status != 204:
        raise refusal(status, body)
    return identity


def open_stream(identity: Identity, device: str, name: str, session) -> "Stream":
    """Requests a stream, then opens a WebSocket to the URL in the response."""
    options = {"devstream-stream-protocol": PROTOCOL, "iothub-streaming-connect-timeout-in-seconds": "10"}
    announced = {} if isinstance(session, Plain) else {"devstream-end-to-end": "v1"}
    options |= announced
    status, headers, body = send_request(identity, "POST", f"/twins/{device}/streams/{name}", options)
    if status != 200 or headers.get("iothub-streaming-is-accepted") != "True":
        raise refusal(status, body)
    if headers.get("devstream-stream-protocol") != PROTOCOL:
        raise Refused("the device does not support this protocol")
    if announced and headers.get("devstream-end-to-end") != "v1":
        raise Refused("the device did not begin end-to-end encryption: endToEndNotBegun")
    url, token = headers["iothub-streaming-url"], headers["iothub-streaming-auth-token"]
    return Stream(identity, url, token, session)


class Socket:
    """A WebSocket to the hub."""

    def __init__(self, identity: Identity, url: str, protocol: str, headers: dict):
        self.session = connect(urlsplit(url).netloc, identity.pin)
        self.socket = ClientProtocol(parse_uri(url), subprotocols=[protocol], max_size=256 * 1024)
        request = self.socket.connect()
        request.headers.update(headers)
        credential = identity.credential(self.session, "GET", request.headers["Host"], request.path)
        request.headers["devstream-authorization"] = credential
        self.socket.send_request(request)
        self.flush()
        self.is_closed, self.arrived = False, []
        while self.socket.state is State.CONNECTING:
            # The first ones may come together with the response.
            self.arrived += self.receive_frames()
        if self.socket.handshake_exc:
            raise Refused(str(self.socket.handshake_exc))

    def flush(self) -> None:
        for data in self.socket.data_to_send():
            if data:
                self.session.sendall(data)

    def receive_frames(self) -> list:
        """Receives the next frames; answers pings and a close."""
        if self.socket.state is not State.CONNECTING and self.arrived:
            arrived, self.arrived = self.arrived, []
            return arrived
        data = receive(self.session)
        if data:
            self.socket.receive_data(data)
        else:
            self.socket.receive_eof()
            self.is_closed = True
        events = self.socket.events_received()
        self.flush()
        return [event for event in events if hasattr(event, "opcode")]

    def send_control(self, **control) -> None:
        # Nothing may be sent after a close.
        if self.socket.state is State.OPEN:
            self.socket.send_text(json.dumps(control).encode())
            self.flush()


class Stream(Socket):
    """One endpoint of a devstream.v1 stream."""

    def __init__(self, identity: Identity, url: str, token: str, session):
        self.end_to_end = session
        self.due, self.sent, self.send_limit = b"", 0, WINDOW
        self.received, self.acknowledged = 0, 0
        self.has_sent_end, self.has_received_end = False, False
        super().__init__(identity, url, PROTOCOL, {"Authorization": f"Bearer {token}"})

    def transfer(self, data: bytes, out) -> None:
        """Sends `data` and the end of its direction, writes received data to `out` until the peer's end, and closes."""
        has_ended = False
        while not (self.has_sent_end and self.has_received_end):
            # No more is encrypted than may be sent.
            while self.end_to_end.is_open() and data and len(self.due) < self.send_limit - self.sent:
                self.end_to_end.send(data[:MESSAGE])
                data, self.due = data[MESSAGE:], self.due + self.end_to_end.outgoing()
            if self.end_to_end.is_open() and not data and not has_ended:
                has_ended = True
                self.end_to_end.end()
            self.due += self.end_to_end.outgoing()
            self.send_due()
            if has_ended and not self.due and not self.has_sent_end:
                self.has_sent_end = True
                self.send_control(type="end", bytes=self.sent)
            if not (self.has_sent_end and self.has_received_end):
                self.receive_events(out)
            if self.is_closed and not (self.has_sent_end and self.has_received_end):
                raise Broken(f"closed before the end: {self.close_code()}")
        if self.socket.state is State.OPEN:
            self.socket.send_close(1000)
            self.flush()
        while not self.is_closed:
            self.receive_events(out)
        if self.close_code() != 1000:
            raise Broken(f"closed with {self.close_code()}")
        self.session.close()

    def send_due(self) -> None:
        """Sends what is due, as far as the window allows."""
        while self.due and self.sent < self.send_limit:
            message = self.due[: min(self.send_limit - self.sent, MESSAGE)]
            self.socket.send_binary(message)
            self.due, self.sent = self.due[len(message) :], self.sent + len(message)
            self.flush()

    def close_code(self):
        """Returns the close code that was received, if any."""
        return self.socket.close_rcvd and self.socket.close_rcvd.code

    def receive_events(self, out) -> None:
        """Receives and handles the next events."""
        for frame in self.receive_frames():
            if frame.opcode in (Opcode.BINARY, Opcode.CONT):
                self.on_data(frame.data, out)
            elif frame.opcode is Opcode.TEXT:
                self.on_control(json.loads(frame.data), out)
            elif frame.opcode is Opcode.CLOSE:
                self.is_closed = True

    def on_data(self, data: bytes, out) -> None:
        out.write(self.end_to_end.receive(data))
        self.received += len(data)
        if self.received - self.acknowledged >= WINDOW // 4:
            self.acknowledge()

    def acknowledge(self, **fields) -> None:
        self.acknowledged = self.received
        self.send_control(type="ack", bytes=self.received, window=WINDOW, **fields)

    def on_control(self, control: dict, out) -> None:
        if control["type"] == "ack":
            self.send_limit = max(self.send_limit, control["bytes"] + control["window"])
        elif control["type"] == "end":
            if control["bytes"] != self.received:
                raise Broken(f"{self.received} of {control['bytes']} bytes received")
            if not self.end_to_end.has_peer_ended:
                raise Broken("the stream was cut off: streamAltered")
            out.flush()
            self.has_received_end = True
            self.acknowledge(end=True)


def call(file: str, device: str, name: str, is_plain: bool) -> None:
    identity = Identity.load(file)
    known = identity.known.get(device)
    session = Plain() if is_plain else Session("service", identity.key, device, identity.name, name, known)
    carry(open_stream(identity, device, name, session), identity, file, device)


def serve(file: str, name: str) -> None:
    """Waits for one request, and accepts it if it is end to end."""
    identity = Identity.load(file)
    control = Socket(identity, f"wss://{identity.hub}/devices/{identity.name}/control", CONTROL_PROTOCOL, {})
    run = int.from_bytes(os.urandom(4), "big")
    control.send_control(type="hello", version="1.0.0", run=run, protocols=[PROTOCOL], forwards=[name])
    while not control.is_closed:
        messages = [json.loads(frame.data) for frame in control.receive_frames() if frame.opcode is Opcode.TEXT]
        for request in messages:
            if request["type"] == "welcome":
                print("client.py: online", file=sys.stderr, flush=True)
            if request["type"] != "streamRequest":
                continue
            answer = {"type": "streamResponse", "requestId": request["requestId"]}
            if not request.get("endToEnd"):
                control.send_control(**answer, accepted=False, reason={"kind": "rejectedByDevice"})
                raise Refused("the stream is not encrypted end to end: endToEndNotBegun")
            known = identity.known.get(request["service"])
            session = Session("device", identity.key, identity.name, request["service"], name, known)
            control.send_control(**answer, accepted=True, endToEnd=True)
            stream = Stream(identity, request["url"], request["authorizationToken"], session)
            return carry(stream, identity, file, request["service"])
    raise Broken("the hub closed the control connection")


def carry(stream: Stream, identity: Identity, file: str, peer: str) -> None:
    """Carries standard input and output, and keeps the peer's key if it is met for the first time."""
    session = stream.end_to_end
    try:
        stream.transfer(sys.stdin.buffer.read(), sys.stdout.buffer)
    finally:
        if session.peer_key not in (None, identity.known.get(peer)):
            identity.known[peer] = session.peer_key
            identity.save(file)


def main(arguments: list) -> int:
    signal.alarm(DEADLINE)
    try:
        match arguments:
            case ["join", link, file]:
                join(link).save(file)
            case ["call" | "call-plain" as how, file, device, name]:
                call(file, device, name, how == "call-plain")
            case ["serve", file, name]:
                serve(file, name)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (Refused, Broken, SessionFailed) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
