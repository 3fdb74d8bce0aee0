"""Lent, a socket object over a NetFD's descriptor, and SocketFile, what a unix socket leaves behind."""

import os
import socket

from gopy.sync import Once


class Lent(socket.socket):
    """A socket object over the descriptor of a NetFD, which alone closes it: this one never does.

    It is to be used only while the NetFD holds the descriptor: in its control() or retry()."""

    __slots__ = ()

    def __init__(self, fd: int) -> None:
        super().__init__(fileno=fd)
        self.setblocking(False)  # the object, by which it does not wait for anything

    def __del__(self) -> None:  # instead of socket's, which closes
        pass


class SocketFile:
    """The file of a bound unix socket. It is removed once, by the process that bound it: the second time it
    might be somebody else's, and in a forked child it is the parent's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._owner = os.getpid()
        self._once = Once()

    def remove(self) -> None:
        """Before the socket is closed: as long as the file is there nobody else can bind the path."""
        if os.getpid() == self._owner:
            self._once.do(self._unlink)

    def _unlink(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            pass


def socket_file(network: str, address: str) -> SocketFile | None:
    """Of a socket just bound to an address, if it is a path in the file system."""
    if not network.startswith("unix") or address.startswith("\0"):
        return None
    return SocketFile(os.path.abspath(address))
