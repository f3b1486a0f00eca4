"""The child process behind `tests.support.pipes`: it has no will of its own.

Everything that arrives on stdin is passed to the test over a Unix socket, and whatever the test orders is done:
bytes on stdout or stderr, closing, forking, deafness to signals, an exit. Frames both ways: kind (1 byte), length
(4 bytes, big-endian), data. Standard library only; run with `-I -S`, so that a start takes 20 ms.
"""

import os
import select
import signal
import socket
import struct
import sys

LIFETIME = 120
"""Seconds after which a puppet that a failed test left behind ends by itself."""


class Puppet:
    def __init__(self, path: str) -> None:
        self.strings = socket.socket(socket.AF_UNIX)
        self.strings.connect(path)
        self.listening = True
        self.orders = {
            b"O": lambda data: write_all(1, data),
            b"E": lambda data: write_all(2, data),
            b"C": lambda data: os.close(int(data)),
            b"X": lambda data: os._exit(int(data)),
            b"K": lambda data: os.kill(os.getpid(), int(data)),
            b"D": lambda data: signal.signal(signal.SIGTERM, signal.SIG_IGN),
            b"F": self.fork,
            b"L": self.listen,
            b"V": self.environment,
        }

    def run(self) -> None:
        self.tell(b"H", str(os.getpid()).encode())
        while True:
            sources = [self.strings, *([0] if self.listening else [])]
            for source in select.select(sources, [], [])[0]:
                if source == 0:
                    self.heard(os.read(0, 65_536))
                else:
                    self.obey()

    def heard(self, data: bytes) -> None:
        self.tell(b"I", data)
        if not data:
            self.listening = False

    def obey(self) -> None:
        kind, length = struct.unpack(">cI", self.take(5))
        self.orders[kind](self.take(length))

    def listen(self, data: bytes) -> None:
        self.listening = data == b"1"

    def fork(self, data: bytes) -> None:
        pid = os.fork()
        if pid == 0:
            self.strings.close()
            if data == b"1":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.alarm(LIFETIME)
            while True:
                signal.pause()
        self.tell(b"G", str(pid).encode())

    def environment(self, data: bytes) -> None:
        with open("/proc/self/environ", "rb") as file:
            self.tell(b"V", os.getcwd().encode() + b"\n" + file.read())

    def tell(self, kind: bytes, data: bytes) -> None:
        self.strings.sendall(struct.pack(">cI", kind, len(data)) + data)

    def take(self, length: int) -> bytes:
        parts = []
        while length:
            part = self.strings.recv(length)
            if not part:
                os._exit(0)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


if __name__ == "__main__":
    signal.alarm(LIFETIME)
    Puppet(sys.argv[1]).run()
