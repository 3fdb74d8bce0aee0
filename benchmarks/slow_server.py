"""An HTTP server that answers each request after 100 ms, in a process of its own.

    python -m benchmarks.slow_server http 0

runs it on core 0, and prints its port as JSON.
"""

import asyncio
import os
import sys

from benchmarks.echo_servers import BACKLOG, HERE, die_with_parent, listening

DELAY = 0.1
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"ok": true}'


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(DELAY)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def http() -> None:
    server = await asyncio.start_server(serve, HERE, 0, backlog=BACKLOG)
    listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    die_with_parent()
    os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
    asyncio.run(http())
