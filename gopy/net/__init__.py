"""Go's package net over the netpoller: every call parks the goroutine, never its OS thread."""

from gopy.net._addr import Addr as Addr
from gopy.net._addr import alookup_host as alookup_host
from gopy.net._addr import lookup_host as lookup_host
from gopy.net._conn import Conn as Conn
from gopy.net._dial import adial as adial
from gopy.net._dial import dial as dial
from gopy.net._listener import Listener as Listener
from gopy.net._listener import alisten as alisten
from gopy.net._listener import listen as listen
from gopy.net._packet import PacketConn as PacketConn
from gopy.net._packet import alisten_packet as alisten_packet
from gopy.net._packet import listen_packet as listen_packet
from gopy.net._pipe import pipe as pipe

__all__ = [
    "Addr",
    "Conn",
    "Listener",
    "PacketConn",
    "adial",
    "alisten",
    "alisten_packet",
    "alookup_host",
    "dial",
    "listen",
    "listen_packet",
    "lookup_host",
    "pipe",
]
