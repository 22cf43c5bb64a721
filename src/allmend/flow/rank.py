"""Entry point of one rank: `torchrun -m allmend.flow.rank SOCKET JOB`."""

import sys
from pathlib import Path

from allmend.flow.ranks import rank_main

if __name__ == "__main__":
    rank_main(sys.argv[1], Path(sys.argv[2]))
