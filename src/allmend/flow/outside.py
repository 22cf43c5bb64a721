"""Resolves what a recipe names from outside the ledger: files below the project root, URLs, the workspace's withdrawals."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import tomllib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allmend.flow.records import in_force, read_history
from allmend.kinds import InputFile, InputURL, Withdrawals, sha256_file
from allmend.kinds.errors import RecipeError, nearest
from allmend.kinds.outside import stamp

_wild = re.compile(r"[*?\[]").search
_url = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://").match
ROOT_MARKS = ("allmend.toml", "pyproject.toml", ".git")


def project_root(recipe: Path) -> Path:
    """The nearest parent of a recipe that holds `allmend.toml`, `pyproject.toml` or `.git`; else the recipe's folder."""
    folder = recipe.absolute().parent
    return next(
        (each for each in [folder, *folder.parents] if any((each / mark).exists() for mark in ROOT_MARKS)), folder
    )


def data_roots(root: Path) -> list[Path]:
    """Other folders that recipes of this project may read, from `allmend.toml: data_roots`."""
    path = root / "allmend.toml"
    if not path.is_file():
        return []
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), f"isn't TOML: {error}.") from error
    return [(root / each).resolve() for each in found.get("data_roots", [])]


class Outsider:
    """The resolver handed to configs.

    Args:
        root: project root; paths in a recipe are relative to it.
        roots: further folders that may be read.
        workspace: holds `withdrawals.jsonl` and the cache of file hashes.

    Attributes:
        compact: the recipe's head value of that name.
        history: withdrawal records to go by instead of the workspace's: what if?
    """

    def __init__(self, root: Path, roots: Sequence[Path] = (), workspace: Path | None = None) -> None:
        self.root = root.resolve()
        self.roots = [self.root, *(each.resolve() for each in roots)]
        self.workspace = workspace
        self.compact: bool | int = False
        self.history: list[dict[str, Any]] | None = None
        self._hashes = _HashCache(workspace / "hashes.json" if workspace else None)

    def save(self) -> None:
        """Keep the hashes found, so that a 10 TB crawl isn't hashed twice."""
        self._hashes.save()

    def path(self, text: str) -> Path:
        """A path of the recipe as an absolute one.

        Raises:
            ValueError: it lies outside the roots.
        """
        path = (self.root / text).resolve()
        if not any(path.is_relative_to(root) for root in self.roots):
            raise ValueError(
                f"{text} lies outside the project root {self.root}; to read it, list its folder in allmend.toml as `data_roots`, or "
                "give `--data-root FOLDER`"
            )
        return path

    def file(self, text: str, name: str = "") -> InputFile:
        path = self.path(text)
        if not path.is_file():
            there = (
                [str(each.relative_to(self.root)) for each in path.parent.glob("*") if each.is_file()]
                if path.parent.is_dir()
                else []
            )
            raise ValueError(f"no file {text}.{nearest(text, there)}".rstrip("."))
        seen = stamp(path.stat())
        return InputFile(name or path.name, seen[0], self._hashes.get(path, seen), path, seen)

    def files(self, pattern: str) -> list[InputFile]:
        """Files of a glob (`**` crosses folders); a file's name is its path below the part without wildcards."""
        if not _wild(pattern):
            return [self.file(pattern)]
        steps = pattern.split("/")
        fixed = next(index for index, step in enumerate(steps) if _wild(step))
        base = self.path("/".join(steps[:fixed]) or ("/" if pattern.startswith("/") else "."))
        found = sorted(glob.glob("/".join(steps[fixed:]), root_dir=base, recursive=True))
        files = [self.file(str(base / name), name) for name in found if (base / name).is_file()]
        if not files:
            raise ValueError(f"no file matches {pattern}")
        return files

    def url(self, url: str, sha256: str | None) -> InputURL:
        """Bytes behind a URL. Without a digest they are read once to find it."""
        import fsspec

        if not _url(url) or url.startswith("file://"):
            file = self.file(url.removeprefix("file://"))
            return InputURL(file.name, file.size, file.sha256, str(file.path))
        name = url.rstrip("/").rpartition("/")[2]
        try:
            with fsspec.open(url, "rb") as file:
                digest, size = hashlib.sha256(), 0
                while chunk := file.read(2**20):
                    digest.update(chunk)
                    size += len(chunk)
        except (OSError, ImportError, ValueError) as error:
            raise ValueError(f"{url} can't be read: {error}") from error
        if sha256 is not None and digest.hexdigest() != sha256:
            raise ValueError(f"{url} has the SHA-256 {digest.hexdigest()}, and the recipe expects {sha256}")
        return InputURL(name, size, digest.hexdigest(), url)

    def withdrawals(self) -> Withdrawals:
        """The withdrawals in force; see `allmend.flow.records`."""
        found = self.history if self.history is not None else read_history(self.workspace)
        return in_force(found, self.compact)


class _HashCache:
    """SHA-256 of files by (path, size, mtime, ctime, inode). A cache: losing it costs time only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.fresh = False
        try:
            self.known: dict[str, list[Any]] = json.loads(path.read_bytes()) if path else {}
        except (OSError, ValueError):
            self.known = {}

    def get(self, path: Path, seen: tuple[int, ...]) -> str:
        entry = self.known.get(str(path))
        if entry and entry[:-1] == list(seen):
            return str(entry[-1])
        digest = sha256_file(path)
        self.known[str(path)] = [*seen, digest]
        self.fresh = True
        return digest

    def save(self) -> None:
        if self.path and self.fresh and self.path.parent.is_dir():
            temporary = self.path.with_name(f".hashes-{uuid.uuid4().hex}")
            temporary.write_text(json.dumps(self.known))
            os.replace(temporary, self.path)
            self.fresh = False
