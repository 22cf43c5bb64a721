"""What a person sees of a run: bars with rate and time left on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from allmend.flow.plan import Node

EVERY_S = 30.0


class Plain:
    """For logs and pipes: one line when a step begins and ends, and one every 30 s in between."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.said: dict[str, float] = {}

    def begun(self, node: Node) -> None:
        self.said[node.name] = time.monotonic()
        self._print(f"{node.name}: {node.use} begins")

    def message(self, node: Node, message: tuple[Any, ...]) -> None:
        if message[0] == "log":
            self._print(f"{node.name}: {message[1]}")
        elif message[0] == "progress" and time.monotonic() - self.said.get(node.name, 0) > EVERY_S:
            self.said[node.name] = time.monotonic()
            _, label, done, total, unit = message
            self._print(f"{node.name}: {label} {done:,} of {total:,} {unit}")

    def ended(self, node: Node) -> None:
        self._print(f"{node.name}: {'made' if node.made else 'there already'} {node.digest[:12]}" + _seconds(node))

    def _print(self, line: str) -> None:
        print(line, file=self.out, flush=True)


class Bars:
    """For a terminal: one live bar a running step."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.console = Console(stderr=True)
        self.bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=self.console, transient=True,
        )  # fmt: skip
        self.tasks: dict[str, Any] = {}
        self.began: dict[tuple[str, str], tuple[float, int]] = {}

    def __enter__(self) -> Bars:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def begun(self, node: Node) -> None:
        self.tasks[node.name] = self.bars.add_task(f"[bold]{node.name}[/]", total=None, unit="", rate="")

    def message(self, node: Node, message: tuple[Any, ...]) -> None:
        if message[0] == "log":
            self.console.print(f"[dim]{node.name}:[/] {message[1]}", highlight=False)
        elif message[0] == "progress":
            _, label, done, total, unit = message
            start, first = self.began.setdefault((node.name, label), (time.monotonic(), done))
            seconds = time.monotonic() - start
            rate = f"{(done - first) / seconds:,.0f}/s" if seconds > 0.5 and done > first else ""
            description = f"[bold]{node.name}[/] {label}"
            self.bars.update(
                self.tasks[node.name], description=description, completed=done, total=total, unit=unit, rate=rate
            )

    def ended(self, node: Node) -> None:
        if node.name in self.tasks:
            self.bars.remove_task(self.tasks.pop(node.name))
        word = "[green]made[/]" if node.made else "[dim]there already[/]"
        self.console.print(f"{word} [bold]{node.name}[/] {node.digest[:12]}{_seconds(node)}", highlight=False)


def _seconds(node: Node) -> str:
    return f" in {node.seconds:.1f} s" if node.made else ""
