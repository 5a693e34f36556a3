"""What OpenAPI promises holds, for requests made up from it: right ones, and wrong ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from tests.serve.conftest import embed, flat_model, png

from anymask.masks import rle
from anymask.serve.notes import collect_warnings

schemathesis = pytest.importorskip("schemathesis")

_FEW, _MANY = 4, 700  # requests for each operation


def app_with_everything(folder: Path) -> Any:
    """A server with a folder of images, for jobs and for the studio, whose routes it has, too."""
    from anymask.extras.depth import DepthMap
    from anymask.extras.depth.sources import find_depth
    from anymask.serve.app import create_app
    from anymask.serve.config import ServeConfig
    from anymask.serve.studio.api import add_studio

    (folder / "photos").mkdir()
    (folder / "photos" / "a.png").write_bytes(png())
    (folder / "out").mkdir()
    config = ServeConfig(
        images=(folder / "photos",),
        results=folder / "out",
        allow_host=("testserver",),  # by which schemathesis calls applications
        timeout=20,
    )
    app = create_app(config, flat_model())
    app.state.server._depth = find_depth(DepthMap(np.eye(48, 64, dtype=np.float32)))
    add_studio(app, folder / "photos")
    return app


def painted(api: Any, picture: str) -> str:
    """Paint over a part of an image of the studio; give the id of the draft."""
    counts = rle.to_string(np.array([970, 20, 48 * 64 - 990], np.uint32))
    mask = {"size": [48, 64], "counts": counts}
    answer = api.post(f"/v1/studio/pictures/{picture}/paint", json={"masks": [mask]})
    said = [json.loads(line) for line in answer.text.splitlines()]
    return str(said[-1]["result"]["draft"])


def check(folder: Path, examples: int) -> None:
    """Ask every operation so many times, and look at every answer."""
    from schemathesis import checks
    from tests.serve.conftest import URL, Caller

    app = app_with_everything(folder)
    with Caller(app, base_url=URL) as api, collect_warnings():
        session = embed(api)
        asked = {"kind": "everything", "images": "photos", "options": {"points_per_side": 2}}
        job = api.post("/v1/jobs", json=asked).json()["id"]
        picture = api.get("/v1/studio").json()["pictures"][0]["id"]
        draft = painted(api, picture)
        schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app)
        counted = 0
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path.endswith("/events"):
                continue  # an unknown job aside, which others ask for, it ends with its job

            @hypothesis.settings(
                max_examples=examples,
                deadline=None,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
                phases=[hypothesis.Phase.generate],
            )
            @hypothesis.seed(1)
            @hypothesis.given(
                case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
                | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            )
            def ask(case: Any) -> None:
                nonlocal counted
                counted += 1
                known = {"session": session, "job": job, "picture": picture, "draft": draft}
                for name in set(case.path_parameters or {}) & set(known):
                    if counted % 2:
                        case.path_parameters[name] = known[name]
                if isinstance(case.body, dict) and counted % 3 and "session" in case.body:
                    case.body["session"] = session
                answer = case.call(timeout=120)  # the server has a limit of its own
                case.validate_response(
                    answer,
                    checks=[
                        checks.not_a_server_error,
                        checks.status_code_conformance,
                        checks.content_type_conformance,
                        checks.response_schema_conformance,
                        checks.response_headers_conformance,
                    ],
                )

            ask()
        assert counted > examples * 15
        assert not [p for p in folder.rglob("*") if p.suffix == ".html"]
        assert sorted(os.listdir(folder)) == ["out", "photos"]


def test_answers_are_as_the_schema_says(tmp_path: Path) -> None:
    check(tmp_path, _FEW)


@pytest.mark.slow
def test_ten_thousand_hostile_requests(tmp_path: Path) -> None:
    check(tmp_path, _MANY)


def test_the_schema_is_whole(tmp_path: Path) -> None:
    document = app_with_everything(tmp_path).openapi()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for name, operation in operations.items():
            where = f"{name} {path}"
            assert operation["summary"] and operation["description"], where
            assert {"401", "413", "422", "500", "503"} <= set(operation["responses"]), where
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                fields = document["components"]["schemas"][body["schema"]["$ref"].split("/")[-1]]
                assert fields["additionalProperties"] is False, where
                assert any("examples" in one for one in fields["properties"].values()), where
                for field, about in fields["properties"].items():
                    assert about.get("description"), f"{where}: {field}"
    assert "ErrorAnswer" in document["components"]["schemas"]
