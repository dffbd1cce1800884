"""Throughput of one stream over long, lossy paths: `tests/bench --steady`.

Device, hub and operator are network namespaces, joined by two emulated links (link.rs). Each run starts afresh, carries 1 MiB in
a first stream, and then measures one stream from device to operator. TLS alone and devstream take turns, TLS alone less often
where there are many runs; it is three processes that copy, over two TLS connections. Both use BBR, and run with real-time
priority, so that other work on the machine does not show. Needs root and rustc.

With `--figures FILE` it writes instead what docs/pictures/make draws: both, and `ssh`, on one path, where the machines have the
default of most, CUBIC. devstream asks for BBR by itself.
"""

import ctypes
import datetime
import itertools
import json
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
PROGRAM = HERE.parent.parent / "target/release/devstream"
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

    def __init__(self, link, one_way, rate, loss, congestion="bbr"):
        self.tag, self.links = f"steady{os.getpid()}", []
        for place in (DEVICE, HUB, OPERATOR):
            run("ip", "netns", "add", self.namespace(place))
            run("ip", "-n", self.namespace(place), "link", "set", "lo", "up")
            for setting in ("tcp_no_metrics_save=1", f"tcp_congestion_control={congestion}", "ip_forward=1"):
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
    """Sends as much as is read, or with the first byte `1` one MiB, and with `0` one byte."""

    def serve(conn):
        block = bytes(MIB)
        kind = conn.recv(1)
        if kind in (b"0", b"1"):
            return conn.sendall(block if kind == b"1" else kind)
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
    home = {name: str(directory) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    log = open(directory / "log", "a")

    def start(place, *words):
        command = ["ip", "netns", "exec", network.namespace(place), str(PROGRAM), *words]
        return subprocess.Popen(command, env=os.environ | home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    names = [word for address in HUB_ADDRESSES.values() for word in ("--hostname", address)]
    hub = start(HUB, "hub", "--listen", f"0.0.0.0:{HUB_PORT}", *names)
    time.sleep(0.5)
    ends = {place: f"{address}:{HUB_PORT}" for place, address in HUB_ADDRESSES.items()}
    device = start(DEVICE, "device-agent", "--id", "bench", "--hub", ends[DEVICE], "--forward", f"t=127.0.0.1:{TARGET}")
    words = ("service-proxy", "--device", "bench", "--hub", ends[OPERATOR], "--local", f"{LOCAL}=t")
    return [hub, device, start(OPERATOR, *words)]


def ssh(network, directory):
    """`ssh -R` at the device and `ssh -L` at the operator, through an sshd at the hub."""
    key, config, far = directory / "key", directory / "sshd", LOCAL + 1
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    settings = [f"Port {HUB_PORT}", f"HostKey {key}", f"AuthorizedKeysFile {key}.pub", "StrictModes no", "UsePAM no"]
    config.write_text("\n".join([*settings, "PidFile none"]) + "\n")
    log = open(directory / "log", "a")

    def start(place, *words):
        command = ["ip", "netns", "exec", network.namespace(place), *words]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def client(place, *words):
        settings = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes")
        options = [word for setting in settings for word in ("-o", setting)]
        return start(place, "ssh", "-F", "none", "-N", "-i", str(key), *options, "-p", str(HUB_PORT), *words, HUB_ADDRESSES[place])

    hub = start(HUB, "/usr/sbin/sshd", "-D", "-f", str(config))
    time.sleep(0.5)
    device = client(DEVICE, "-R", f"127.0.0.1:{far}:127.0.0.1:{TARGET}")
    time.sleep(3)
    return [hub, device, client(OPERATOR, "-L", f"127.0.0.1:{LOCAL}:127.0.0.1:{far}")]


# Measurements.


def wait_until_ready():
    deadline = time.monotonic() + TIMEOUT
    while not read_first(deadline):
        time.sleep(0.2)


def first_byte(seconds, results):
    """Measures the time from connecting to the first byte, in milliseconds: the median of as many as fit."""
    wait_until_ready()
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        with connect() as conn:
            conn.sendall(b"0")
            if not conn.recv(1):
                raise ConnectionError("the connection ended")
            found.append(1000 * (time.monotonic() - start))
    results.put(statistics.median(found))


def transfer(seconds, results):
    """Reads 1 MiB in a first connection, then measures a second one: the MiB per second of its second half."""
    wait_until_ready()
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


def measure(network, start, seconds, work=transfer):
    """Starts the target and the tunnel, and returns what the work measures: the MiB per second."""
    directory, results = pathlib.Path(tempfile.mkdtemp(prefix="devstream-steady-")), multiprocessing.get_context("fork").Queue()
    processes = [network.fork(DEVICE, target)]
    try:
        processes += start(network, directory)
        client = network.fork(OPERATOR, work, seconds, results)
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


# What docs/pictures/make draws: the name, the unit, the loss in percent, and the measurement.
FIGURES = [
    ("one stream, 1 % packet loss", "MiB/s", 1, transfer),
    ("one stream, no loss", "MiB/s", 0, transfer),
    ("connect to first byte", "ms", 0, first_byte),
]
FIGURES_ROUND_TRIP, FIGURES_RATE, FIGURES_CONGESTION = 100, 200, "cubic"


def figures(link, path, machine, runs, seconds):
    """Measures all of FIGURES, and writes the medians with the slowest and fastest of the runs."""
    found = []
    for name, unit, loss, work in FIGURES:
        network, values = Network(link, FIGURES_ROUND_TRIP / 2, FIGURES_RATE, loss, FIGURES_CONGESTION), {}
        try:
            for number, start in itertools.product(range(runs), (devstream, tls_alone, ssh)):
                values.setdefault(start.__name__, []).append(measure(network, start, seconds, work))
                print(f"{name}, run {number + 1}: {start.__name__} {values[start.__name__][-1]:.2f} {unit}", file=sys.stderr)
        finally:
            network.close()
        rounded = {tunnel: [round(value, 2) for value in sorted(runs)] for tunnel, runs in values.items()}
        medians = {tunnel: round(statistics.median(runs), 2) for tunnel, runs in values.items()}
        found.append({"name": name, "unit": unit, "medians": medians, "runs": rounded})
    network = f"Two legs of {FIGURES_ROUND_TRIP} ms round trip and {FIGURES_RATE} Mbit/s, {FIGURES_CONGESTION.upper()} by default"
    written = {"date": str(datetime.date.today()), "machine": machine, "network": network, "figures": found}
    pathlib.Path(path).write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


def allow(congestion):
    """Ends where namespaces may not choose this congestion control."""
    allowed = pathlib.Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
    if congestion not in allowed:
        words = " ".join([*allowed, congestion])
        sys.exit(f"tests/bench: first run: sysctl -w net.ipv4.tcp_allowed_congestion_control='{words}'")


def check_memory():
    """Ends where other programs use up the kernel's memory for TCP: it then shrinks every window, and nothing is fast."""
    used = int(pathlib.Path("/proc/net/sockstat").read_text().split("TCP:")[1].split("\n")[0].split()[-1])
    low = int(pathlib.Path("/proc/sys/net/ipv4/tcp_mem").read_text().split()[0])
    if used > low / 2:
        sys.exit(f"tests/bench: TCP uses {used} of {low} pages of memory; first end what has so many connections (ss -s)")


def main(arguments, machine):
    """Measures each combination of loss, round-trip time and rate, or the figures."""
    runs, seconds = (3, 2) if arguments.quick else (arguments.runs, 4)
    paths = [(1, 100, 200)] if arguments.quick else itertools.product(arguments.loss, arguments.round_trip, arguments.rate)
    if arguments.figures:
        allow(FIGURES_CONGESTION)
        check_memory()
    with tempfile.TemporaryDirectory(prefix="devstream-steady-") as directory:
        link = f"{directory}/link"
        subprocess.run(["rustc", "--edition", "2024", "-O", "-o", link, str(HERE / "link.rs")], check=True)
        # All that is started from here on inherits it; the links come first.
        prefer(os.getpid(), 2)
        if arguments.figures:
            return figures(link, arguments.figures, machine, runs, seconds)
        print(f"\nMiB/s of one stream to the operator, slowest / median / fastest of {runs}, and devstream's ratio to the")
        print("median of TLS alone. Loss, round-trip time and rate are those of each of the two legs.\n")
        print("| loss | round trip | rate | TLS alone | devstream | ratio |\n|---:|---:|---:|---:|---:|---:|", flush=True)
        for path in paths:
            measure_path(link, path, runs, seconds)
