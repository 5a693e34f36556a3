from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from anymask.cli import main, parse
from anymask.cli.serve import Serve
from anymask.serve import access
from anymask.serve.config import ServeConfig

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served, instead of serving it."""
    found: list[Any] = []

    def run(config: ServeConfig, model: Any, say: Any) -> None:
        found.extend([config, model])
        say("http://127.0.0.1:8000")

    monkeypatch.setattr("anymask.serve.run.run", run)
    monkeypatch.setenv("ANYMASK_OFFLINE", "0")
    monkeypatch.delenv("ANYMASK_TOKEN", raising=False)
    return found


def test_flags_are_the_fields(tmp_path: Path) -> None:
    words = ["serve", "--images", str(tmp_path), "--results", str(tmp_path), "--max-pixels", "9"]
    command = parse([*words, "--allow-origin", "https://a.example", "https://b.example"])
    assert isinstance(command, Serve)
    assert command.config.images == (tmp_path,)
    assert command.config.max_pixels == 9
    assert command.config.allow_origin == ("https://a.example", "https://b.example")


def test_it_says_where_it_listens(served: list[Any], capsys: Any) -> None:
    assert main(["serve"]) == 0
    assert served[0] == ServeConfig()
    assert capsys.readouterr().out == "anymask-compact on http://127.0.0.1:8000\n"


def test_other_addresses_get_a_token_and_print_it(served: list[Any], capsys: Any) -> None:
    assert main(["serve", "--host", "0.0.0.0"]) == 0
    token = served[0].token
    assert re.fullmatch(r"[\w-]{32}", token)
    assert capsys.readouterr().out.endswith(f"; token {token}\n")
    assert main(["serve", "--host", "0.0.0.0"]) == 0
    assert served[2].token != token


def test_a_token_that_is_given_is_not_shown(
    served: list[Any], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYMASK_TOKEN", "0123456789abcdefghij")
    assert main(["serve"]) == 0
    assert served[0].token == "0123456789abcdefghij"
    assert "0123" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--token", "short"], "16"),
        (["--images", "/no/such/folder"], "folder"),
        (["--port", "99999"], "port"),
        (["--allow-origin", "*"], "origin"),
    ],
)
def test_bad_flags_are_one_sentence(words: list[str], part: str, capsys: Any) -> None:
    try:
        code = main(["serve", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert part in capsys.readouterr().err


def test_requests_make_the_server_fetch_nothing(served: list[Any]) -> None:
    import os

    assert main(["serve"]) == 0
    assert os.environ["ANYMASK_OFFLINE"] == "1"


def test_the_unit_of_systemd_can_be_read() -> None:
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string(re.findall(r"```ini\n(.*?)```", page, re.DOTALL)[0])
    assert sorted(unit.sections()) == ["Install", "Service", "Unit"]
    program, *words = unit["Service"]["ExecStart"].split()
    assert program.endswith("/anymask")
    known = {f"--{name.replace('_', '-')}" for name in ServeConfig.__dataclass_fields__}
    assert {word for word in words if word.startswith("--")} <= known
    assert int(unit["Service"]["TimeoutStopSec"]) > ServeConfig().grace + 5


def test_the_container_file_can_be_read() -> None:
    """It is built where a builder is; here its lines are read as one would."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "STOPSIGNAL"}
    assert {word for word, _ in lines} <= known | {"HEALTHCHECK", "ENTRYPOINT"}
    copied = [rest.split() for word, rest in lines if word == "COPY" and "--from" not in rest]
    for *sources, _ in copied:
        for source in sources:
            assert (ROOT / source).exists(), source
    users = [i for i, (word, rest) in enumerate(lines) if word == "USER" and rest != "root"]
    (entry,) = (i for i, (word, _) in enumerate(lines) if word == "ENTRYPOINT")
    assert users and users[-1] < entry
    # What it installs, calls and asks is there, and the build finds the files that it reads.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r'"\.\[([\w,-]+)\]"', text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    here = {source for *sources, _ in copied for source in sources}
    assert {project["readme"], *project["license-files"], "pyproject.toml", "src"} <= here
    assert all(name in here for name in re.findall(r"--constraint (\S+)", text))
    program, *arguments = json.loads(lines[entry][1])
    assert program.endswith("/bin/anymask")
    config = parse(arguments).config
    assert config.host == "0.0.0.0"
    assert [rest for word, rest in lines if word == "EXPOSE"] == [str(config.port)]
    (asked,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", text)
    assert asked[0] == str(config.port) and asked[1] in access._OPEN
    versions = re.findall(r"python:(\d+)\.(\d+)-slim", text)
    assert len(set(versions)) == 1 and (3, 11) <= tuple(map(int, versions[0])) <= (3, 13)
