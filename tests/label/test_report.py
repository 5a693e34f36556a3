from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask.cli import main
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.label.metadata import Metadata, read_metadata
from anymask.label.report import read_records, write_stats
from anymask.masks.masks import Masks

pytest.importorskip("scipy")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Four images with one to four masks of 10 x 10 pixels."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    for number in range(1, 5):
        dense = np.zeros((number, 40, 40), bool)
        for i, mask in enumerate(dense):
            mask[5:15, 10 * i : 10 * i + 10] = True
        meta = {"seconds": 12.0}
        Masks.from_dense(dense, image_meta=meta).save(folder / f"{number}.json", format="sa1b")
    return folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(
        "file_name;country;income\n1.jpg;NO;high\n2.png;NO;high\n3;NE;low\n9.jpg;NE;low\n"
    )
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_report_by_group(labelled: Path, people: Path, tmp_path: Path) -> None:
    with pytest.warns(DataWarning) as told:
        write_stats(tmp_path / "out", [labelled], metadata=people, by=["country"])
    said = " | ".join(str(warning.message) for warning in told)
    assert "without a row are in the group 'unknown': 1" in said and "'4'" in said
    assert "rows of images that are not there are left out: 1" in said and "'9'" in said
    found = {(r["measure"], r["country"]): r for r in rows(tmp_path / "out/by-country.csv")}
    norway = found["masks per image", "NO"]
    assert (norway["images"], float(norway["mean"])) == ("2", 1.5)
    assert (float(norway["low"]), float(norway["high"])) == (1, 2)
    niger = found["masks per image", "NE"]
    assert (float(niger["mean"]), niger["low"], niger["high"]) == (3, "", "")
    assert float(found["seconds per mask", "NO"]["mean"]) == 8  # 12, 6 and 6
    assert float(found["masks per image", "unknown"]["mean"]) == 4
    (whole,) = rows(tmp_path / "out/overview.csv")
    assert (whole["images"], whole["masks"]) == ("4", "10")
    measures = {row["measure"]: row for row in rows(tmp_path / "out/measures.csv")}
    assert float(measures["relative size"]["mean"]) == 0.25
    assert float(measures["concavity"]["mean"]) == 0


def test_a_row_of_two_images_of_one_name_is_told(tmp_path: Path) -> None:
    mask = Masks.from_dense(np.ones((1, 8, 8), bool))
    for folder in ("a", "b"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        mask.save(tmp_path / "set" / folder / "1.json", format="sa1b")
    table = tmp_path / "t.csv"
    table.write_text("file,country\n1.jpg,NO\n")
    with pytest.warns(DataWarning, match="images share a row, which names no folder: 1 .*'b/1'"):
        write_stats(tmp_path / "out", [tmp_path / "set"], metadata=table, by=["country"])
    table.write_text("file,country\na/1.jpg,NO\nb/1.jpg,NE\n")
    write_stats(tmp_path / "out", [tmp_path / "set"], metadata=table, by=["country"])


def test_the_page_is_one_file(labelled: Path, people: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        write_stats(tmp_path / "out", [labelled], metadata=people, by=["country", "income"])
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3 + 1 + 2 * 4 and "<script" not in page
    assert not re.search(r'src="(?!data:)', page) and "anymask label stats" in page
    assert "Where the middles of masks lie: labelled" in page
    assert json.loads((tmp_path / "out/results.json").read_text())["groups by"] == [
        "country",
        "income",
    ]


def test_a_store_is_a_data_set(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    from anymask.image.image import Image
    from anymask.label import Provenance, Store

    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        pixels = np.full((8, 12, 3), 40 * number, np.uint8)
        Image.open(pixels).save(photos / f"{number}.png")
    with Store.init(photos) as store:
        store.add(photos)
        dense = np.zeros((3, 8, 12), bool)
        dense[:, :4, :6] = True
        made = store.add_masks("0.png", Masks.from_dense(dense), Provenance("Ada"))
        store.review_mask(*made[0], "rejected", Provenance("Bob"))
        store.finish(store.next("Ada"), seconds=8)
        store.finish(store.next("Ada"), seconds=3)  # shows nothing
    found = list(read_records(photos))
    assert [(one.name, len(one.masks), one.seconds) for one in found] == [
        ("0.png", 2, 8),
        ("1.png", 0, 3),
    ]
    assert main(["label", "stats", str(photos), "-o", str(tmp_path / "out")]) == 0
    measures = {row["measure"]: row for row in rows(tmp_path / "out/measures.csv")}
    assert float(measures["relative size"]["mean"]) == 0.5
    assert float(measures["seconds per mask"]["mean"]) == 4


def test_names_of_groups_are_neither_markup_nor_formulas(labelled: Path, tmp_path: Path) -> None:
    group, other = "<img src=x onerror=alert(1)>", "$10k-$20k"
    table = tmp_path / "people.csv"
    table.write_text(f'file,<b>of</b>\n1,"{group}"\n2,{other}\n3,$\\frac$\n')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        write_stats(tmp_path / "out", [labelled], metadata=table, by=["<b>of</b>"])
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and "<b>of" not in page
    assert "&lt;img src=x" in page and f">{other}</text>" in page


def test_two_data_sets_beside_each_other(labelled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Masks.from_dense(np.ones((1, 8, 8), bool)).save(other / "1.json", format="sa1b")
    write_stats(tmp_path / "out", [labelled, other])
    found = {(r["measure"], r["data set"]): r for r in rows(tmp_path / "out/measures.csv")}
    assert float(found["masks per image", "labelled"]["mean"]) == 2.5
    assert float(found["relative size", "other"]["mean"]) == 1
    write_stats(tmp_path / "out", [labelled, labelled])
    names = {row["data set"] for row in rows(tmp_path / "out/overview.csv")}
    assert names == {"labelled", "labelled (2)"}


def test_a_reference(labelled: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    dense = np.zeros((1, 40, 40), bool)
    dense[0, 5:15, :8] = True
    for name in ("2", "x"):
        Masks.from_dense(dense).save(made / f"{name}.json", format="sa1b")
    with pytest.warns(DataWarning, match="images without a reference have no IoU: 1"):
        write_stats(tmp_path / "out", [made], reference=labelled)
    found = {row["measure"]: row for row in rows(tmp_path / "out/measures.csv")}
    assert float(found["mean IoU with the reference"]["mean"]) == pytest.approx(0.4)  # 0.8 and 0


def test_a_data_set_as_published(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    PIL.Image.new("RGB", (6, 4)).save(tmp_path / "set/images/a.png")
    numbers = np.zeros((4, 6), np.uint8)
    numbers[:2, :2], numbers[2:, 3:] = 1, 2
    PIL.Image.fromarray(numbers).save(tmp_path / "set/masks/a.png")
    (record,) = read_records(tmp_path / "set")
    assert record.name == "a" and record.masks.areas.tolist() == [4, 6]


@pytest.mark.filterwarnings("always::anymask.data.readers.notes.DataWarning")
def test_the_command(labelled: Path, people: Path, tmp_path: Path, capsys) -> None:
    words = ["label", "stats", str(labelled), "--metadata", str(people), "--by", "income"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "| masks per image | high |" in out and "index.html" in out
    assert "without a row" in err
    for more, says in (
        (["--by", "size"], "a column out of country, income"),
        (["--metadata", str(tmp_path / "no.csv")], "no.csv"),
    ):
        assert main([*words, *more, "-o", str(tmp_path / "out")]) == 2
        assert says in capsys.readouterr().err
    assert main(["label", "stats", str(labelled), "--by", "x"]) == 2
    assert "expected a table for the groups by x" in capsys.readouterr().err
    assert main(["label", "stats", *[str(labelled)] * 3]) == 2
    assert "one or two data sets, got 3" in capsys.readouterr().err


# ---------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "got nothing"),
        (b"a,a\n1,2\n", "first row of different names"),
        (b"file,b\n1\n", "expected 2 columns in row 2 of .*, got 1"),
        (b"file,b\n1.jpg,x\n1.png,y\n", r"one row for '1\.png'"),
        (b"file,b\n\xff,y\n", "UTF-8"),
        (b'file,b\n"1,y\n', "as CSV"),
    ],
)
def test_damaged_tables(text: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(text)
    with pytest.raises(InputError, match=says):
        read_metadata(tmp_path / "x.csv")


def test_tables_of_all_kinds(tmp_path: Path) -> None:
    for text in ("country,image\nNO,a/1.jpg\n\n", "\ufefffoo\tcountry\r\na\\1.jpg\tNO\r\n"):
        (tmp_path / "x.csv").write_bytes(text.encode())
        table = read_metadata(tmp_path / "x.csv")
        assert table.columns == ("country",)
        assert table.column(["a/1", "1.png", "b/1.jpg", "2"], "country") == [
            "NO", "NO", "NO", "unknown",
        ]  # fmt: skip


def test_too_many_groups(labelled: Path, tmp_path: Path) -> None:
    from anymask.label import report

    table = Metadata("x.csv", ("n",), {str(i): {"n": str(i)} for i in range(1, 5)})
    sets = {"a": [report.measures.measure(record) for record in read_records(labelled)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_MOST", 3)
        with pytest.raises(InputError, match="at most 3 groups in the column 'n'"):
            report.summarise(sets, table, ["n"])
