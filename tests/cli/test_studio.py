"""``anymask studio``: which folder, which address, and one page at a time for a folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from anymask import InputError
from anymask.cli.studio import Studio, _free_port, parse
from anymask.serve.studio.project import FOLDER


def studio(*words: str) -> Studio:
    found = parse(words)
    assert isinstance(found, Studio)
    return found


def test_a_folder_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        studio(str(tmp_path / "none")).run()
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"got the file .*name its folder"):
        studio(str(tmp_path / "a.jpg")).run()
    assert studio().images is None  # which is anymask-images/


def ask(address: str, path: str, document: object, method: str = "POST") -> dict[str, Any]:
    data = json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_project_opens_as_its_queue_and_survives_a_kill(tmp_path: Path) -> None:
    """What was acknowledged is there after SIGKILL, and another studio goes on."""
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("alembic")
    from anymask import Image
    from anymask.label import Store

    with Store.init(tmp_path) as store:
        for i in range(2):
            Image.open(np.full((8, 12, 3), 90 * i, np.uint8)).save(tmp_path / f"{i}.png")
        store.add(tmp_path)
    words = [sys.executable, "-m", "anymask", "studio", str(tmp_path), "--no-browser", "--port"]
    words += ["0", "--person", "Ada L"]
    counts = {"size": [8, 12], "counts": [0, 24, 72]}
    token = ""
    for revision in range(2):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()[-1]
            address, _, name = said.partition("/#")
            assert name == "person=Ada%20L"
            lease = ask(address, "/v1/label/next", {"person": "Ada L"})["lease"]
            assert token in ("", lease["token"])
            token, image = lease["token"], lease["picture"]["id"]
            things = [{"thing": f"m{i + 1}", "rle": counts} for i in range(revision)]
            things.append({"thing": "new", "rle": counts})
            document = {"revision": revision, "person": "Ada L", "things": things}
            saved = ask(address, f"/v1/label/images/{image}/masks", document, "PUT")
            assert saved["revision"] == revision + 1
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        with Store.open(tmp_path) as store:
            assert store.masks(1).ids == tuple(range(1, revision + 2))
            assert [one.person for one in store.leases()] == ["Ada L"]
    assert not (tmp_path / FOLDER).exists()


def test_a_project_is_opened_with_its_version_in_use(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("alembic")
    from anymask.errors import WeightsError
    from anymask.label import Store

    with Store.init(tmp_path) as store:
        store.add_version("second", str(tmp_path / "second.safetensors"))
        store.promote("second")
    with pytest.raises(WeightsError, match=r"second\.safetensors"):
        studio(str(tmp_path), "--no-browser").run()


def test_a_person_is_for_projects_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a label project for --person"):
        studio(str(tmp_path), "--person", "ada").run()


def test_other_machines_need_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMASK_TOKEN", "0123456789abcdef")
    assert studio("--port", "0")._config().token is None
    assert studio("--port", "0", "--host", "0.0.0.0")._config().token == "0123456789abcdef"
    given = studio("--port", "0", "--token", "fedcba9876543210")._config()
    assert given.token == "fedcba9876543210"


def test_a_port_that_is_taken_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert studio("--port", str(port))._config().port == port  # as it was said
    assert _free_port("127.0.0.1") in (0, 8765)


def test_the_page_is_there_until_it_is_stopped(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "anymask", "studio", str(tmp_path), "--no-browser"]
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    with subprocess.Popen(
        [*words, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        address = said.split()[-1]
        assert said.startswith(f"anymask-compact with {tmp_path}/ on http://127.0.0.1:")
        with urllib.request.urlopen(address) as page:
            assert b"page/studio.js" in page.read()
        with pytest.raises(InputError, match="that no studio has open"):
            studio(str(tmp_path), "--no-browser").run()
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    assert not (tmp_path / FOLDER).exists()  # nothing was saved


@pytest.mark.parametrize("name", [FOLDER, f"{FOLDER}/.open"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "photos" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere if name == FOLDER else elsewhere / "file")
    with pytest.raises(InputError, match="a link that leads out of it"):
        studio(str(tmp_path / "photos")).run()
    assert list(elsewhere.iterdir()) == []


def test_static_takes_no_word_about_serving(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(InputError, match="either --static or --port, got both"):
        studio("--static", out, "--port", "80").run()
    with pytest.raises(InputError, match="either --static or --depth-model, got both"):
        studio("--static", out, "--depth-model", "dpt-large").run()
    with pytest.raises(InputError, match="either --static or --no-browser, got both"):
        studio("--static", out, "--no-browser").run()
    with pytest.raises(InputError, match="--overwrite together with --static"):
        studio(str(tmp_path), "--overwrite").run()
    with pytest.raises(InputError, match="does not exist"):
        studio(str(tmp_path / "none"), "--static", out).run()
    assert not (tmp_path / "out").exists()


def test_static_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = Path(__file__).parents[2] / "docs" / "pictures" / "coffee.jpg"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "photos" / "b.jpg").write_bytes(b"\xff\xd8\xff no image")
    out = tmp_path / "out"
    assert studio(str(tmp_path / "photos"), "--static", str(out)).run() == 0
    said = capsys.readouterr()
    assert "1 images" in said.out and "MB to load once" in said.out
    assert said.err.count("left out: b.jpg") == 1
    assert (out / "index.html").is_file() and (out / "model" / "model.json").is_file()
