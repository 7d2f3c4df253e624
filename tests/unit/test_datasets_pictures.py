from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from dafusion_core.datasets.pictures import check_picture, load_rgb, make_thumbnail
from dafusion_core.domain.errors import BadImage
from tests.unit.pictures import BLUE, GREEN, RED, WHITE, bomb_png, noise, quadrants, save

ORIENTATION = 0x0112


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Colours a quarter in from each corner, reading order, each channel rounded to 0 or 255."""
    x, y = image.width // 4, image.height // 4
    spots = [(x, y), (3 * x, y), (x, 3 * y), (3 * x, 3 * y)]
    pixels = np.asarray(image)
    return [tuple(255 * (int(v) > 127) for v in pixels[row, column]) for column, row in spots]


def refusal(path: Path, **options: int) -> str:
    with pytest.raises(BadImage) as caught:
        check_picture(path, **options)
    assert path.name in str(caught.value)
    return caught.value.text


# ------------------------------------------------------------------------------- good pictures


@pytest.mark.parametrize(
    "ending", [".jpg", ".JPEG", ".png", ".PNG", ".Tif", ".TIFF", ".bmp", ".webp"]
)
def test_every_format_in_any_case(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture{ending}"
    options = {"lossless": True} if ending == ".webp" else {}
    quadrants().save(path, **options)
    checked = check_picture(path)
    assert (checked.width, checked.height) == (64, 48)
    assert checked.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checked.bytes == path.stat().st_size
    assert checked.warnings == ()
    assert corners(load_rgb(path)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("name", ["really a png.jpg", "no ending", "picture.dat"])
def test_the_content_decides(tmp_path: Path, name: str) -> None:
    quadrants().save(tmp_path / name, "PNG")
    assert check_picture(tmp_path / name).mode == "RGB"
    assert corners(load_rgb(tmp_path / name)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".lzw.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, ending: str, orientation: int) -> None:
    # What a camera does: it stores the turned picture and says how it was held.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants()
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"turned{ending}"
    options = {"compression": "tiff_lzw"} if "lzw" in ending else {}
    stored.save(path, exif=exif, **options)

    checked = check_picture(path)
    upright = load_rgb(path)
    assert (checked.width, checked.height) == upright.size == (64, 48)
    assert corners(upright) == [RED, GREEN, BLUE, WHITE]
    assert corners(make_thumbnail(path, 32)) == [RED, GREEN, BLUE, WHITE]
    assert not upright.info


def test_damaged_exif_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    quadrants().save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f garbage")
    assert corners(load_rgb(path)) == [RED, GREEN, BLUE, WHITE]
    assert check_picture(path).width == 64


@pytest.mark.parametrize(
    ("top", "white"), [(255, 255), (1000, 1023), (4095, 4095), (9000, 16383), (65535, 65535)]
)
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bits_use_the_depth_that_holds_them(
    tmp_path: Path, ending: str, top: int, white: int
) -> None:
    values = np.linspace(0, top, 64 * 48).astype(np.uint16).reshape(48, 64)
    path = tmp_path / f"deep{ending}"
    Image.fromarray(values).save(path)
    grey = np.asarray(load_rgb(path))
    assert grey.shape == (48, 64, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert np.abs(grey[..., 0] - values * 255.0 / white).max() <= 0.51
    (warning,) = check_picture(path).warnings
    assert f"white is {white}" in warning


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-2.0, 0.0, 2.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, np.nan, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[0.0, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[3.0, 3.0, 3.0]], np.float32), [3, 3, 3]),
        (np.array([[-1.0, -1.0, -1.0]], np.float32), [0, 0, 0]),
        (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
        (np.array([[0, 50_000, 100_000]], np.int32), [0, 128, 255]),
    ],
)
def test_unusual_grey_values(tmp_path: Path, values: np.ndarray, expected: list[int]) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.repeat(values, 40, axis=0)).save(path)
    assert np.asarray(load_rgb(path))[5, :, 1].tolist() == expected


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, 20:] = (255, 0, 0, 255)
    clear = Image.fromarray(pixels)
    makers: dict[str, Callable[[Path], None]] = {
        "rgba.png": lambda path: clear.save(path),
        "rgba.tif": lambda path: clear.save(path),
        "rgba.webp": lambda path: clear.save(path, lossless=True),
        "palette.png": lambda path: clear.quantize(8).save(path),
    }
    for name, make in makers.items():
        make(tmp_path / name)
        rgb = load_rgb(tmp_path / name)
        assert rgb.getpixel((5, 5)) == WHITE, name
        assert rgb.getpixel((30, 5)) == RED, name
    grey = Image.fromarray(np.array([[[0, 0], [9, 255]]], np.uint8).repeat(40, 0).repeat(20, 1))
    assert grey.mode == "LA"
    grey.save(tmp_path / "la.png")
    assert load_rgb(tmp_path / "la.png").getpixel((2, 2)) == WHITE
    assert load_rgb(tmp_path / "la.png").getpixel((30, 2)) == (9, 9, 9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_other_modes(tmp_path: Path, mode: str) -> None:
    pattern = quadrants()
    path = tmp_path / f"mode.{'tif' if mode in ('CMYK', 'YCbCr') else 'png'}"
    pattern.convert(mode).save(path)
    rgb = load_rgb(path)
    assert rgb.mode == "RGB"
    assert rgb.size == (64, 48)
    if mode not in ("1", "L"):
        assert corners(rgb) == [RED, GREEN, BLUE, WHITE]


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    quadrants().convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert corners(load_rgb(tmp_path / "print.jpg")) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("ending", [".tif", ".png", ".webp"])
def test_only_the_first_page_is_used(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"pages{ending}"
    extra = {"lossless": True} if ending == ".webp" else {}
    quadrants().save(
        path, save_all=True, append_images=[noise(1, 64, 48), noise(2, 64, 48)], **extra
    )
    assert any("first of 3 pages" in warning for warning in check_picture(path).warnings)
    assert corners(load_rgb(path)) == [RED, GREEN, BLUE, WHITE]


def test_very_small_pictures_get_a_warning(tmp_path: Path) -> None:
    save(noise(0, 48, 20), tmp_path / "small.png")
    assert check_picture(tmp_path / "small.png").warnings == ("it is only 48×20 pixels",)


# ------------------------------------------------------------------------------- bad pictures


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jpg", b"", "empty"),
        ("a.jpg", b"just a note\n" * 50, "text"),
        ("a.jpg", "Grüße, 写真".encode() * 40, "text"),
        ("a.png", b"<!DOCTYPE html><html><body>404", "web page"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
        ("a.gif", b"GIF89a" + bytes(50), "GIF"),
        ("a.heic", b"\x00\x00\x00\x18ftypheic" + bytes(50), "HEIC"),
        ("a.dcm", bytes(128) + b"DICM" + bytes(50), "DICOM"),
        ("a.psd", b"8BPS\x00\x01" + bytes(50), "Photoshop"),
        ("a.nef", b"II*\x00" + bytes(50), "camera raw"),
        ("a.jpg", bytes(range(256)), "not a JPEG, PNG, TIFF, BMP or WebP picture"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(40), "damaged"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged"),
        ("a.tif", b"II*\x00\x08\x00\x00\x00" + bytes(40), "damaged"),
        ("a.bmp", b"BM" + bytes(12) + b"\x28" + bytes(60), "damaged"),
        ("a.webp", b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(40), "damaged"),
    ],
)
def test_refused_with_a_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert reason in refusal(path)
    with pytest.raises(BadImage, match=reason):
        load_rgb(path)
    with pytest.raises(BadImage, match=reason):
        make_thumbnail(path, 64)


def test_text_that_starts_like_a_bmp_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("BMW makes motor cars. " * 9)
    assert "text" in refusal(tmp_path / "a.txt")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_cut_short(tmp_path: Path, ending: str, share: float) -> None:
    save(noise(3, 128, 96), tmp_path / f"whole{ending}")
    whole = (tmp_path / f"whole{ending}").read_bytes()
    path = tmp_path / f"cut{ending}"
    path.write_bytes(whole[: int(len(whole) * share)])
    text = refusal(path)
    assert "cut short" in text or "damaged" in text


def test_flipped_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for ending in (".jpg", ".png", ".tif", ".bmp", ".webp"):
        whole = bytearray(save(noise(3), tmp_path / f"whole{ending}").read_bytes())
        for _ in range(40):
            broken = whole.copy()
            for place in rng.integers(4, len(broken), 6):
                broken[place] = int(rng.integers(256))
            path = tmp_path / f"broken{ending}"
            path.write_bytes(broken)
            try:
                check_picture(path, max_pixels=10**7)
            except BadImage:
                continue
            load_rgb(path, max_pixels=10**7)


def test_huge_pictures_are_refused_from_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bomb_png(tmp_path / "bomb.png", 30_000, 30_000)
    assert path.stat().st_size < 1000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    text = refusal(path)
    assert "30000×30000 pixels are too many" in text
    assert "200 million" in text
    small = bomb_png(tmp_path / "b.png", 100, 100)
    assert "limit is 1,000 pixels" in refusal(small, max_pixels=1000)
    for read in (load_rgb, lambda place: make_thumbnail(place, 64)):
        with pytest.raises(BadImage, match="too many"):
            read(path)


def test_large_but_allowed_sizes_raise_no_warning_of_pillow(tmp_path: Path) -> None:
    # Above Pillow's own limit of 89 million; the pixels are missing, so decoding ends early.
    path = bomb_png(tmp_path / "large.png", 12_000, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "cut short" in refusal(path) or "damaged" in refusal(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    assert "not there" in refusal(tmp_path / "missing.jpg")
    assert "not a regular file" in refusal(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        assert "not a regular file" in refusal(tmp_path / "pipe.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may read everything")
def test_forbidden_files(tmp_path: Path) -> None:
    path = save(noise(0), tmp_path / "secret.png")
    path.chmod(0)
    assert "permission" in refusal(path)


# ------------------------------------------------------------------------------- thumbnails


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_thumbnails_fit_and_never_grow(tmp_path: Path, ending: str) -> None:
    path = save(quadrants(640, 480), tmp_path / f"a{ending}")
    assert make_thumbnail(path, 160).size == (160, 120)
    assert corners(make_thumbnail(path, 16)) == [RED, GREEN, BLUE, WHITE]
    assert make_thumbnail(path, 2000).size == (640, 480)


def test_jpeg_thumbnails_resemble_the_picture(tmp_path: Path) -> None:
    smooth = noise(5, 32, 24).resize((1024, 768), Image.Resampling.BICUBIC)
    path = save(smooth, tmp_path / "a.jpg", quality=95)
    small = np.asarray(make_thumbnail(path, 128)).astype(float)
    slow = np.asarray(load_rgb(path).resize((128, 96), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(small - slow).mean() < 2


# ------------------------------------------------------------------------------- threads


def test_warnings_stay_errors_while_threads_read_odd_files(tmp_path: Path) -> None:
    # This TIFF makes Pillow warn about its tags.
    good = save(noise(1), tmp_path / "a.tif").read_bytes()
    paths = []
    for i in range(8):
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        path = tmp_path / f"odd{i}.jpg"
        noise(i).save(path, exif=b"Exif\x00\x00" + good[:30])
        paths.append(path)
    before = list(warnings.filters)
    barrier = threading.Barrier(4, timeout=10)

    def read(path: Path) -> int:
        barrier.wait()
        return check_picture(path).width

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, paths)) == [48] * 8
    assert list(warnings.filters) == before


# ------------------------------------------------------------------------------- real oddities


@pytest.mark.parametrize(
    ("name", "size", "reason", "warning"),
    [
        ("bw_text.png", (516, 333), None, None),
        ("chessboard_GRAY_U16.tif", (200, 200), None, "8 bit"),
        ("foo3x5x4indexed.png", (5, 3), None, "only 5×3 pixels"),
        ("green_palette.png", (320, 240), None, None),
        ("palette_color.png", (10, 10), None, "only 10×10 pixels"),
        ("palette_gray.png", (10, 10), None, "only 10×10 pixels"),
        ("multipage_rgb.tif", None, "3 × 64-bit floating-point numbers per pixel", None),
        ("truncated.jpg", None, "cut short", None),
    ],
)
def test_odd_formats(
    shared_data: Path,
    name: str,
    size: tuple[int, int] | None,
    reason: str | None,
    warning: str | None,
) -> None:
    path = shared_data / "odd-formats" / name
    if reason is not None:
        assert reason in refusal(path)
        return
    checked = check_picture(path)
    assert (checked.width, checked.height) == size == load_rgb(path).size
    assert load_rgb(path).mode == "RGB"
    if warning is None:
        assert checked.warnings == ()
    else:
        assert any(warning in text for text in checked.warnings)


def test_odd_formats_look_right(shared_data: Path) -> None:
    odd = shared_data / "odd-formats"
    board = np.asarray(load_rgb(odd / "chessboard_GRAY_U16.tif"))
    assert board.min() == 0
    assert board.max() == 255
    indexed = np.asarray(load_rgb(odd / "foo3x5x4indexed.png"))
    assert indexed[0, 2].tolist() == [127, 0, 255]
    assert indexed[1, 2].tolist() == [255, 255, 255]  # transparent, so white
    green = np.asarray(load_rgb(odd / "green_palette.png")).reshape(-1, 3).mean(axis=0)
    assert green[1] > green[0]
    assert green[1] > green[2]


def test_every_odd_format_is_listed_above(shared_data: Path) -> None:
    names = {path.name for path in (shared_data / "odd-formats").iterdir()}
    marks = [m for m in test_odd_formats.pytestmark if m.name == "parametrize"]
    assert names == {row[0] for row in marks[0].args[1]}
