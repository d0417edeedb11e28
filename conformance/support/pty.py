"""Runs a command on a pseudo-terminal, driven by JSON lines on stdin; what happens goes to stdout as JSON lines.

Requests: {"send": latin-1 text}, {"size": [columns, rows]}, {"signal": number}, {"modes": true}.
Events: {"output": latin-1 text}, {"modes": {name: bool}}, {"exit": code, or minus the signal's number}.
The terminal outlives the command, so that its modes can be asked for afterwards; the end of stdin ends everything.
"""
import errno
import fcntl
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import termios

master, slave = os.openpty()


def set_size(columns, rows):
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def modes():
    _, output, _, local, _, _, _ = termios.tcgetattr(slave)
    flags = {name: bool(local & getattr(termios, name)) for name in ("ICANON", "ECHO", "ISIG")}
    return flags | {"ONLCR": bool(output & termios.ONLCR)}


def tell(event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def become_leader():
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


set_size(80, 24)
child = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave, preexec_fn=become_leader)
selector = selectors.DefaultSelector()
selector.register(master, selectors.EVENT_READ)
selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
requests = b""
running = True
while True:
    ready = selector.select(0.02)
    for key, _ in ready:
        if key.fd == master:
            try:
                tell({"output": os.read(master, 65536).decode("latin-1")})
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
            continue
        chunk = os.read(key.fd, 65536)
        if not chunk:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            sys.exit(0)
        requests += chunk
        *lines, requests = requests.split(b"\n")
        for request in map(json.loads, lines):
            if "send" in request:
                os.write(master, request["send"].encode("latin-1"))
            if "size" in request:
                set_size(*request["size"])
            if "signal" in request:
                os.kill(child.pid, request["signal"])
            if "modes" in request:
                tell({"modes": modes()})
    # Output that is still in the terminal comes before the news of the end.
    if running and child.poll() is not None and not ready:
        running = False
        tell({"exit": child.returncode})
