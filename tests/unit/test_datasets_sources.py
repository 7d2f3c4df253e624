"""Importers against data sets made on the spot, with ties, crowds, void and missing things."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dafusion_core.datasets.masks import decode_mask, encode_mask
from dafusion_core.datasets.plan import ImportPlan
from dafusion_core.datasets.sources import detect_form, plan_import
from dafusion_core.datasets.sources.flowers import FLOWER_NAMES
from dafusion_core.datasets.sources.matlab import read_arrays
from dafusion_core.datasets.sources.table import preview_table
from dafusion_core.datasets.sources.voc import VOC_CLASSES, largest_object
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from tests.unit.pictures import make_class_folder, noise, save


def labels(plan: ImportPlan) -> dict[str, str]:
    return {Path(entry.path).name: entry.label for entry in plan.entries}


def reasons(plan: ImportPlan) -> list[str]:
    return [problem.reason for problem in plan.problems if problem.is_refused]


# Tables -------------------------------------------------------------------------------------


def flat(folder: Path, count: int = 4) -> Path:
    for i in range(count):
        save(noise(i), folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label,split,group\n0.png,dock,train,p1\n1.png,fern,test,p2\n", "utf-8"),
        ("0.png;dock;train;p1\n1.png;fern;test;p2\n", "utf-8"),
        ("\ufeffFile Name\tSpecies\tPart\tPlant\n0.png\tdock\tTraining\tp1\n1.png\tfern\ttest\tp2",
         "utf-16"),
        ('"filename"|"class"|"set"|"group"\r\n"0.png"|"dock"|"train"|"p1"\r\n1.png|fern|eval|p2\r\n',
         "cp1252"),
    ],
)  # fmt: skip
def test_lists_are_understood(tmp_path: Path, text: str, encoding: str) -> None:
    flat(tmp_path)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    plan = plan_import(tmp_path / "list.csv")
    assert [(e.label, e.part, e.group) for e in plan.entries] == [
        ("dock", Part.TRAIN, "p1"),
        ("fern", Part.TEST, "p2"),
    ]
    assert plan.problems == ()


def test_a_list_says_row_by_row_what_it_leaves_out(tmp_path: Path) -> None:
    flat(tmp_path / "photos")
    flat(tmp_path / "photos" / "again", 1)
    rows = [
        ("path", "label", "split"),
        ("photos/1.png", "=HYPERLINK(1)", "train"),
        ("1.png", "dock", "train"),
        ("photos/2.png", "草", "holdout"),
        ("../../etc/passwd", "dock", ""),
        ("gone.png", "dock", ""),
        ("0.png", "dock", ""),
        ("photos\\3.png", "dock", ""),
        ("photos/3.png", "dock", ""),
        ("", "dock", ""),
        ("a\0b", "dock", ""),
    ]
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    plan = plan_import(tmp_path / "list.csv")
    assert labels(plan) == {"1.png": "=HYPERLINK(1)", "2.png": "草", "3.png": "dock"}
    text = " / ".join(f"{p.path}: {p.reason}" for p in plan.problems)
    for words in (
        "row 3: 1.png: the file is listed before as “=HYPERLINK(1)”",
        "“holdout” is no part",
        "leads out of the folder",
        "gone.png: the file is not there",
        "2 files have this name",
        "listed twice",
        "names no file",
    ):
        assert words in text


def test_columns_can_be_named(tmp_path: Path) -> None:
    flat(tmp_path)
    (tmp_path / "a.tsv").write_text("a\tb\tc\nfern\t0.png\tx\ndock\t1.png\ty\n")
    plan = plan_import(tmp_path / "a.tsv", columns={"path": "b", "label": "a", "group": 2},
                       has_header=True)  # fmt: skip
    assert labels(plan) == {"1.png": "dock", "0.png": "fern"}
    assert {e.group for e in plan.entries} == {"x", "y"}
    with pytest.raises(UserError, match="no column “d”"):
        preview_table(tmp_path / "a.tsv", columns={"path": "d"})
    (tmp_path / "words.csv").write_text("one,two\nthree,four\n")
    with pytest.raises(UserError, match="holds the paths"):
        plan_import(tmp_path / "words.csv")
    (tmp_path / "empty.csv").write_text("\n\n")
    with pytest.raises(UserError, match="is empty"):
        plan_import(tmp_path / "empty.csv")


@pytest.mark.slow
def test_a_list_of_a_million_rows(tmp_path: Path) -> None:
    flat(tmp_path)
    with (tmp_path / "big.csv").open("w") as file:
        file.write("path,label\n")
        for i in range(1_000_000):
            file.write(f"{i}.png,class {i % 7}\n")
    plan = plan_import(tmp_path / "big.csv")
    assert len(plan.entries) == 4
    assert len(plan.problems) < 1000
    assert "999,796 more" in plan.problems[-1].path


# VOC ----------------------------------------------------------------------------------------


def indexed(values: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    image = image.convert("P")
    image.putdata(values.ravel().tolist())
    image.save(path)


def independent_largest(objects: np.ndarray, kinds: np.ndarray) -> tuple[int, np.ndarray] | None:
    """The rule written once more, pixel by pixel."""
    sizes: dict[int, int] = {}
    for value in objects.ravel().tolist():
        if value not in (0, 255):
            sizes[value] = sizes.get(value, 0) + 1
    for number in sorted(sizes, key=lambda n: (-sizes[n], n)):
        votes: dict[int, int] = {}
        for o, k in zip(objects.ravel().tolist(), kinds.ravel().tolist(), strict=True):
            if o == number and k not in (0, 255):
                votes[k] = votes.get(k, 0) + 1
        if votes:
            return min(votes, key=lambda k: (-votes[k], k)), objects == number
    return None


def test_the_largest_object_is_that_of_an_independent_count() -> None:
    chance = np.random.default_rng(0)
    ties = nothing = 0
    for _ in range(150):
        height, width = chance.integers(1, 12, 2)
        objects = chance.choice([0, 1, 2, 3, 255], (height, width), p=[0.3, 0.2, 0.2, 0.1, 0.2])
        kinds = np.where(objects == 0, 0, chance.choice([1, 5, 20, 255], (height, width)))
        expected, found = independent_largest(objects, kinds), largest_object(objects, kinds)
        if expected is None:
            nothing += 1
            assert found is None
            continue
        assert found is not None
        assert found[0] == expected[0]
        assert (found[1] == expected[1]).all()
        counts = np.bincount(objects.ravel(), minlength=256)[1:255]
        ties += int((counts == counts.max()).sum() > 1)
    assert ties > 5
    assert nothing > 0


def voc_folder(root: Path) -> Path:
    for name in ("a", "b", "c", "d", "e"):
        save(noise(ord(name), 48, 40), root / "JPEGImages" / f"{name}.jpg")
    objects = np.zeros((40, 48), int)
    objects[:10, :10], objects[20:38, 5:40], objects[19, 5:40] = 1, 2, 255
    kinds = np.where(objects == 1, 15, np.where(objects == 2, 4, objects))
    indexed(objects, root / "SegmentationObject" / "a.png")
    indexed(kinds, root / "SegmentationClass" / "a.png")
    # No void pixels: the highest id is an object like any other.
    only = np.where(objects == 2, 2, 0)
    indexed(only, root / "SegmentationObject" / "b.png")
    indexed(np.where(only == 2, 1, 0), root / "SegmentationClass" / "b.png")
    indexed(objects * 0 + 255, root / "SegmentationObject" / "d.png")
    indexed(objects * 0 + 255, root / "SegmentationClass" / "d.png")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "c.xml").write_text(
        "<annotation>"
        "<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10"
        "</ymax></bndbox></object>"
        "<object><name>cat</name><bndbox><xmin>11</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10"
        "</ymax></bndbox></object></annotation>"
    )
    (root / "Annotations" / "e.xml").write_text("<annotation><object>")
    sets = root / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a\nb\ne\n")
    (sets / "val.txt").write_text("c\nd\ngone\n")
    return root


def test_voc(tmp_path: Path) -> None:
    root = voc_folder(tmp_path / "VOCdevkit" / "VOC2012")
    assert detect_form(tmp_path) == "voc"
    plan = plan_import(tmp_path)
    assert labels(plan) == {"b.jpg": "airplane", "a.jpg": "boat", "c.jpg": "dog"}
    assert VOC_CLASSES[14] == "person"
    by_name = {Path(e.path).name: e for e in plan.entries}
    assert by_name["a.jpg"].part is Part.TRAIN
    assert by_name["c.jpg"].part is Part.TEST
    mask = decode_mask(by_name["a.jpg"].regions[0].data)
    assert mask.sum() == 18 * 35
    assert by_name["c.jpg"].regions[0].data == {"box": [0, 0, 10, 10]}  # the first of equals
    text = " / ".join(reasons(plan))
    assert "no object" in text
    assert "cannot be read" in text
    assert "not there" in text
    assert "aeroplane" in plan_import(root, "voc", readable_names=False).per_label
    (root / "Annotations" / "c.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')
    assert "declares entities" in " ".join(reasons(plan_import(tmp_path)))


# COCO ---------------------------------------------------------------------------------------


def coco_folder(root: Path) -> Path:
    chance = random.Random(0)
    images, annotations = [], []
    for i in range(1, 13):
        save(noise(i, 48, 40), root / "val2017" / f"{i:012}.jpg")
        images.append({"id": i, "file_name": f"{i:012}.jpg", "width": 48, "height": 40})
        for _ in range(i % 4):
            points = [round(chance.uniform(0, 45), 1) for _ in range(8)]
            annotations.append(
                {"image_id": i, "category_id": chance.choice((1, 7)), "iscrowd": 0,
                 "area": chance.choice((50.0, 50.0, 80.5, 99)), "bbox": [0, 0, 5, 5],
                 "segmentation": [points]}
            )  # fmt: skip
    mask = np.zeros((40, 48), bool)
    mask[3:30, 4:40] = True
    runs = {"size": [40, 48], "counts": coco_runs(mask)}
    annotations.append({"image_id": 5, "category_id": 7, "iscrowd": 1, "area": 9999,
                        "bbox": [0, 0, 48, 40], "segmentation": runs})  # fmt: skip
    annotations.append({"image_id": 4, "category_id": 1, "iscrowd": 1, "area": 9999,
                        "bbox": [0, 0, 48, 40], "segmentation": runs})  # fmt: skip
    annotations.append({"image_id": 6, "category_id": 1, "iscrowd": 0, "area": 972.0,
                        "bbox": [4, 3, 36, 27], "segmentation": runs})  # fmt: skip
    for number, annotation in enumerate(annotations):
        annotation["id"] = number
    images.append({"id": 99, "file_name": "gone.jpg", "width": 1, "height": 1})
    value = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 7, "name": "dog"}, {"id": 1, "name": "person"}],
    }
    path = root / "annotations" / "instances_val2017.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    return path


def coco_runs(mask: np.ndarray) -> list[int]:
    flat_ = mask.T.ravel()
    runs, value = [0], False
    for pixel in flat_.tolist():
        if pixel == value:
            runs[-1] += 1
        else:
            runs.append(1)
            value = pixel
    return runs


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_coco_against_the_coco_api(tmp_path: Path) -> None:
    tools = pytest.importorskip("pycocotools.coco")
    path = coco_folder(tmp_path)
    assert detect_form(tmp_path) == detect_form(path) == "coco"
    plan = plan_import(tmp_path)
    api = tools.COCO(str(path))
    names = {c["id"]: c["name"] for c in api.dataset["categories"]}
    found = {int(Path(e.path).stem): e for e in plan.entries}
    for image_id in api.getImgIds():
        annotations = api.loadAnns(api.getAnnIds(imgIds=image_id, iscrowd=False))
        if not annotations:
            assert image_id not in found
            continue
        largest = max(annotations, key=lambda a: a["area"])  # the first of equals
        entry = found[image_id]
        assert entry.label == names[largest["category_id"]]
        assert entry.part is Part.TEST
        (region,) = entry.regions
        from dafusion_core.datasets.masks import region_mask
        from dafusion_core.domain.regions import Region

        ours = region_mask(Region(0, 0, region.kind, region.data), 40, 48)
        assert (ours == api.annToMask(largest)).all()
    assert "only crowds" in " ".join(reasons(plan))
    assert "not there" in " ".join(reasons(plan))
    assert plan.labels == ("dog", "person")
    everything = plan_import(path, keep="all", with_empty=True)
    assert len(everything.entries) == 12
    assert max(len(e.regions) for e in everything.entries) == 3


def test_damaged_coco_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="nothing that can be imported"):
        plan_import(tmp_path / "a.json")
    with pytest.raises(UserError, match="no COCO file"):
        plan_import(tmp_path / "a.json", "coco")
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not readable JSON"):
        plan_import(tmp_path / "a.json", "coco")


# The others ---------------------------------------------------------------------------------


def test_leafy_spurge(tmp_path: Path) -> None:
    make_class_folder(tmp_path / "a", {"absent": 3, "apparent": 2})
    assert detect_form(tmp_path / "a") == "leafy-spurge"
    assert plan_import(tmp_path / "a").per_label == {"leafy spurge": 2, "no spurge": 3}
    for configuration in ("crop", "context"):
        for part in ("train", "test"):
            make_class_folder(tmp_path / "b" / configuration / part, {"absent": 2, "apparent": 1})
    save(noise(7), tmp_path / "b" / "unlabelled" / "x.png")
    with pytest.raises(UserError, match="twice"):
        plan_import(tmp_path / "b")
    plan = plan_import(tmp_path / "b", configuration="crop")
    assert plan.per_label == {"leafy spurge": 2, "no spurge": 4, "": 1}
    assert plan.per_part == {"train": 3, "test": 3}
    with pytest.raises(UserError, match="no configuration"):
        plan_import(tmp_path / "b", configuration="wide")


def test_caltech(tmp_path: Path) -> None:
    names = {"accordion": 2, "Faces_easy": 2, "BACKGROUND_Google": 3}
    make_class_folder(tmp_path / "101_ObjectCategories", names, ".jpg")
    assert detect_form(tmp_path) == "caltech101"
    assert list(plan_import(tmp_path).per_label) == ["accordion", "background google", "faces easy"]
    plan = plan_import(tmp_path, with_background=False)
    assert plan.per_label == {"accordion": 2, "faces easy": 2}
    assert "3 background pictures" in reasons(plan)[0]


def mat_bytes(**arrays: np.ndarray) -> bytes:
    scipy = pytest.importorskip("scipy.io")
    buffer = io.BytesIO()
    scipy.savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


def test_matlab_files_are_read_as_by_scipy(tmp_path: Path) -> None:
    scipy = pytest.importorskip("scipy.io")
    rng = np.random.default_rng(0)
    arrays = {
        "labels": rng.integers(1, 103, (1, 8189), np.uint8),
        "x": rng.random((3, 5)),
        "small": np.array([[1, 2]], np.int16),
        "text": np.array(["not numbers"]),
    }
    for is_packed in (True, False):
        scipy.savemat(tmp_path / "a.mat", arrays, do_compression=is_packed)
        found = read_arrays(tmp_path / "a.mat")
        assert set(found) == {"labels", "x", "small"}
        for name, values in found.items():
            assert (values == arrays[name]).all()
    data = (tmp_path / "a.mat").read_bytes()
    for cut in (100, 130, 300, len(data) - 5):
        (tmp_path / "cut.mat").write_bytes(data[:cut])
        try:
            read_arrays(tmp_path / "cut.mat")
        except UserError:
            continue
    (tmp_path / "no.mat").write_bytes(b"\x89HDF" + bytes(200))
    with pytest.raises(UserError, match="no MATLAB 5 file"):
        read_arrays(tmp_path / "no.mat")


def test_flowers(tmp_path: Path) -> None:
    for i in range(1, 6):
        save(noise(i), tmp_path / "jpg" / f"image_{i:05}.jpg")
    (tmp_path / "imagelabels.mat").write_bytes(mat_bytes(labels=np.array([[77, 1, 102, 1]])))
    (tmp_path / "setid.mat").write_bytes(
        mat_bytes(trnid=np.array([[1, 2]]), valid=np.array([[3]]), tstid=np.array([[4]]))
    )
    plan = plan_import(tmp_path)
    assert plan.form == "flowers102"
    assert labels(plan) == {
        "image_00003.jpg": "blackberry lily",
        "image_00001.jpg": "passion flower",
        "image_00002.jpg": "pink primrose",
        "image_00004.jpg": "pink primrose",
    }
    assert plan.per_part == {"validation": 1, "train": 2, "test": 1}
    assert reasons(plan) == ["imagelabels.mat has no entry for it"]
    assert len(FLOWER_NAMES) == len(set(FLOWER_NAMES)) == 102
    assert all(name == name.strip() for name in FLOWER_NAMES)


def test_hugging_face_folders(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        flat(tmp_path / part, count)
        rows = [{"file_name": f"{i}.png", "label": f"c{i}"} for i in range(count)]
        lines = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / part / "metadata.jsonl").write_text(lines + "\n{broken\n")
    assert detect_form(tmp_path) == "huggingface"
    plan = plan_import(tmp_path)
    assert plan.per_label == {"c0": 2, "c1": 2, "c2": 1}
    assert plan.per_part == {"test": 2, "train": 3}
    assert len(reasons(plan)) == 2


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def cell(seed: int) -> dict[str, object]:
        buffer = io.BytesIO()
        noise(seed).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    features = {"image": {"_type": "Image"},
                "label": {"_type": "ClassLabel", "names": ["absent", "apparent"]}}  # fmt: skip
    for part, rows in (("train", 7), ("test", 4)):
        cells = [cell(100 * rows + i) for i in range(rows)]
        cells[3] = {"bytes": None, "path": None}
        table = pyarrow.table({"image": cells, "label": [i % 2 for i in range(rows)]})
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
        path = tmp_path / "data" / f"{part}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        parquet.write_table(table, path, row_group_size=2)
    assert detect_form(tmp_path) == "parquet"
    plan = plan_import(tmp_path)
    assert plan.per_label == {"absent": 6, "apparent": 5}
    assert plan.per_part == {"train": 7, "test": 4}
    import dafusion_core as df

    with df.create(tmp_path / "p") as project:
        report = project.import_data(plan)
        assert report.imported == 9
        assert [p.reason for p in report.problems] == ["the row holds no picture"] * 2
        assert project.current_split().counts == {"train": 6, "test": 3}
        assert not project.verify().missing
        assert project.import_data(tmp_path).imported == 0
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "no.parquet")
    with pytest.raises(UserError, match="holds pictures"):
        plan_import(tmp_path / "no.parquet")


def test_labelme(tmp_path: Path) -> None:
    save(noise(1, 48, 40), tmp_path / "in" / "a.jpg")
    save(noise(2, 48, 40), tmp_path / "in" / "b.jpg")
    mask = np.zeros((10, 12), np.uint8)
    mask[2:8, 3:9] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    shapes = [
        {"label": "leaf", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]},
        {"label": "stem", "shape_type": "rectangle", "points": [[40, 35], [10, 5]]},
        {"label": "eye", "shape_type": "mask", "points": [[20, 10], [32, 20]],
         "mask": base64.b64encode(buffer.getvalue()).decode()},
        {"label": "disc", "shape_type": "circle", "points": [[20, 20], [25, 20]]},
        {"label": "tip", "shape_type": "point", "points": [[1, 1]]},
    ]  # fmt: skip
    base = {"imageHeight": 40, "imageWidth": 48, "imageData": None, "flags": {}}
    (tmp_path / "in" / "a.json").write_text(
        json.dumps({**base, "imagePath": "..\\elsewhere\\a.jpg", "shapes": shapes})
    )
    (tmp_path / "in" / "b.json").write_text(
        json.dumps({**base, "imagePath": "b.jpg", "shapes": shapes[:1],
                    "flags": {"dock": True, "blurred": False}})
    )  # fmt: skip
    inside = io.BytesIO()
    noise(3, 48, 40).save(inside, "PNG")
    (tmp_path / "in" / "c.json").write_text(
        json.dumps({**base, "imagePath": "c.png", "shapes": shapes[:1],
                    "imageData": base64.b64encode(inside.getvalue()).decode()})
    )  # fmt: skip
    (tmp_path / "in" / "d.json").write_text(
        json.dumps({**base, "imagePath": "d.png", "shapes": []})
    )
    (tmp_path / "in" / "settings.json").write_text("{}")
    assert detect_form(tmp_path) == detect_form(tmp_path / "in") == "labelme"
    plan = plan_import(tmp_path)
    found = {Path(e.source).name: e for e in plan.entries}
    assert found["a.jpg"].label == "stem"
    assert [r.kind.value for r in found["a.jpg"].regions] == ["polygon", "box", "mask", "polygon"]
    assert found["a.jpg"].regions[1].data == {"box": [10, 5, 30, 30]}
    painted = decode_mask(found["a.jpg"].regions[2].data)
    assert painted.sum() == 36
    assert painted[12, 23]
    assert found["b.jpg"].label == "dock"
    assert found["c.json#imageData"].fetch is not None
    assert "d.png is not there" in reasons(plan)[0]
    import dafusion_core as df

    with df.create(tmp_path / "p") as project:
        assert project.import_data(plan).imported == 3
        assert len(project.regions()) == 6


def test_plain_folders_of_pictures_and_parts(tmp_path: Path) -> None:
    flat(tmp_path / "flat")
    assert plan_import(tmp_path / "flat").per_label == {"": 4}
    for part in ("train", "val", "test"):
        make_class_folder(tmp_path / "parts" / part, {"dock": 2, "fern": 1})
    plan = plan_import(tmp_path / "parts")
    assert plan.form == "part-folders"
    assert plan.per_part == {"test": 3, "train": 3, "validation": 3}
    assert plan.per_label == {"dock": 6, "fern": 3}


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    voc_folder(tmp_path / "voc")
    coco_folder(tmp_path / "coco")
    make_class_folder(tmp_path / "folders", {"b": 3, "a": 12})
    flat(tmp_path / "flat", 12)
    places = [tmp_path / name for name in ("voc", "coco", "folders", "flat")]
    expected = [plan_import(place).entries for place in places]
    real_scandir, real_listdir = os.scandir, os.listdir

    class Shuffled:
        def __init__(self, path: object) -> None:
            with real_scandir(path) as scan:
                self.entries = list(scan)
            random.shuffle(self.entries)

        def __enter__(self) -> Shuffled:
            return self

        def __exit__(self, *_: object) -> None: ...
        def close(self) -> None: ...
        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(self.entries)

        def __next__(self):  # type: ignore[no-untyped-def]
            if not self.entries:
                raise StopIteration
            return self.entries.pop()

    def listdir(path: object = ".") -> list[str]:
        names = real_listdir(path)
        random.shuffle(names)
        return names

    monkeypatch.setattr(os, "scandir", Shuffled)
    monkeypatch.setattr(os, "listdir", listdir)
    for _ in range(3):
        assert [plan_import(place).entries for place in places] == expected


def test_unknown_forms_and_options(tmp_path: Path) -> None:
    flat(tmp_path)
    with pytest.raises(UserError, match="no form of data"):
        plan_import(tmp_path, "zip")
    with pytest.raises(UserError, match="no option “keep”"):
        plan_import(tmp_path, "flat", keep="all")
    with pytest.raises(UserError, match="no folder"):
        plan_import(tmp_path / "gone")
    assert encode_mask(np.zeros((2, 2), bool))["counts"] == "4"
