"""Every kind of file is read as it is, or refused by name."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from applications.core.errors import UserError
from applications.datasets.readers import image_header, list_images, natural_key, read_image, read_mask

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
DEEP_COLOUR = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)


def write_deep_png(array, path):
    """Writes 16-bit PNG of any number of channels, which Pillow cannot."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = array.shape
    colour = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def palette_image(indices):
    image = Image.fromarray(indices)
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    return image


def grey_alpha():
    return Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(COLOUR[..., 0])])


RGBA = np.dstack([COLOUR, GREY])
SMALL = (GREY % 3).astype(np.uint8)
EXPANDED = np.stack([SMALL, 255 - SMALL, np.full_like(SMALL, 7)], axis=-1)
ORIENTED = {3: COLOUR[::-1, ::-1], 6: np.rot90(COLOUR, -1), 8: np.rot90(COLOUR)}


def oriented(orientation):
    def write(path):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(COLOUR, path, exif=exif)

    return write


# name -> (file name, writer, expected array)
IMAGES = {
    "grey png": ("a.png", lambda p: save(GREY, p), GREY),
    "colour png": ("a.png", lambda p: save(COLOUR, p), COLOUR),
    "colour and alpha png": ("a.png", lambda p: save(RGBA, p), COLOUR),
    "grey and alpha png": ("a.png", lambda p: grey_alpha().save(p), GREY),
    "palette png": ("a.png", lambda p: palette_image(SMALL).save(p), EXPANDED),
    "black and white png": ("a.png", lambda p: save(GREY > 99, p), (GREY > 99) * np.uint8(255)),
    "16-bit grey png": ("a.png", lambda p: save(DEEP, p), DEEP),
    "16-bit colour png": ("a.png", lambda p: write_deep_png(DEEP_COLOUR, p), DEEP_COLOUR),
    "16-bit colour and alpha png": (
        "a.png",
        lambda p: write_deep_png(np.dstack([DEEP_COLOUR, DEEP]), p),
        DEEP_COLOUR,
    ),
    "16-bit grey and alpha png": (
        "a.png",
        lambda p: write_deep_png(DEEP_COLOUR[..., :2], p),
        DEEP_COLOUR[..., 0],
    ),
    "bmp": ("a.bmp", lambda p: save(COLOUR, p), COLOUR),
    "webp": ("a.webp", lambda p: save(COLOUR, p, lossless=True), COLOUR),
    "first frame of a gif": (
        "a.gif",
        lambda p: palette_image(SMALL).save(p, save_all=True, append_images=[palette_image(SMALL + 1)]),
        EXPANDED,
    ),
    "capital suffix, space and accent": ("Zelle à 1.PNG", lambda p: save(GREY, p), GREY),
    "8-bit tiff": ("a.tif", lambda p: tifffile.imwrite(p, GREY), GREY),
    "16-bit tiff": ("a.tiff", lambda p: tifffile.imwrite(p, DEEP), DEEP),
    "16-bit colour tiff": (
        "a.tif",
        lambda p: tifffile.imwrite(p, DEEP_COLOUR, photometric="rgb"),
        DEEP_COLOUR,
    ),
    "planar colour tiff": (
        "a.tif",
        lambda p: tifffile.imwrite(p, np.moveaxis(COLOUR, -1, 0), photometric="rgb", planarconfig="separate"),
        COLOUR,
    ),
    "float tiff": (
        "a.tif",
        lambda p: tifffile.imwrite(p, DEEP.astype("float32") / 3),
        DEEP.astype("float32") / 3,
    ),
    "32-bit integer tiff": (
        "a.tif",
        lambda p: tifffile.imwrite(p, DEEP.astype("int32")),
        DEEP.astype("float32"),
    ),
    "deflated tiff": ("a.tif", lambda p: tifffile.imwrite(p, DEEP, compression="zlib"), DEEP),
    "LZW tiff": ("a.tif", lambda p: save(DEEP, p, compression="tiff_lzw"), DEEP),
    "LZW colour tiff": ("a.tif", lambda p: save(COLOUR, p, compression="tiff_lzw"), COLOUR),
    "fax tiff": ("a.tif", lambda p: save(GREY > 99, p, compression="group4"), (GREY > 99) * np.uint8(255)),
    "colour and alpha tiff": ("a.tif", lambda p: save(RGBA, p), COLOUR),
    "five channels tiff": (
        "a.tif",
        lambda p: tifffile.imwrite(
            p, np.dstack([COLOUR, COLOUR[..., :2]]), photometric="minisblack", planarconfig="contig"
        ),
        np.dstack([COLOUR, COLOUR[..., :2]]),
    ),
    "palette tiff": ("a.tif", lambda p: palette_image(SMALL).save(p), EXPANDED),
    "LZW palette tiff": ("a.tif", lambda p: palette_image(SMALL).save(p, compression="tiff_lzw"), EXPANDED),
    "white is zero tiff": (
        "a.tif",
        lambda p: tifffile.imwrite(p, 255 - GREY, photometric="miniswhite"),
        GREY,
    ),
    **{f"png on its side ({n})": ("a.png", oriented(n), array) for n, array in ORIENTED.items()},
    **{f"tiff on its side ({n})": ("a.tif", oriented(n), array) for n, array in ORIENTED.items()},
}


@pytest.mark.parametrize("case", IMAGES)
def test_image(case, tmp_path):
    name, write, expected = IMAGES[case]
    write(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.ndim == 3
    assert image.dtype == expected.dtype
    np.testing.assert_array_equal(np.squeeze(image), expected)
    assert image_header(tmp_path / name) == (*image.shape, image.dtype.name)


def test_jpeg(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    save(smooth, tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg")[..., 0].astype(int) - smooth).max() < 5


MASKS = {
    "grey png": ("m.png", lambda p: save(SMALL, p), SMALL),
    "palette png": ("m.png", lambda p: palette_image(SMALL).save(p), SMALL),
    "palette tiff": ("m.tif", lambda p: palette_image(SMALL).save(p), SMALL),
    "LZW palette tiff": ("m.tif", lambda p: palette_image(SMALL).save(p, compression="tiff_lzw"), SMALL),
    "black and white png": ("m.png", lambda p: save(GREY > 99, p), GREY > 99),
    "16-bit png": ("m.png", lambda p: save(DEEP, p), DEEP),
    "three equal channels": ("m.png", lambda p: save(np.dstack([SMALL] * 3), p), SMALL),
    "equal channels and alpha": ("m.png", lambda p: save(np.dstack([SMALL] * 3 + [GREY]), p), SMALL),
    "32-bit tiff": ("m.tif", lambda p: tifffile.imwrite(p, SMALL.astype("int32")), SMALL),
    "whole numbers as float": ("m.tif", lambda p: tifffile.imwrite(p, SMALL.astype("float32")), SMALL),
}


@pytest.mark.parametrize("case", MASKS)
def test_mask(case, tmp_path):
    name, write, expected = MASKS[case]
    write(tmp_path / name)
    mask = read_mask(tmp_path / name)
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(mask, expected)


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def noise(path, **options):
    save(RNG.integers(0, 256, (200, 200), dtype=np.uint8), path, **options)
    cut(path)


BAD_IMAGES = {
    "missing": ("a.png", lambda p: None, "does not exist"),
    "a folder": ("a.png", lambda p: p.mkdir(), "it is a folder"),
    "empty": ("a.png", lambda p: p.write_bytes(b""), "it is empty"),
    "text": ("a.png", lambda p: p.write_text("no image"), "its content is no image"),
    "text tiff": ("a.tif", lambda p: p.write_text("no image at all"), "not a TIFF file"),
    "truncated png": ("a.png", noise, "truncated"),
    "truncated jpeg": ("a.jpg", noise, "truncated"),
    "truncated tiff": ("a.tif", noise, "damaged or truncated"),
    "truncated deflated tiff": (
        "a.tif",
        lambda p: noise(p, compression="tiff_deflate"),
        "damaged or truncated",
    ),
    "stack": (
        "a.tif",
        lambda p: tifffile.imwrite(p, np.zeros((4, 6, 9), "uint8"), photometric="minisblack"),
        "stack of 4 pages",
    ),
    "ImageJ stack": (
        "a.tif",
        lambda p: tifffile.imwrite(p, np.zeros((4, 6, 9), "uint8"), imagej=True),
        "stack of 4 pages",
    ),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_is_named_with_the_reason(case, tmp_path):
    name, write, message = BAD_IMAGES[case]
    write(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_MASKS = {
    "colours": ("m.png", lambda p: save(COLOUR, p), "colours; save it as a grey or palette image"),
    "fractions": ("m.tif", lambda p: tifffile.imwrite(p, GREY / np.float32(7)), "fractions"),
    "negative": ("m.tif", lambda p: tifffile.imwrite(p, GREY.astype("int16") - 300), "must lie in 0..65535"),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_mask_is_named_with_the_reason(case, tmp_path):
    name, write, message = BAD_MASKS[case]
    write(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        read_mask(tmp_path / name)
    assert name in str(caught.value)


def test_pyramid_is_one_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(GREY)
        tif.write(GREY[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], GREY)


def test_list_images_in_natural_order_without_hidden_files(tmp_path):
    for name in (
        "b 10.png",
        "b 2.PNG",
        "a.tif",
        ".hidden.png",
        "Thumbs.db",
        "notes.txt",
        "sub/c.jpg",
        ".git/x.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == ["a.tif", "b 2.PNG", "b 10.png", "sub/c.jpg"]
    with pytest.raises(UserError, match="does not exist"):
        list_images(tmp_path / "nowhere")


def test_natural_key_joins_both_forms_of_an_accent():
    assert natural_key("e\u0301 2") == natural_key("\u00e9 2") < natural_key("\u00e9 10")
