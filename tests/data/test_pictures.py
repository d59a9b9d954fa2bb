"""What pictures measure: galleries of plain planes, night scenes, blur and mosaics, made here and seeded."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from support.timing import least_cpu_seconds

from overt.data import pictures
from overt.data.pictures import MAX_PIXELS, UnreadablePicture, measure, open_picture

SIDE = 512
Y, X = np.mgrid[0:SIDE, 0:SIDE] / SIDE


def encoded(image, fmt="PNG", **options):
    sink = io.BytesIO()
    image.save(sink, fmt, **options)
    return sink.getvalue()


def picture(levels):
    levels = np.asarray(levels, dtype=float)
    if levels.ndim == 2:
        levels = np.dstack([levels] * 3)
    return Image.fromarray(np.clip(levels, 0, 255).round().astype(np.uint8))


def facts(image, fmt="PNG", **options):
    return measure(encoded(image, fmt, **options))


def photographs():
    """Real photographs that installed packages bring along."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "sample_data"
    found = {"portrait": Image.open(folder / "grace_hopper.jpg").convert("RGB")}
    sklearn = pytest.importorskip("sklearn.datasets")
    for name, array in zip(("china", "flower"), sklearn.load_sample_images().images, strict=True):
        found[name] = Image.fromarray(array)
    return found


def scene(seed=0, side=SIDE):
    """A drawn scene: sharp shapes of many colours and sizes over a gradient, with fine strokes."""
    draw = np.random.default_rng(seed)
    base = np.dstack([60 + 80 * Y, 90 + 90 * X, 160 - 80 * Y])
    image = picture(base).resize((side, side))
    pen = ImageDraw.Draw(image)
    for size in (160, 110, 80, 60, 40, 30, 20, 15, 10, 8) * 9:
        x, y = draw.integers(-20, side, 2)
        colour = tuple(int(v) for v in draw.integers(0, 256, 3))
        shape = pen.ellipse if draw.random() < 0.5 else pen.rectangle
        shape((x, y, x + size, y + size * draw.uniform(0.5, 1.5)), fill=colour)
    return image


# -- planes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "look"),
    [
        ((0, 0, 0), "black"), ((3, 3, 3), "black"), ((255, 255, 255), "white"), ((250, 250, 252), "white"),
        ((128, 128, 128), "flat"), ((200, 30, 40), "flat"), ((0, 0, 60), "flat"), ((20, 90, 200), "flat"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 30}),
        ("JPEG", {"quality": 95}),
        ("WEBP", {"quality": 80}),
        ("BMP", {}),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_plain_planes(colour, look, fmt, options, noise):
    levels = np.array(colour) + np.random.default_rng(1).normal(0, noise, (256, 256, 3))
    found = facts(picture(levels), fmt, **options)
    assert found.look == look
    assert not found.blurred
    assert not found.pixelated


def lamp():
    levels = np.zeros((SIDE, SIDE))
    levels[250:254, 300:303] = 220
    return levels


def stars(count=30):
    draw = np.random.default_rng(2)
    levels = np.zeros((SIDE, SIDE))
    levels[draw.integers(0, SIDE, count), draw.integers(0, SIDE, count)] = draw.integers(80, 255, count)
    return levels


def silhouette():
    levels = np.full((SIDE, SIDE), 4.0)
    levels[300:, 150:300] = 12
    return levels


def drawn(background, pen):
    image = Image.new("RGB", (SIDE, SIDE), background)
    pen(ImageDraw.Draw(image))
    return np.asarray(image)


SPARSE = {
    "a lamp of 12 pixels in the night": lamp(),
    "stars": stars(),
    "one star": stars(1),
    "a glow in the night": 180 * np.exp(-((X - 0.7) ** 2 + (Y - 0.4) ** 2) / 0.001),
    "a dim glow": 20 * np.exp(-((X - 0.7) ** 2 + (Y - 0.4) ** 2) / 0.02),
    "film grain in the dark": np.abs(np.random.default_rng(3).normal(0, 5, (SIDE, SIDE))),
    "a silhouette of eight levels": silhouette(),
    "a gradient of 14 levels": 14 * Y,
    "a pale gradient": 240 + 15 * X,
    "one pencil line": drawn("white", lambda p: p.line((150, 250, 350, 260), fill=(150, 150, 150))),
    "a red dot on white": drawn("white", lambda p: p.ellipse((250, 250, 256, 256), fill="red")),
    "a white line on black": drawn("black", lambda p: p.line((0, 256, 511, 256), fill="white")),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_pictures_are_pictures(name):
    found = facts(picture(SPARSE[name]))
    assert found.look == "picture"
    assert not found.blurred
    assert not found.pixelated


def test_the_mean_decides_nothing():
    dark, plane = facts(picture(stars())), facts(picture(np.full((SIDE, SIDE), dark_mean := 1.0)))
    assert dark.mean < plane.mean == pytest.approx(dark_mean)
    assert (dark.look, plane.look) == ("picture", "black")


def test_transparency_stands_over_white():
    assert facts(Image.new("RGBA", (64, 64), (0, 0, 0, 0))).look == "white"
    assert facts(Image.new("RGBA", (64, 64), (0, 0, 0, 255))).look == "black"


def test_sixteen_bits_are_not_cut_off():
    ramp = (np.linspace(0, 65535, 128 * 128).reshape(128, 128)).astype(np.uint16)
    found = facts(Image.fromarray(ramp))
    assert found.mean == pytest.approx(127.5, abs=1.5)
    assert found.range == 255


# -- blur ------------------------------------------------------------------------------------------------


def test_sharp_photographs_are_sharp():
    for image in (*photographs().values(), scene()):
        found = facts(image, "JPEG", quality=85)
        assert (found.look, found.blurred, found.pixelated) == ("picture", False, False)
        assert found.edge > 150


@pytest.mark.parametrize("share", [60, 40])
@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP"])
def test_heavy_blur_is_blur(share, fmt):
    for image in (*photographs().values(), scene()):
        blurred = image.filter(ImageFilter.GaussianBlur(max(image.size) / share))
        assert facts(blurred, fmt).blurred


def test_light_blur_is_not():
    for image in (*photographs().values(), scene()):
        assert not facts(image.filter(ImageFilter.GaussianBlur(max(image.size) / 400))).blurred


def bokeh():
    """A sharp subject before discs of light."""
    image = scene(5).filter(ImageFilter.GaussianBlur(SIDE / 30))
    subject = scene(6, 160)
    image.paste(subject, (170, 200))
    return image


SOFT = {
    "a ramp": picture(255 * X),
    "a sunset": picture(np.dstack([255 - 60 * Y, 200 * Y**2, 120 * np.exp(-((Y - 0.6) ** 2) / 0.05)])),
    "a vignette": picture(200 - 250 * ((X - 0.5) ** 2 + (Y - 0.5) ** 2)),
    "a large glow": picture(255 * np.exp(-((X - 0.5) ** 2 + (Y - 0.5) ** 2) / 0.05)),
    "a ramp with grain": picture(255 * X + np.random.default_rng(4).normal(0, 5, (SIDE, SIDE))),
    "a mesh of three colours": picture(
        np.dstack(
            [
                255 * np.exp(-((X - a) ** 2 + (Y - b) ** 2) / s)
                for a, b, s in ((0.2, 0.3, 0.1), (0.7, 0.2, 0.15), (0.5, 0.8, 0.2))
            ]
        )
    ),
    "bokeh behind a sharp subject": bokeh(),
}


@pytest.mark.parametrize("name", SOFT)
def test_soft_pictures_are_not_blurred(name):
    found = facts(SOFT[name])
    assert found.look == "picture"
    assert not found.blurred


def test_a_small_picture_is_not_called_blurred():
    image = scene(side=96).filter(ImageFilter.GaussianBlur(3))
    assert not facts(image).blurred


# -- mosaics ---------------------------------------------------------------------------------------------


def mosaic(image, block, how):
    if how == "blocks":  # one block after the other; the last ones are cut
        levels = np.asarray(image).astype(float)
        for y in range(0, image.height, block):
            for x in range(0, image.width, block):
                levels[y : y + block, x : x + block] = levels[y : y + block, x : x + block].mean((0, 1))
        return picture(levels)
    small = image.resize((image.width // block, image.height // block), Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.NEAREST)  # blocks of a broken number of pixels


@pytest.mark.parametrize("block", [10, 16, 25, 48])
@pytest.mark.parametrize("how", ["blocks", "enlarged"])
def test_mosaics_are_pixelated(block, how):
    for name, image in (*photographs().items(), ("scene", scene())):
        tiled = mosaic(image, block, how)
        for fmt, options in (("PNG", {}), ("JPEG", {"quality": 85}), ("JPEG", {"quality": 60})):
            assert facts(tiled, fmt, **options).pixelated, (name, fmt)


def test_a_mosaic_that_was_cropped_or_resized():
    tiled = mosaic(photographs()["flower"], 16, "blocks")
    assert facts(tiled.crop((7, 5, 600, 400))).pixelated
    smaller = tiled.resize((tiled.width * 9 // 10, tiled.height * 9 // 10), Image.Resampling.LANCZOS)
    assert facts(smaller, "JPEG").pixelated


def board(squares=8, side=SIDE):
    y, x = np.mgrid[0:side, 0:side] * squares // side
    return picture(np.where((x + y) % 2, 235.0, 20.0))


def sprite(cells=32, colours=12, side=SIDE):
    draw = np.random.default_rng(7)
    palette = draw.integers(0, 256, (colours, 3))
    half = draw.integers(0, colours, (cells, cells // 2))
    levels = palette[np.concatenate([half, half[:, ::-1]], axis=1)].astype(np.uint8)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.NEAREST)


REGULAR = {
    "a chess board": board(),
    "a fine checkerboard": board(64),
    "pixel art of 12 colours": sprite(),
    "pixel art of 32 colours, 64 cells": sprite(64, 32),
    "one rectangle": picture(drawn("white", lambda p: p.rectangle((128, 128, 384, 384), fill="navy"))),
    "a ruled page": picture(
        drawn("white", lambda p: [p.line((0, y, 511, y), fill="grey") for y in range(0, 512, 16)])
    ),
    "stripes": picture(np.where((X * 16).astype(int) % 2, 250.0, 5.0)),
    "noise": picture(np.random.default_rng(8).uniform(0, 255, (SIDE, SIDE, 3))),
}


@pytest.mark.parametrize("name", REGULAR)
def test_regular_pictures_are_not_pixelated(name):
    for fmt in ("PNG", "JPEG"):
        found = facts(REGULAR[name], fmt)
        assert found.look == "picture"
        assert not found.pixelated, found
        assert not found.blurred


# -- hostile bytes ---------------------------------------------------------------------------------------


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(side=30_000):
    """A grey PNG of side x side pixels in about 100 KB."""
    pack = zlib.compressobj(9)
    row = b"\0" * (side // 8 + 2)
    rows = b"".join(pack.compress(row * 1000) for _ in range(side // 1000)) + pack.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_bomb_is_told_by_its_header():
    data = bomb()
    assert len(data) < 1_000_000
    caught = None

    def work():
        nonlocal caught
        with pytest.raises(UnreadablePicture, match="more than 64,000,000") as caught:
            measure(data)

    assert least_cpu_seconds(work, 0.1) < 0.1
    assert caught.value.is_too_large
    # Past Pillow's own limit or not makes no difference.
    with pytest.raises(UnreadablePicture, match="10000 x 10000"):
        open_picture(bomb(10_000))


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_no_pictures(fmt, share):
    data = encoded(scene(), fmt)
    with pytest.raises(UnreadablePicture) as caught:
        measure(data[: int(len(data) * share)])
    assert not caught.value.is_too_large


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no bytes"),
        (b"<!DOCTYPE html><html><body>Too many requests", "text"),
        (b'{"error": "busy"}', "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text"),
        (b"\x00" * 500, "no known picture format"),
        (b"%PDF-1.7\n", "no known picture format"),
    ],
)
def test_what_is_no_picture(data, said):
    with pytest.raises(UnreadablePicture, match=said):
        measure(data)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutilated_bytes_raise_one_error_only(data):
    whole = bytearray(
        encoded(scene(side=64), data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"])))
    )
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    said = "-"
    try:
        found = measure(bytes(whole))
    except UnreadablePicture as error:
        said = str(error)
    else:
        assert found.look in {"picture", "black", "white", "flat"}
        assert found.width * found.height <= MAX_PIXELS
    assert 0 < len(said) < 300


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2), (2500, 40)])
def test_odd_shapes_are_measured(size):
    for colour in ("black", "red"):
        assert facts(Image.new("RGB", size, colour)).look in {"black", "flat"}


def test_it_is_quick_enough():
    image = photographs()["flower"].resize((1024, 1024), Image.Resampling.LANCZOS)
    for fmt in ("PNG", "JPEG"):
        data = encoded(image, fmt)
        # To look at each colour of the picture once takes 0.9 s where this takes 0.05.
        assert least_cpu_seconds(lambda data=data: measure(data), 0.2, tries=5) < 0.2


# -- animations ---------------------------------------------------------------------------------------------


def moving(colours, kind="GIF", **more):
    frames = [Image.new("RGB", (40, 20), colour) for colour in colours]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=40, **more)
    return file.getvalue()


SHADES = [(10 * n, 250 - 10 * n, 40) for n in range(24)]


@pytest.mark.parametrize(
    ("kind", "more"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
@pytest.mark.parametrize("count", [2, 16, 24])
def test_frames_are_evenly_spaced_with_the_first_and_the_last(kind, more, count):
    more = {} if kind == "TIFF" else more
    frames = pictures.open_frames(moving(SHADES[:count], kind, **more))
    assert len(frames) == min(count, 16)
    seen = [frame.getpixel((5, 5)) for frame in frames]
    for found, wanted in ((seen[0], SHADES[0]), (seen[-1], SHADES[count - 1])):
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 3
    assert len(set(seen)) == len(seen)


def test_one_picture_is_one_frame():
    assert len(pictures.open_frames(moving([(9, 9, 9)]))) == 1
    assert pictures.open_sheet(moving([(9, 9, 9)])).size == (40, 20)


def test_a_sheet_shows_every_frame():
    sheet = pictures.open_sheet(moving([(255, 0, 0), (0, 255, 0), (0, 0, 255)]))
    assert sheet.size == (80, 40)
    corners = [sheet.getpixel(at) for at in ((5, 5), (45, 5), (5, 25), (45, 25))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_an_animation_is_plain_only_if_every_frame_is():
    assert measure(moving([(0, 0, 0), (3, 0, 0), (0, 5, 0)])).look == "black"
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype("uint8")
    frames = [Image.new("RGB", (64, 64)), Image.fromarray(noise)]
    for order in (frames, frames[::-1]):
        file = io.BytesIO()
        order[0].save(file, "PNG", save_all=True, append_images=order[1:], duration=40)
        assert measure(file.getvalue()).look == "picture"


def test_an_animation_too_long_to_look_at_is_not_half_looked_at():
    data = moving(SHADES)
    with pytest.raises(UnreadablePicture, match="24 frames of 40 x 20 pixels is too much") as caught:
        pictures.open_frames(data, max_pixels=1000)
    assert caught.value.is_too_large
    assert open_picture(data, max_pixels=1000).size == (40, 20)
