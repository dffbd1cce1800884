"""Throughput of one stream over long, lossy paths: `tests/bench --steady`.

Device, hub and operator are network namespaces, joined by two emulated links (link.rs). Each run starts afresh, carries 1 MiB in
a first stream, and then measures one stream from device to operator. TLS alone and devstream take turns, TLS alone less often
where there are many runs; it is three processes that copy, over two TLS connections. Both use BBR, and run with real-time
priority, so that other work on the machine does not show. Needs root and rustc.
"""

import ctypes
import itertools
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
# Timeout in seconds, for operations that should complete within some round trips.
TIMEOUT = 30
DEVICE, HUB, OPERATOR = "device", "hub", "operator"
# The address of each end of a link, and those of the hub on both.
ADDRESSES = {DEVICE: "10.98.1.1", OPERATOR: "10.98.2.1"}
HUB_ADDRESSES = {DEVICE: "10.98.1.2", OPERATOR: "10.98.2.2"}
TARGET, HUB_PORT, DEVICE_PORT, LOCAL = 9000, 9001, 9002, 9003
# TLS alone is steady, and only its median counts: with many runs, one of these is enough.
MANY_RUNS, REFERENCE_EVERY = 20, 4
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1


class Network:
    """Three namespaces and the two links between them."""

    def __init__(self, link, one_way, rate, loss):
        self.tag, self.links = f"steady{os.getpid()}", []
        for place in (DEVICE, HUB, OPERATOR):
            run("ip", "netns", "add", self.namespace(place))
            run("ip", "-n", self.namespace(place), "link", "set", "lo", "up")
            for setting in ("tcp_no_metrics_save=1", "tcp_congestion_control=bbr", "ip_forward=1"):
                self.run(place, "sysctl", "-qw", f"net.ipv4.{setting}")
        for number, place in enumerate((DEVICE, OPERATOR)):
            ends = (self.namespace(place), self.namespace(HUB))
            command = [link, *ends, f"steady{number}", str(one_way), str(rate), str(loss), str(number)]
            self.links.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            if self.links[-1].stdout.readline().strip() != "up":
                raise RuntimeError("the link did not come up")
            prefer(self.links[-1].pid, 5)
            pair = (ADDRESSES[place], HUB_ADDRESSES[place])
            for end, device, addresses in ((ends[0], "a", pair), (ends[1], "b", pair[::-1])):
                name = f"steady{number}{device}"
                run("ip", "-n", end, "addr", "add", addresses[0], "peer", addresses[1], "dev", name)
                run("ip", "-n", end, "link", "set", name, "up", "txqueuelen", "5000")

    def namespace(self, place):
        return f"{self.tag}-{place}"

    def run(self, place, *command):
        run("ip", "netns", "exec", self.namespace(place), *command)

    def enter(self, place):
        with open(f"/run/netns/{self.namespace(place)}") as namespace:
            if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def fork(self, place, work, *arguments):
        """Starts a function as a process in one of the places."""

        def start():
            self.enter(place)
            work(*arguments)

        process = multiprocessing.get_context("fork").Process(target=start, daemon=True)
        process.start()
        return process

    def close(self):
        for link in self.links:
            link.stdin.close()
            link.wait()
        for place in (DEVICE, HUB, OPERATOR):
            subprocess.run(["ip", "netns", "del", self.namespace(place)], check=False)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def prefer(pid, priority):
    """Has a process scheduled before the rest of the machine: BBR takes a process that waits for a processor for a slow path."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(priority))


# TLS alone: a byte towards the target, and everything back.


def target():
    """Sends as much as is read, or with the first byte `1` one MiB."""

    def serve(conn):
        block = bytes(MIB)
        if conn.recv(1) == b"1":
            return conn.sendall(block)
        while True:
            conn.sendall(block)

    serve_forever(("0.0.0.0", TARGET), None, serve)


def relay(address, server_context, onward, client_context):
    def serve(near):
        far = socket.create_connection(onward, TIMEOUT)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.settimeout(None)
        if client_context:
            far = client_context.wrap_socket(far, server_hostname="bench")
        far.sendall(near.recv(1))
        block = memoryview(bytearray(64 * 1024))
        while count := far.recv_into(block):
            near.sendall(block[:count])

    serve_forever(address, server_context, serve)


def serve_forever(address, context, serve):
    """Serves each connection in a process of its own, which ends with this one."""
    listener = socket.create_server(address, backlog=16)
    while True:
        conn = listener.accept()[0]
        if os.fork():
            conn.close()
            continue
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        listener.close()
        try:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(context.wrap_socket(conn, server_side=True) if context else conn)
        except OSError:
            pass
        finally:
            os._exit(0)


def tls_alone(network, directory):
    pem, crt = directory / "pem", directory / "crt"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
    run(*make.split(), "-addext", "subjectAltName=DNS:bench", "-keyout", str(pem), "-out", str(crt))
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=crt)
    server.load_cert_chain(crt, pem)
    device = network.fork(DEVICE, relay, ("0.0.0.0", DEVICE_PORT), server, ("127.0.0.1", TARGET), None)
    hub = network.fork(HUB, relay, ("0.0.0.0", HUB_PORT), server, (ADDRESSES[DEVICE], DEVICE_PORT), client)
    hub_address = (HUB_ADDRESSES[OPERATOR], HUB_PORT)
    return [device, hub, network.fork(OPERATOR, relay, ("127.0.0.1", LOCAL), None, hub_address, client)]


def devstream(network, directory):
    program = HERE.parent.parent / "target/release/devstream"
    home = {name: str(directory) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    log = open(directory / "log", "a")

    def start(place, *words):
        command = ["ip", "netns", "exec", network.namespace(place), str(program), *words]
        return subprocess.Popen(command, env=os.environ | home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    names = [word for address in HUB_ADDRESSES.values() for word in ("--hostname", address)]
    hub = start(HUB, "hub", "--listen", f"0.0.0.0:{HUB_PORT}", *names)
    time.sleep(0.5)
    ends = {place: f"{address}:{HUB_PORT}" for place, address in HUB_ADDRESSES.items()}
    device = start(DEVICE, "device-agent", "--id", "bench", "--hub", ends[DEVICE], "--forward", f"t=127.0.0.1:{TARGET}")
    words = ("service-proxy", "--device", "bench", "--hub", ends[OPERATOR], "--local", f"{LOCAL}=t")
    return [hub, device, start(OPERATOR, *words)]


# Measurements.


def transfer(seconds, results):
    """Reads 1 MiB in a first connection, then measures a second one: the MiB per second of its second half."""
    deadline = time.monotonic() + TIMEOUT
    while not read_first(deadline):
        time.sleep(0.2)
    conn = connect()
    conn.sendall(b"d")
    buffer, start, counts = bytearray(MIB), time.monotonic(), [0, 0]
    while (passed := time.monotonic() - start) < 2 * seconds:
        counts[passed >= seconds] += conn.recv_into(buffer)
    results.put(counts[1] / MIB / seconds)


def connect():
    conn = socket.create_connection(("127.0.0.1", LOCAL), TIMEOUT)
    conn.settimeout(TIMEOUT)
    return conn


def read_first(deadline):
    try:
        with connect() as conn:
            conn.sendall(b"1")
            left = MIB
            while left:
                count = len(conn.recv(left))
                if not count:
                    raise ConnectionError("the connection ended")
                left -= count
            return True
    except OSError as error:
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing passes: {error}") from error
        return False


def measure(network, start, seconds):
    """Starts the target and the tunnel, and returns the MiB per second."""
    directory, results = pathlib.Path(tempfile.mkdtemp(prefix="devstream-steady-")), multiprocessing.get_context("fork").Queue()
    processes = [network.fork(DEVICE, target)]
    try:
        processes += start(network, directory)
        client = network.fork(OPERATOR, transfer, seconds, results)
        processes.append(client)
        client.join(2 * TIMEOUT + 2 * seconds)
        if client.exitcode != 0:
            raise RuntimeError((directory / "log").read_text() if (directory / "log").exists() else "TLS alone failed")
        return results.get(timeout=TIMEOUT)
    finally:
        for process in reversed(processes):
            process.kill()
        for process in processes:
            (process.join if hasattr(process, "join") else process.wait)()
        shutil.rmtree(directory, ignore_errors=True)


def measure_path(link, path, runs, seconds):
    """Prints a row of the table: TLS alone and devstream, each so many times in turn."""
    loss, round_trip, rate = path
    network, found = Network(link, round_trip / 2, rate, loss), {tls_alone: [], devstream: []}
    try:
        for number, start in itertools.product(range(runs), found):
            if start is tls_alone and runs >= MANY_RUNS and number % REFERENCE_EVERY:
                continue
            try:
                found[start].append(measure(network, start, seconds))
                text = f"{found[start][-1]:.1f} MiB/s"
            except RuntimeError as error:
                text = f"failed: {error}"
            print(f"{loss:g} %, {round_trip:g} ms, {rate:g} Mbit/s, run {number + 1}: {start.__name__} {text}", file=sys.stderr)
    finally:
        network.close()
    if not all(found.values()):
        return
    middle = statistics.median(found[tls_alone])
    cells = [[min(values), statistics.median(values), max(values)] for values in found.values()]
    words = [" / ".join(f"{value:.1f}" for value in cell) for cell in cells]
    ratios = " / ".join(f"{value / middle:.2f}" for value in cells[1])
    print(f"| {loss:g} % | {round_trip:g} ms | {rate:g} Mbit/s | {' | '.join(words)} | {ratios} |", flush=True)


def main(arguments):
    """Measures each combination of loss, round-trip time and rate."""
    runs, seconds = (3, 2) if arguments.quick else (arguments.runs, 4)
    paths = [(1, 100, 200)] if arguments.quick else itertools.product(arguments.loss, arguments.round_trip, arguments.rate)
    with tempfile.TemporaryDirectory(prefix="devstream-steady-") as directory:
        link = f"{directory}/link"
        subprocess.run(["rustc", "--edition", "2024", "-O", "-o", link, str(HERE / "link.rs")], check=True)
        # All that is started from here on inherits it; the links come first.
        prefer(os.getpid(), 2)
        print(f"\nMiB/s of one stream to the operator, slowest / median / fastest of {runs}, and devstream's ratio to the")
        print("median of TLS alone. Loss, round-trip time and rate are those of each of the two legs.\n")
        print("| loss | round trip | rate | TLS alone | devstream | ratio |\n|---:|---:|---:|---:|---:|---:|", flush=True)
        for path in paths:
            measure_path(link, path, runs, seconds)
