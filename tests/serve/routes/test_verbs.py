from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.serve.conftest import embed, flat_model, message, png

import anymask
from anymask import Image, Masks, Prompt
from anymask.serve.answers import FORMATS
from anymask.serve.wire import document_of_array, document_of_mask, masks_of

POINT = [[30, 20]]


def expected(**words: Any) -> Masks:
    return flat_model().predict(Image.open(png()), **words)


def same(document: dict[str, Any], masks: Masks) -> bool:
    found = masks_of(document)
    return (
        found.rle() == masks.rle()
        and np.array_equal(found.scores, masks.scores)
        and np.array_equal(found.boxes, masks.boxes)
        and found.labels == masks.labels
    )


def test_predict_answers_as_the_library(api: Any) -> None:
    session = embed(api)
    answer = api.post("/v1/predict", json={"session": session, "points": POINT})
    assert answer.status_code == 200
    assert len(answer.json()["masks"]) == 3
    assert same(answer.json(), expected(points=POINT))


@pytest.mark.parametrize(
    "words",
    [
        {"points": [[30, 20], [2, 2]], "labels": [1, 0]},
        {"box": [18, 8, 46, 32]},
        {"points": POINT, "box": [18, 8, 46, 32]},
        {"points": POINT, "multimask": False},
    ],
)
def test_every_word_of_the_library(api: Any, words: dict[str, Any]) -> None:
    answer = api.post("/v1/predict", json={"session": embed(api), **words})
    assert same(answer.json(), expected(**words))


def test_masks_and_logits_as_prompts(api: Any) -> None:
    session = embed(api)
    rough = np.zeros((48, 64), bool)
    rough[12:28, 22:40] = True
    answer = api.post("/v1/predict", json={"session": session, "mask": document_of_mask(rough)})
    assert same(answer.json(), expected(mask=rough))
    first = expected(points=POINT)
    logits = first.logits[0]
    words = {"points": POINT, "mask_logits": document_of_array(logits)}
    answer = api.post("/v1/predict", json={"session": session, **words})
    assert same(answer.json(), expected(points=POINT, mask_logits=logits))


def test_logits_come_back_when_asked_for(api: Any) -> None:
    asked = {"session": embed(api), "points": POINT}
    assert "logits" not in api.post("/v1/predict", json=asked).json()["masks"][0]
    answer = api.post("/v1/predict", json={**asked, "logits": True}).json()
    assert np.array_equal(masks_of(answer).logits, expected(points=POINT).logits)
    text = message(api.post("/v1/predict", json={**asked, "logits": True, "format": "png"}), 422)
    assert "logits" in text


def test_lists_of_prompts_keep_their_order(api: Any) -> None:
    prompts = [{"points": POINT}, {"box": [0, 0, 10, 10]}, {"points": [[2, 2]]}]
    answer = api.post("/v1/predict", json={"session": embed(api), "prompts": prompts})
    wanted = expected(prompts=[Prompt(POINT), Prompt(box=(0, 0, 10, 10)), Prompt([[2, 2]])])
    found = answer.json()["answers"]
    assert len(found) == 3
    assert all(same(one, masks) for one, masks in zip(found, wanted, strict=True))


def test_lists_of_sessions(api: Any) -> None:
    sessions = [embed(api, png(0)), embed(api, png(7))]
    groups = [[{"points": POINT}], [{"points": POINT}, {"points": [[2, 2]]}]]
    answer = api.post("/v1/predict", json={"session": sessions, "prompts": groups})
    found = answer.json()["answers"]
    assert [len(one) for one in found] == [1, 2]
    wanted = flat_model().predict(Image.open(png(7)), points=[[2, 2]])
    assert same(found[1][1], wanted)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({}, "point"),
        ({"points": [[900, 20]]}, "inside"),
        ({"points": [[1, 2, 3]]}, "shape"),
        ({"points": [[1, 2]], "labels": [1, 0]}, "label"),
        ({"points": [[1, 2]], "labels": [2]}, "labels.0"),
        ({"box": [40, 10, 20, 30]}, "swap"),
        ({"points": POINT, "prompts": [{"points": POINT}]}, "both"),
        ({"prompts": [[{"points": POINT}]]}, "depth"),
        ({"points": POINT, "negative": "dog"}, "text"),
        ({"points": POINT, "text": "dog"}, "alone"),
        ({"points": POINT, "colour": 3}, "colour"),
        ({"mask": {"size": [48, 63], "counts": [48 * 63]}}, "size"),
        ({"mask": {"size": [48, 64], "counts": [7]}}, "add up"),
        ({"mask": {"size": [48, 64], "counts": [-1, 48 * 64 + 1]}}, "run lengths"),
        ({"mask": {"size": [48, 64], "counts": "\ud800"}}, "run lengths"),
        ({"mask_logits": {"shape": [2, 2], "dtype": "float32", "data": "AAAA"}}, "bytes"),
        ({"mask_logits": {"shape": [2, 2], "dtype": "float32", "data": "*"}}, "base64"),
        ({"mask_logits": {"shape": [10**9, 10**9], "data": ""}}, "sides"),
        ({"format": "html", "points": POINT}, "format"),
        ({"text": "unicorn"}, "unicorn"),
    ],
)
def test_bad_prompts_are_one_sentence(api: Any, words: dict[str, Any], part: str) -> None:
    body = json.dumps({"session": embed(api), **words})
    answer = api.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert part in message(answer, 422)


def test_masks_of_a_size_that_no_memory_holds_are_refused_unread(api: Any) -> None:
    huge = {"size": [10**6, 10**6], "counts": [10**12]}
    session = embed(api)
    message(api.post("/v1/predict", json={"session": session, "mask": huge}), 422)
    message(api.post("/v1/inpaint", json={"session": session, "masks": [huge]}), 422)
    message(api.post("/v1/export", json={"session": session, "masks": [{"rle": huge}]}), 422)


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"", b"\xff\xfe", b"[" * 100_000])
def test_bodies_that_are_no_request(api: Any, body: bytes) -> None:
    answer = api.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    message(answer, answer.status_code)
    assert answer.status_code in (400, 422)


def test_nan_is_no_number(api: Any) -> None:
    body = f'{{"session": "{embed(api)}", "points": [[NaN, 1]]}}'
    answer = api.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert "finite" in message(answer, 422)


def test_an_unknown_session(api: Any) -> None:
    answer = api.post("/v1/predict", json={"session": "no\x00such", "points": POINT})
    assert "embed the image again" in message(answer, 404)
    assert answer.json()["error"]["code"] == "no_session"


# ------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_comes_back(api: Any, format: str) -> None:
    asked = {"session": embed(api), "box": [18, 8, 46, 32], "format": format}
    answer = api.post("/v1/predict", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "html" not in answer.headers["content-type"]
    masks = expected(box=[18, 8, 46, 32])
    if format in ("cutout", "overlay"):
        image = PIL.Image.open(io.BytesIO(answer.content))
        assert image.size == (64, 48)
        drawn = masks.cutout(Image.open(png())) if format == "cutout" else image
        assert np.array_equal(np.asarray(image), np.asarray(drawn))
    elif format == "zip":
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert {"json.json", "sa1b.json", "coco.json", "png.png", "cutout.png"} <= set(names)
    elif format not in ("json", "yolo", "voc", "semantic"):
        assert anymask.read(answer.content, format).rle() == masks.rle()


def test_what_a_format_cannot_hold_is_said(api: Any) -> None:
    asked = {"session": embed(api), "points": POINT, "format": "yolo"}
    answer = api.post("/v1/predict", json=asked)
    assert "scores" in json.loads(answer.headers["anymask-notes"])[0]


def test_coordinates_that_look_like_shares_are_noticed(api: Any) -> None:
    asked = {"session": embed(api), "points": [[0.5, 0.5]]}
    answer = api.post("/v1/predict", json=asked)
    assert "shares" in answer.headers["anymask-notes"]
    assert "anymask-notes" not in api.post("/v1/predict", json={**asked, "points": POINT}).headers


def test_export_of_changed_masks(api: Any) -> None:
    session = embed(api)
    masks = api.post("/v1/predict", json={"session": session, "points": POINT}).json()["masks"]
    masks[0]["label"] = "square"
    for format in ("coco", "labelme", "semantic", "json"):
        asked = {"session": session, "masks": masks[:1], "format": format}
        answer = api.post("/v1/export", json=asked)
        assert answer.status_code == 200, answer.text
        found = (
            masks_of(answer.json()) if format == "json" else anymask.read(answer.content, format)
        )
        assert found.labels == ("square",)
        assert found.rle() == [masks[0]["rle"]]


def test_names_with_anything_in_them_do_no_harm(api: Any) -> None:
    session = embed(api)
    lengths = {"size": [48, 64], "counts": [100, 200, 48 * 64 - 300]}
    for label in ("<script>alert(1)</script>", "../../etc/passwd", "a\x00b", "\ud83d", "\u202e"):
        for format in ("voc", "yolo", "labelme", "coco", "zip"):
            known = {"label": label, "meta": {label: label}}
            asked = {"session": session, "masks": [{"rle": lengths, **known}], "format": format}
            answer = api.post(
                "/v1/export",
                content=json.dumps(asked),
                headers={"content-type": "application/json"},
            )
            assert answer.status_code in (200, 422), (format, label, answer.text)


@pytest.mark.parametrize("format", ["json", "sa1b", "coco", "zip"])
@pytest.mark.parametrize("name", ["score", "stability"])
def test_numbers_that_float32_cannot_hold(api: Any, name: str, format: str) -> None:
    record = {"rle": {"size": [48, 64], "counts": [100, 2972]}, name: 1e39}
    asked = {"session": embed(api), "masks": [record], "format": format}
    assert "float32" in message(api.post("/v1/export", json=asked), 422)


# ------------------------------------------------------------------------- other verbs


def test_everything(api: Any) -> None:
    asked = {"session": embed(api), "options": {"points_per_side": 4}}
    answer = api.post("/v1/everything", json=asked)
    masks = flat_model().generate(Image.open(png()), points_per_side=4)
    assert same(answer.json(), masks)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"points_per_side": 10**6}, "at most"),
        ({"points_per_side": -1}, "points_per_side"),
        ({"points_per_side": "8x"}, "points_per_side"),
        ({"point_grids": [[[0.5, 0.5]] * 20_000]}, "at most"),
        ({"point_grids": "x"}, "point_grids"),
        ({"no_such": 1}, "no_such"),
        ({"memory": 10**9}, "at most"),
        ({"class": "Path"}, "class"),
        ({"sampler": "../etc"}, "sampler"),
        ({"text_model": "/etc"}, "text_model"),
    ],
)
def test_settings_that_are_too_much(api: Any, options: dict[str, Any], part: str) -> None:
    answer = api.post("/v1/everything", json={"session": embed(api), "options": options})
    assert part in message(answer, 422)


def test_own_points_need_no_number_of_points(api: Any) -> None:
    grids = {"point_grids": [[[0.5, 0.4], [0.1, 0.1]]]}
    answer = api.post("/v1/everything", json={"session": embed(api), "options": grids})
    assert answer.status_code == 200, answer.text


def test_labels_are_words_and_never_files(api: Any, tmp_path: Any) -> None:
    words = tmp_path / "words.txt"
    words.write_text("dog\ncat\n")
    asked = {"session": embed(api), "labels": [str(words)], "options": {"points_per_side": 2}}
    assert "dog" not in message(api.post("/v1/everything", json=asked), 422).split("know")[0]


def test_subject(api: Any) -> None:
    answer = api.post("/v1/subject", json={"session": embed(api), "format": "cutout", "soft": True})
    assert PIL.Image.open(io.BytesIO(answer.content)).mode == "RGBA"


def test_detect(api: Any) -> None:
    answer = api.post("/v1/detect", json={"session": embed(api), "text": "dog. car."})
    assert answer.json() == {"size_hw": [48, 64], "model": "bundled", "boxes": []}
    asked = {"session": embed(api), "text": "dog", "format": "coco"}
    assert set(api.post("/v1/detect", json=asked).json()) >= {"images", "annotations"}


def test_inpaint_changes_what_the_mask_covers_alone(api: Any) -> None:
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:44] = True
    asked = {"session": embed(api), "masks": [document_of_mask(mask)]}
    answer = api.post("/v1/inpaint", json=asked)
    assert answer.headers["content-type"] == "image/png"
    before, after = Image.open(png()).pixels, Image.open(answer.content).pixels
    assert np.array_equal(before[~mask], after[~mask])
    assert after[mask].max() < 60
    assert "diffusion" in message(api.post("/v1/inpaint", json={**asked, "fill": "a dog"}), 422)


def test_depth_without_its_weights_says_so(
    serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    api = serve(fresh=True)
    answer = api.post("/v1/depth", json={"session": embed(api)})
    assert answer.status_code in (501, 503)
    message(answer, answer.status_code)


def test_depth(serve: Any) -> None:
    api = serve(fresh=True)
    from anymask.extras.depth import DepthMap
    from anymask.extras.depth.sources import find_depth

    values = np.tile(np.linspace(1, 2, 64, dtype=np.float32), (48, 1))
    server = api.app.state.server
    server._depth = find_depth(DepthMap(values, "metric"))
    masks = np.zeros((2, 48, 64), bool)
    masks[0, 5:20, 5:20] = masks[1, 5:20, 40:60] = True
    asked = {"session": embed(api), "masks": [document_of_mask(one) for one in masks]}
    found = api.post("/v1/depth", json=asked).json()
    assert (found["kind"], found["order"]) == ("metric", [0, 1])
    assert found["masks"][0]["median"] < found["masks"][1]["median"]
    answer = api.post("/v1/depth", json={**asked, "format": "npy"})
    assert np.array_equal(np.load(io.BytesIO(answer.content)), values)


def test_a_model_that_cannot_be_shown_examples_says_so(api: Any) -> None:
    session = embed(api)
    mask = document_of_mask(np.eye(48, 64, dtype=bool))
    asked = {"session": session, "references": [{"session": session, "mask": mask}]}
    answer = api.post("/v1/personalize", json=asked)
    assert "example" in message(answer, 422)
    assert answer.json()["error"]["code"] == "capability"


def test_what_the_model_is(api: Any) -> None:
    about = api.get("/v1/model").json()
    assert about["name"] == "flat"
    assert "dog" in about["words"]
    assert about["formats"] == list(FORMATS)


def test_what_was_embedded_is_not_encoded_again(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serve.conftest import flat_model

    from anymask.detections import Detections
    from anymask.predict import words

    box = Detections((48, 64), np.array([[20, 10, 44, 30]]), np.array([0.9]), ("dog",))
    monkeypatch.setattr(words, "look_for", lambda phrases, images, grounder: [box] * len(images))
    model = flat_model()
    api = serve(model)
    encode, encoded = model.network.encode, []
    model.network.encode = lambda *given: encoded.append(1) or encode(*given)
    session = embed(api)
    assert len(encoded) == 1
    few = {"options": {"points_per_side": 2, "crop_n_layers": 0}}
    found = api.post("/v1/everything", json={"session": session, **few})
    assert found.status_code == 200 and found.json()["masks"]
    named = api.post("/v1/predict", json={"session": session, "text": "dog"}).json()["masks"]
    assert [one["label"] for one in named] == ["dog"]
    assert api.post("/v1/subject", json={"session": session}).status_code == 200
    assert len(encoded) == 1
    # Crops are other images.
    deep = {"options": {"points_per_side": 2, "crop_n_layers": 1}}
    api.post("/v1/everything", json={"session": session, **deep})
    assert len(encoded) > 1
