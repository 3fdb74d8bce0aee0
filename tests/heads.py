"""What servers of the tests' own read of a request."""


def read_head(conn):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = conn.read(1)
        if not data:
            return b""
        head += data
    return head
