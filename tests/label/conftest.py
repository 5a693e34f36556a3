"""A server of PostgreSQL of its own for the tests, and stores on both databases."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask import Image, Masks
from anymask.label import Store

try:
    import alembic  # noqa: F401
    import sqlalchemy  # noqa: F401
except ImportError:  # without the extra: nothing of this folder, but all in that of the farm
    collect_ignore_glob = ["test_*.py"]


@dataclass
class Server:
    """A server of PostgreSQL, reached through a socket in a folder of its own."""

    programs: Path
    folder: Path
    user: str | None  # who runs it, because PostgreSQL refuses root
    _process: Any = field(default=None)

    def run(self, *words: str) -> list[str]:
        """Give the words of a command that is run as that user."""
        return list(words) if self.user is None else ["runuser", "-u", self.user, "--", *words]

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        data = str(self.folder / "data")
        command = [str(self.programs / "postgres"), "-D", data, *options.split()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.run(*command), stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        for _ in range(200):
            if self.ask("SELECT 1").returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Stop it at once, as when its machine fails."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self._process.wait(30)

    def ask(self, sql: str) -> subprocess.CompletedProcess[bytes]:
        words = ("-h", str(self.folder), "-U", "anymask", "-d", "postgres", "-qAtc", sql)
        return subprocess.run(
            [str(self.programs / "psql"), *words], capture_output=True, check=False
        )

    def new_database(self) -> str:
        """Make an empty schema, which is faster than a database, and give its address."""
        name = f"test_{secrets.token_hex(6)}"
        made = self.ask(f"CREATE SCHEMA {name}")
        assert made.returncode == 0, made.stderr
        options = f"options=-csearch_path%3D{name}"
        return f"postgresql://anymask@/postgres?host={self.folder}&{options}"


def find_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


# Waits until whoever started it ends, be it killed; then ends the server, and clears up.
WATCH = """
import os, shutil, signal, sys
from pathlib import Path

sys.stdin.read()
folder = Path(sys.argv[1])
try:
    os.kill(int((folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
except (OSError, ValueError, IndexError):
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


def user_of_server() -> str | None:
    """Give who has to run the server; None: whoever runs the tests."""
    if os.getuid() != 0:
        return None
    if shutil.which("runuser") is None or "postgres" not in {one.pw_name for one in pwd.getpwall()}:
        pytest.skip("PostgreSQL refuses root, and there is no user postgres to run it as")
    return "postgres"


@contextmanager
def serving(programs: Path, user: str | None) -> Iterator[Server]:
    """Run a server; it ends with this process at the latest, however that ends."""
    # A short path: the name of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Server(programs, folder, user)
    if user is not None:
        shutil.chown(folder, user)
        folder.chmod(0o755)
    initdb = (str(programs / "initdb"), "-D", str(folder / "data"), "-U", "anymask", "-A", "trust")
    watch = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        made = subprocess.run(
            server.run(*initdb, "-E", "UTF8", "--locale=C", "--no-sync"),
            cwd=folder,
            capture_output=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        server.start()
        yield server
        server.stop()
    finally:
        watch.communicate()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that is there for all tests of the session."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no programs of PostgreSQL (initdb); install it, such as Debian's postgresql")
    with serving(programs, user_of_server()) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str | None:
    """The address of an empty database; None: a file of SQLite in the folder of the project."""
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.full((8, 12, 3), 40 * number, np.uint8)
        Image.open(pixels).save(folder / f"photo-{number}.png")
    return folder


@pytest.fixture
def store(photos: Path, database: str | None) -> Iterator[Store]:
    """A store of the three photos."""
    with Store.init(photos, database=database) as opened:
        opened.add(photos)
        yield opened


@pytest.fixture
def mask_of() -> Callable[..., Masks]:
    """Makes masks of one: some rows of a photo, under a name."""

    def make(rows: int = 4, label: str | None = "sky", **known: Any) -> Masks:
        dense = np.zeros((8, 12), bool)
        dense[:rows] = True
        return Masks.from_dense(dense, labels=[label], **known)

    return make
