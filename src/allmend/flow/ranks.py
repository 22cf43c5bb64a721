"""A step on several ranks: torchrun starts the same function n times; rank 0 writes; one rank's death ends all within 2 s.

The step's process watches the ranks and kills them all when one dies, fails or stands still. If the step's process itself is
killed, each rank notices the closed line and kills its peers and torchrun before it leaves: a stopped peer can't notice
anything, and torchrun would wait 30 s for it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, NoReturn

from allmend.flow.build import earlier_builds
from allmend.flow.channel import Channel, portable
from allmend.flow.rooms import find_step
from allmend.flow.work import Work
from allmend.kinds import Step
from allmend.kinds.errors import AllmendError, Interrupted, RankFailedError
from allmend.ledger import Ledger

POLL_S = 0.1
STOPPED_S = 1.0
"""A rank that the kernel shows as stopped for so long is given up: collectives of the others hang on it."""


def run_ranks(job: Any, step: Step, work: Work, channel: Channel) -> Any:
    """Run a step's function under torchrun and wait for all ranks.

    Raises:
        RankFailedError: a rank died, stopped or failed; all were ended.
    """
    with tempfile.TemporaryDirectory(prefix="allmend-") as folder:
        address, secret = os.path.join(folder, "ranks"), secrets.token_hex(16)
        with Listener(address, "AF_UNIX", backlog=job.ranks, authkey=secret.encode()) as listener:
            job.draft, job.state = work.folder, work.state
            spec = Path(folder) / "job.pickle"
            spec.write_bytes(pickle.dumps(job))
            process = _start(job.ranks, address, secret, spec, folder)
            watch = _Watch(listener, process, channel, job.ranks)
            try:
                watch.run()
            finally:
                watch.end()
    return step.kind(work.folder)


def _start(ranks: int, address: str, secret: str, spec: Path, scratch: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={ranks}", "--max-restarts=0",
        "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "-m", "allmend.flow.rank", address, str(spec),
    ]  # fmt: skip
    environment = {**os.environ, "ALLMEND_RANKS": secret, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    environment["TMPDIR"] = scratch  # torchrun and killed ranks leave folders behind; they go with ours
    environment["GLOO_SOCKET_IFNAME"] = environment.get("GLOO_SOCKET_IFNAME", "lo")
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


class _Watch:
    """Follows the ranks: their messages, their ends, and whether the kernel has stopped one."""

    def __init__(self, listener: Listener, process: subprocess.Popen[bytes], channel: Channel, ranks: int) -> None:
        self.listener, self.process, self.channel, self.ranks = listener, process, channel, ranks
        self.lines: dict[int, Connection] = {}
        self.pids: dict[int, int] = {}
        self.done: set[int] = set()
        self.failures: list[tuple[int, AllmendError]] = []
        self.gone: list[int] = []
        self._stopped: dict[int, float] = {}
        threading.Thread(target=self._welcome, name="ranks", daemon=True).start()

    def _welcome(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            for _ in range(self.ranks):
                line = self.listener.accept()
                rank, pid = line.recv()
                self.pids[rank], self.lines[rank] = pid, line
                self._send("peers", [*self.pids.values(), self.process.pid])
                threading.Thread(target=self._listen, args=(rank, line), name=f"rank {rank}", daemon=True).start()

    def _listen(self, rank: int, line: Connection) -> None:
        try:
            while True:
                message = line.recv()
                if message[0] == "done":
                    self.done.add(rank)
                elif message[0] == "failed":
                    self.failures.append((rank, message[1]))
                else:
                    self.channel.tell(*message)
        except (EOFError, OSError):
            if rank not in self.done:
                self.gone.append(rank)

    def _send(self, *message: Any) -> None:
        for line in list(self.lines.values()):
            with contextlib.suppress(OSError):
                line.send(message)

    def run(self) -> None:
        while len(self.done) < self.ranks:
            time.sleep(POLL_S)
            if self.channel.stopping.is_set():
                self._send("stop")  # again and again: a rank may join late
            self._look(ended=self.process.poll() is not None)
        self.process.wait()

    def _look(self, ended: bool) -> None:
        stopped = [
            rank for rank, pid in list(self.pids.items()) if rank not in self.done and self._is_stopped(rank, pid)
        ]
        if not (self.failures or self.gone or stopped or ended) or len(self.done) == self.ranks:
            return
        time.sleep(2 * POLL_S)  # let the first failure's own message arrive before the noise of the others
        if self.failures:
            rank, error = self._first_failure()
            if isinstance(error, Interrupted):
                raise error
            failed = RankFailedError(f"rank {rank} of {self.ranks} failed: {error}")
            failed.__dict__["trace"] = getattr(error, "trace", "")
            raise failed
        if stopped:
            raise RankFailedError(
                f"rank {stopped[0]} of {self.ranks} (process {self.pids[stopped[0]]}) was stopped by a signal and the others wait for it. "
                "All ranks were ended; the same command goes on from the last checkpoint."
            )
        if self.gone:
            raise RankFailedError(
                f"rank {self.gone[0]} of {self.ranks} (process {self.pids[self.gone[0]]}) died without a word (killed, or out of memory). "
                "All ranks were ended; the same command goes on from the last checkpoint."
            )
        raise RankFailedError(
            f"torchrun left with status {self.process.returncode} before {self.ranks} ranks had started."
        )

    def _first_failure(self) -> tuple[int, AllmendError]:
        """The failure that explains the others: a lost connection to a peer is a consequence."""
        own = [
            each
            for each in self.failures
            if not any(word in str(each[1]) for word in ("Connection", "connection", "closed by peer"))
        ]
        if not own and self.gone:
            died = [rank for rank in self.gone if rank not in {rank for rank, _ in self.failures}]
            if died:
                return died[0], RankFailedError(
                    f"process {self.pids[died[0]]} died without a word (killed, or out of memory)"
                )
        return (own or self.failures)[0]

    def _is_stopped(self, rank: int, pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state not in "Tt":
            self._stopped.pop(rank, None)
            return False
        return time.monotonic() - self._stopped.setdefault(rank, time.monotonic()) > STOPPED_S

    def end(self) -> None:
        """Leave no process behind, stopped ones included."""
        for line in list(self.lines.values()):
            line.close()
        if len(self.done) == self.ranks and self.process.poll() is not None:
            return
        for pid in [*self.pids.values(), self.process.pid]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _leave(peers: list[int]) -> NoReturn:
    """The step's process is gone: end the peers too, stopped ones included, then torchrun, then this rank."""
    for pid in peers:
        if pid != os.getpid():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    os._exit(9)


def rank_main(address: str, spec: Path) -> None:
    """Life of one rank, started by torchrun."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    line = Client(address, "AF_UNIX", authkey=os.environ["ALLMEND_RANKS"].encode())
    line.send((rank, os.getpid()))
    channel = Channel(line.send)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def listen() -> None:
        peers: list[int] = []
        while True:
            try:
                message = line.recv()
            except (EOFError, OSError):
                _leave(peers)
            if message[0] == "stop":
                channel.stopping.set()
            elif message[0] == "peers":
                peers = message[1]

    threading.Thread(target=listen, name="parent", daemon=True).start()
    try:
        job = pickle.loads(spec.read_bytes())
        step = find_step(job.use)
        ledger = Ledger(job.root, create=False)
        with tempfile.TemporaryDirectory(prefix="allmend-rank-") as scratch:
            folder = job.draft if rank == 0 else Path(scratch) / "draft"
            folder.mkdir(exist_ok=True)
            work = Work(
                folder, scratch=Path(scratch), state=job.state, key=job.key, use=job.use, step=step, config=job.config,
                channel=channel, device=job.device, rank=rank, world=world,
                earlier=earlier_builds(ledger, job),
            )  # fmt: skip
            step.function(job.config, **job.artifacts(ledger), work=work)
        line.send(("done",))
    except BaseException as error:
        line.send(("failed", portable(error)))
        time.sleep(0.5)
        os._exit(1)
    os._exit(0)  # no waiting for process groups of peers that may be gone
