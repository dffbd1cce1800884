"""The recordings: three machines with names, users and files of their own, on one loopback, and a real sshd."""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from terminal import Clock, Terminal, svg

HUB, DEVICE, LAPTOP = "hub", "pi-42", "laptop"
USERS = {HUB: "ops", DEVICE: "pi", LAPTOP: "ada"}
TITLES = {HUB: "hub.example.com", DEVICE: "pi-42, a device behind NAT", LAPTOP: "laptop"}
PROMPTS = {HUB: "hub$ ", DEVICE: "device$ ", LAPTOP: "laptop$ "}
COLUMNS = 102
PROMPT = r"\$ $"
LINK = r"(?s)devstream join ('.*?')\n.*\$ $"
START_HUB = "devstream hub --hostname hub.example.com 2>log &"
# What stands on a machine before the recording. Nothing of the machine below is seen: not its name, users, homes or programs.
MACHINE = """
set -e
hostname {name}
mount --make-rprivate /
mount --bind {files}/{name}.passwd /etc/passwd
mount --bind {files}/hosts /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cp {files}/devstream /usr/local/bin/
for place in /home /run /var/log; do mount -t tmpfs -o mode=755 tmpfs $place; done
mkdir -p /run/sshd /home/{user}/.ssh
cp {files}/{name}/* /home/{user}/.ssh/
chown -R 1000:1000 /home/{user}
chmod -R go= /home/{user}
cd /home/{user}
exec {command}
"""
SSHD = """Port 22
ListenAddress 127.0.0.1
HostKey {files}/host
UsePAM no
PrintMotd no
PrintLastLog no
PidFile none
"""


class Machine:
    """A machine: namespaces for files and the name, and one user."""

    def __init__(self, files, name):
        self.files, self.name, self.user = files, name, USERS[name]

    def command(self, command):
        """Returns a command that runs another one here, as root."""
        script = MACHINE.format(files=self.files, name=self.name, user=self.user, command=command)
        spaces = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return ["unshare", *spaces, "sh", "-c", script]

    def shell(self):
        """Returns a command for a shell of the user."""
        home = f"/home/{self.user}"
        variables = {
            "HOME": home, "USER": self.user, "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8",
            "PS1": PROMPTS[self.name],
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        user = ["setsid", "--ctty", "setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "env", "-i", *words]
        return self.command(shlex.join([*user, "bash", "--norc", "--noprofile", "-i"]))


class Recording:
    """Three machines, an sshd on the device, and a terminal on each machine that is in the picture."""

    def __init__(self, program, rows, columns=COLUMNS):
        self.files = pathlib.Path(tempfile.mkdtemp(prefix="devstream-pictures-"))
        self.files.chmod(0o755)
        shutil.copy(program, self.files / "devstream")
        self.write_files()
        self.sshd = subprocess.Popen(Machine(self.files, DEVICE).command(f"/usr/sbin/sshd -D -f {self.files}/sshd"))
        self.clock = Clock()
        for name in (HUB, DEVICE, LAPTOP):
            terminal = Terminal(TITLES[name], Machine(self.files, name).shell(), columns, rows[name], self.clock)
            self.clock.terminals.append(terminal)
            self.clock.wait(terminal, PROMPT)
        self.hub, self.device, self.laptop = self.clock.terminals

    def write_files(self):
        system = [line for line in open("/etc/passwd") if line.split(":")[0] in ("root", "sshd")]
        (self.files / "hosts").write_text("127.0.0.1 localhost hub.example.com\n")
        (self.files / "sshd").write_text(SSHD.format(files=self.files))
        for name, user in USERS.items():
            (self.files / f"{name}.passwd").write_text("".join([*system, f"{user}:*:1000:1000::/home/{user}:/bin/bash\n"]))
            (self.files / name).mkdir()
            (self.files / name / "empty").touch()
        for key in (self.files / "host", self.files / LAPTOP / "id_ed25519"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
        shutil.copy(self.files / LAPTOP / "id_ed25519.pub", self.files / DEVICE / "authorized_keys")
        host_key = (self.files / "host.pub").read_text()
        (self.files / LAPTOP / "known_hosts").write_text(f"pi-42.devstream {host_key}")

    def close(self):
        for terminal in self.clock.terminals:
            terminal.process.kill()
            os.close(terminal.master)
        self.sshd.kill()
        shutil.rmtree(self.files, ignore_errors=True)

    def join(self):
        """Does what README says for three machines."""
        clock = self.clock
        clock.type(self.hub, START_HUB, PROMPT)
        clock.pass_for(1.5)
        link = clock.type(self.hub, "devstream hub device add pi-42", LINK)[1]
        clock.pass_for(1)
        clock.type(self.device, "devstream join ", PROMPT, pasted=link)
        clock.type(self.device, "devstream device-agent --forward 22", "is online at")
        clock.pass_for(1)
        link = clock.type(self.hub, "devstream hub service add laptop --device pi-42", LINK)[1]
        clock.pass_for(1)
        clock.type(self.laptop, "devstream join ", PROMPT, pasted=link)
        clock.pass_for(0.6)


def session(program, path):
    """Three machines join, a shell opens, the hub is killed and started again, and the shell goes on."""
    recording = Recording(program, {HUB: 9, DEVICE: 8, LAPTOP: 12})
    clock, hub, laptop = recording.clock, recording.hub, recording.laptop
    try:
        recording.join()
        clock.type(laptop, "devstream ssh-config --install", PROMPT)
        clock.pass_for(0.8)
        clock.type(laptop, "ssh pi@pi-42.devstream", PROMPT)
        clock.pass_for(0.8)
        clock.type(laptop, "n=0; while sleep 1; do echo $((n += 1)); done", r"\n3\n")
        clock.type(hub, "kill -9 %1; wait", r"(?s)Killed.*\$ $")
        clock.pass_for(6)
        clock.type(hub, START_HUB, PROMPT)
        clock.wait(laptop, r"\n\d\d\n")
        clock.pass_for(2)
        os.write(laptop.master, b"\x03")
        clock.wait(laptop, PROMPT)
        clock.type(laptop, "hostname", PROMPT)
        clock.pass_for(0.5)
        path.write_text(svg(clock.terminals, "Three machines join; ssh goes on while the hub is killed and started again"))
    finally:
        recording.close()


def check(program, path):
    """`devstream check` finds that nothing listens on the device's port."""
    recording = Recording(program, {HUB: 24, DEVICE: 24, LAPTOP: 13}, columns=110)
    clock, laptop = recording.clock, recording.laptop
    try:
        recording.join()
        recording.sshd.kill()
        recording.sshd.wait()
        os.write(laptop.master, b"clear\r")
        clock.wait(laptop, PROMPT)
        clock.type(laptop, "devstream check --device pi-42", PROMPT)
        path.write_text(svg([laptop], "devstream check finds the hop that fails, and says what to do next", moving=False))
    finally:
        recording.close()


PICTURES = {"session": session, "check": check}
