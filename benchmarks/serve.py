"""One server process: `python -m benchmarks.serve <app> <socket's descriptor>`, run as `lineal serve` runs a worker."""

import socket
import sys

import uvicorn

from server.http.protocols import protocols
from server.ops.processes import connections, die_with_parent
from server.settings import Settings


def main(app: str, descriptor: str) -> None:
    die_with_parent()
    config = uvicorn.Config(
        app,
        factory=app.endswith(":application"),
        loop="uvloop",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        date_header=True,
        **protocols(connections(Settings())),
    )
    uvicorn.Server(config).run([socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
