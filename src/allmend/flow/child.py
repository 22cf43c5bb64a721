"""Entry point of our child processes: `python -m allmend.flow.child FD`, where FD is a socket to the parent."""

import sys
from multiprocessing.connection import Connection

from allmend.flow.channel import serve

if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
