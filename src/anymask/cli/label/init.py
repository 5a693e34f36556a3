"""``anymask label init``: a project of a folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from anymask.cli.label.project import ProjectOptions, ticker
from anymask.cli.options import Flag

__all__ = ["ABOUT", "Init"]

ABOUT = """Make a project of a folder: a database, and all images that lie in it.

Without --database, the database is one file in the folder, anymask-label.db, which several people
on one machine may use at once. A team on several machines takes PostgreSQL. Doing it again changes
nothing but adding images that are new.

Examples:
  anymask label init photos/
  anymask label init photos/ --classes car person tree
  PGPASSWORD=... anymask label init photos/ --database postgresql://ada@server/labels"""


@dataclass(frozen=True, kw_only=True)
class Init(ProjectOptions):
    """Make a project of a folder."""

    database: Annotated[str | None, arg(metavar="URL", help_behavior_hint="")] = None
    """Address of a database of PostgreSQL: postgresql://user@host/name. The folder remembers it,
    but no password: give that in PGPASSWORD or in ~/.pgpass."""
    project: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Name in that database; without it, that of the folder."""
    classes: Annotated[tuple[str, ...], arg(metavar="NAME...", help_behavior_hint="")] = ()
    """Names for things, in the order that numbered formats give them."""
    no_add: Flag = False
    """Leave the images of the folder out; add them later."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.errors import InputError
        from anymask.label.records import Added
        from anymask.label.store import Store

        with Store.init(self.folder, database=self.database, project=self.project) as store:
            store.add_classes(self.classes)
            if not self.json:
                print(f"project {store.project!r} in {store.database.shown}")
            added = Added()
            if not self.no_add:
                with suppress(InputError):  # the folder holds no image yet
                    added = store.add(self.folder, progress=ticker("images", self.json))
            return self.report_added(added)
