from __future__ import annotations

import gzip
import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import PIL.Image
import pytest
import torch
from io_pattern import sampled

from scorefield.data import Frame, Image, Images, write
from scorefield.data.formats import FORMATS, format_of, nifti, npy, raster
from scorefield.errors import InputError
from scorefield.scans import Cartesian
from scorefield.scans.files import read


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


SHAPES = [(1, 5, 7), (1, 5, 7, 3), (2, 5, 7), (3, 4, 5, 6)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.npy", "A.NPY", "sub.01.NII.GZ"])
def test_values_survive_exactly(tmp_path, name, shape, dtype):
    image = Image(noise(*shape, dtype=dtype))
    path = write(image, tmp_path / name)
    again = read(path)
    assert torch.equal(again.pixels, image.pixels)
    assert again.pixels.dtype == dtype
    assert (again.spacing, again.affine, again.unit, again.source) == (None, None, "a.u.", str(path))
    assert os.listdir(tmp_path) == [name]
    assert format_of(path, FORMATS).header(path).spatial[: len(image.spatial)] == image.spatial


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_keeps_the_geometry(tmp_path, name, shape, oblique):
    image = Image(noise(*shape), affine=oblique, unit="1/mm", source="folder/scan.dcm")
    again = read(write(image, tmp_path / name))
    assert np.allclose(again.affine, oblique, atol=1e-5)
    assert again.spacing == pytest.approx(image.spacing, rel=1e-5)
    assert again.unit == "1/mm"
    header = nib.load(tmp_path / name).header
    assert header["descrip"].item() == b"scorefield; scan.dcm"
    assert header.get_xyzt_units()[0] == "mm"
    assert header["qform_code"] == 1  # for programs that read no sform
    assert np.allclose(header.get_qform(), oblique, atol=1e-4)
    assert header.get_intent()[0] == ("vector" if image.pixels.shape[0] > 1 else "none")


def test_a_sheared_affine_is_in_the_sform_only(tmp_path, oblique):
    oblique[:3, 2] += 0.5 * oblique[:3, 1]
    path = write(Image(noise(1, 3, 4, 5), affine=oblique), tmp_path / "a.nii")
    assert np.allclose(read(path).affine, oblique, atol=1e-5)
    assert nib.load(path).header["qform_code"] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_nifti_keeps_spacing_without_affine(tmp_path, shape):
    spacing = (0.5, 0.75, 3.0)[: len(shape) - 1]
    again = read(write(Image(noise(*shape), spacing), tmp_path / "a.nii.gz"))
    assert again.spacing == pytest.approx(spacing)
    assert again.affine is None


def test_nifti_units_are_checked_and_foreign_intents_ignored(tmp_path):
    with pytest.raises(InputError, match="15 bytes"):
        write(Image(noise(1, 2, 2), unit="counts per second"), tmp_path / "a.nii")
    longest = "counts per min."
    assert read(write(Image(noise(1, 2, 2), unit=longest), tmp_path / "a.nii")).unit == longest
    foreign = nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4))
    foreign.header["intent_name"] = b"t-test"
    nib.save(foreign, tmp_path / "b.nii")
    assert read(tmp_path / "b.nii").unit == "a.u."


def test_axes_too_long_for_nifti1_are_written(tmp_path):
    image = Image(noise(1, 2**15, 2))
    assert torch.equal(read(write(image, tmp_path / "a.nii")).pixels, image.pixels)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_nifti_slope_and_byte_order(tmp_path, kind, endian, oblique):
    stored = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(np.int16)
    file = kind(stored, oblique, header)
    file.header.set_slope_inter(1, 0)
    raw = bytearray(file.to_bytes())
    assert file.header.endianness == endian
    at = {nib.Nifti1Image: (112, "f4"), nib.Nifti2Image: (176, "f8")}[kind]  # scl_slope, scl_inter in the standard
    width = np.dtype(at[1]).itemsize
    raw[at[0] : at[0] + 2 * width] = np.array([0.5, -1024], endian + at[1]).tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    for name in ("a.nii", "b.nii.gz"):
        image = read(tmp_path / name)
        assert np.array_equal(image.pixels[0], stored * 0.5 - 1024)
        assert np.allclose(image.affine, oblique, atol=1e-5)


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1000), ("mm", 1), ("micron", 0.001)])
def test_nifti_lengths_become_millimeters(tmp_path, unit, scale, oblique):
    file = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), oblique)
    file.header.set_xyzt_units(unit)
    nib.save(file, tmp_path / "a.nii")
    image = read(tmp_path / "a.nii")
    assert np.allclose(image.affine[:3], oblique[:3] * scale, rtol=1e-5)
    file.set_sform(None)
    file.set_qform(None)
    nib.save(file, tmp_path / "b.nii")
    assert read(tmp_path / "b.nii").spacing == pytest.approx([1.5 * scale, 0.75 * scale, 4 * scale], rel=1e-5)


@pytest.mark.parametrize("volumes", [2, 6])
def test_a_time_series_asks_for_a_volume(tmp_path, volumes):
    stored = noise(3, 4, 5, volumes).numpy()
    nib.save(nib.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=f"holds {volumes} volumes; save one"):
        read(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=f"holds {volumes} volumes"):
        Images(tmp_path / "a.nii.gz", axis=0)
    for volume in (0, volumes - 1):
        image = nifti.read(tmp_path / "a.nii.gz", volume=volume)
        assert np.array_equal(image.pixels[0], stored[..., volume])
    for volume in (volumes, -1):
        with pytest.raises(InputError, match=f"volumes 0 to {volumes - 1}"):
            nifti.read(tmp_path / "a.nii.gz", volume=volume)


@pytest.mark.parametrize("dtype", [">i2", "<u2", ">f8", "|b1", ">c8", "<c16", "<i8"])
def test_npy_reads_every_number(tmp_path, dtype):
    stored = (100 * noise(5, 7, 3).numpy()).astype(dtype)
    np.save(tmp_path / "a.npy", stored)
    image = read(tmp_path / "a.npy")
    expected = stored.astype(np.complex64 if "c" in dtype else np.float32)
    assert np.array_equal(image.pixels[0], expected)


def test_npy_axes(tmp_path):
    for stored, expected in [((5, 7), (1, 5, 7)), ((1, 5, 7), (1, 5, 7)), ((4, 5, 7), (1, 4, 5, 7))]:
        np.save(tmp_path / "a.npy", np.zeros(stored))
        assert tuple(read(tmp_path / "a.npy").pixels.shape) == expected
    np.save(tmp_path / "a.npy", np.zeros(5))
    with pytest.raises(InputError, match="shape"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp"])
def test_eight_bit_pictures_keep_their_values(tmp_path, suffix):
    stored = np.arange(256, dtype=np.uint8).reshape(8, 32)
    PIL.Image.fromarray(stored).save(tmp_path / f"a{suffix}")
    image = read(tmp_path / f"a{suffix}")
    assert np.array_equal(image.pixels[0], stored)
    assert (image.spacing, image.unit) == (None, "a.u.")
    assert raster.header(tmp_path / f"a{suffix}").spatial == (8, 32)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2"), ("a.tif", "<i4"), ("a.tif", "<f4")],
)
def test_sixteen_bits_and_floats_keep_their_values(tmp_path, name, dtype):
    import tifffile

    stored = np.array([[0, 1, 255], [256, 40000, 65535]]).astype(dtype)
    if name.endswith(".tif"):
        tifffile.imwrite(tmp_path / name, stored, byteorder=dtype[0])
    else:
        PIL.Image.fromarray(stored).save(tmp_path / name)
    assert np.array_equal(read(tmp_path / name).pixels[0], stored)


def test_color_becomes_luminance(tmp_path):
    import skimage.color

    color = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    PIL.Image.fromarray(color).save(tmp_path / "a.png")
    expected = 255 * skimage.color.rgb2gray(color)
    assert np.allclose(read(tmp_path / "a.png").pixels[0], expected, atol=1e-3)
    opaque = np.concatenate([color, np.full((6, 5, 1), 255, np.uint8)], -1)
    PIL.Image.fromarray(opaque).save(tmp_path / "b.png")
    assert np.allclose(read(tmp_path / "b.png").pixels[0], expected, atol=1e-3)
    palette = PIL.Image.fromarray(color).quantize(200)
    palette.save(tmp_path / "c.png")
    assert np.allclose(
        read(tmp_path / "c.png").pixels[0],
        255 * skimage.color.rgb2gray(np.asarray(palette.convert("RGB"))),
        atol=1e-3,
    )


def test_bilevel_pictures_are_zero_and_one(tmp_path):
    PIL.Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png").pixels[0], np.eye(4))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_photographs_are_turned_back(tmp_path, orientation):
    picture = PIL.Image.fromarray(np.zeros((4, 6), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif)
    expected = (4, 6) if orientation < 5 else (6, 4)
    assert read(tmp_path / "a.jpg").spatial == expected == raster.header(tmp_path / "a.jpg").spatial


def test_pictures_that_would_lose_something_are_refused(tmp_path):
    import tifffile

    clear = np.zeros((4, 4, 4), np.uint8)
    PIL.Image.fromarray(clear).save(tmp_path / "clear.png")
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((3, 4, 4), np.uint8), photometric="minisblack")
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x10\x02\x00\x00\x00"
    import zlib

    def chunk(kind, body):
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    deep = header[:8] + chunk(b"IHDR", header[16:]) + chunk(b"IDAT", zlib.compress(bytes(26))) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(deep)
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((4, 4, 3), np.uint16), photometric="rgb")
    tifffile.imwrite(tmp_path / "bytes.tif", np.full((4, 4), -100, np.int8))
    tifffile.imwrite(tmp_path / "large.tif", np.full((4, 4), 2**32 - 1, np.uint32))
    for name, message in [
        ("deep.tif", "16-bit unsigned color"),
        ("bytes.tif", "8-bit signed gray"),
        ("large.tif", "32-bit unsigned gray"),
        ("clear.png", "transparent"),
        ("pages.tif", "several pages"),
        ("deep.png", "16-bit color"),
    ]:
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


def test_a_picture_is_the_window_in_eight_bits(tmp_path):
    values = torch.tensor([[[-1000.0, -160.0, 40.0, 240.0, 3000.0]]])
    levels = np.asarray(PIL.Image.open(write(values, tmp_path / "a.png", window=(-160, 240))))
    assert levels.tolist() == [[0, 0, 128, 255, 255]]
    levels = np.asarray(PIL.Image.open(write(values, tmp_path / "a.png")))
    assert levels.tolist() == [[0, round(255 * 840 / 4000), round(255 * 1040 / 4000), round(255 * 1240 / 4000), 255]]
    levels = np.asarray(PIL.Image.open(write(torch.full((3, 3), 7.0), tmp_path / "flat.png")))
    assert (levels == 0).all()


@pytest.mark.parametrize(
    ("name", "image", "window", "message"),
    [
        ("a.png", torch.zeros(1, 2, 2, 2), None, "one real 2-D channel"),
        ("a.png", torch.zeros(2, 2, 2), None, "one real 2-D channel"),
        ("a.png", torch.zeros(2, 2, dtype=torch.complex64), None, "magnitude"),
        ("a.png", torch.zeros(2, 2), (1, 1), "lo < hi"),
        ("a.png", torch.zeros(2, 2), (0, float("inf")), "lo < hi"),
        ("a.npy", torch.zeros(2, 2), (0, 1), "leave the window out"),
        ("a.nii", torch.zeros(2, 2), (0, 1), "leave the window out"),
        ("a.dcm", torch.zeros(2, 2), None, "only read"),
        ("a.npy", torch.full((2, 2), torch.nan), None, "NaN"),
        ("a.npy", torch.zeros(2), None, "shape"),
        ("a.nii.gzz", torch.zeros(2, 2), None, r"known suffix.*did you mean \.nii\.gz\?"),
        ("a.jpge", torch.zeros(2, 2), None, r"did you mean \.jpg\?"),
        ("a.img", torch.zeros(2, 2), None, r"known suffix.*rename it or convert it"),
        ("a", torch.zeros(2, 2), None, "known suffix"),
        ("a.scan", torch.zeros(2, 2), None, "known suffix"),
    ],
)
def test_what_cannot_be_written_leaves_everything_as_it_was(tmp_path, name, image, window, message):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(InputError, match=message):
        write(image, tmp_path / name, window=window)
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.nii", "a.npy", "a.png"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, name, monkeypatch):
    (tmp_path / name).write_bytes(b"old")
    module = format_of(tmp_path / name, FORMATS)

    def full(image, path, window=None):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write", full)
    with pytest.raises(InputError, match="No space left") as caught:
        write(torch.zeros(2, 2), tmp_path / name)
    assert isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another place"):
        write(torch.zeros(2, 2), tmp_path / "file" / "a.npy")


def test_like_gives_a_tensor_its_geometry(tmp_path, oblique):
    scan = Image(noise(1, 4, 5, 6), affine=oblique, unit="HU")
    for tensor in (
        noise(4, 5, 6, dtype=torch.float64),
        noise(1, 4, 5, 6),
        noise(2, 4, 5, 6).requires_grad_(),
    ):
        again = read(write(tensor, tmp_path / "a.nii.gz", like=scan))
        assert torch.equal(again.pixels, tensor.detach().float().reshape(-1, 4, 5, 6))
        assert np.allclose(again.affine, oblique, atol=1e-5)
        assert again.unit == "HU"
    other = replace(scan, affine=None, spacing=(1.0, 1.0, 1.0), unit="a.u.")
    again = read(write(other, tmp_path / "a.nii.gz", like=scan))
    assert np.allclose(again.affine, oblique, atol=1e-5)
    with pytest.raises(InputError, match="spatial shape"):
        write(noise(4, 5, 7), tmp_path / "a.nii.gz", like=scan)


def test_like_may_be_a_raw_scan(tmp_path, oblique):
    scan = replace(Cartesian.example(), frame=Frame(affine=oblique, unit="1/mm"))
    again = read(write(noise(1, 6, 8), tmp_path / "a.nii.gz", like=scan))
    assert np.allclose(again.affine, oblique, atol=1e-5)
    assert (again.spatial, again.unit) == ((6, 8), "1/mm")


def test_modules_agree_on_their_names(tmp_path):
    for module in FORMATS:
        for suffix in module.suffixes:
            assert format_of(tmp_path / f"a{suffix}", FORMATS) is module
            assert format_of(tmp_path / f"a{suffix.upper()}", FORMATS) is module
    assert npy in FORMATS


def test_the_pattern_survives_a_slice_through_nifti(tmp_path, oblique):
    volume = Image(torch.from_numpy(sampled((4, 5, 6), oblique)[None]).float(), affine=oblique)
    again = read(write(volume.slice(2, 0), tmp_path / "a.nii"))
    assert np.allclose(again.pixels[0], sampled((5, 6), again.affine), atol=1e-3)


def test_more_dimensions_than_nifti_images_have(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 1, 1, 3), np.float32), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match="6 dimensions"):
        read(tmp_path / "a.nii")


def test_objects_say_what_they_are(tmp_path, oblique):
    image = Image(noise(1, 5, 7, 3), affine=oblique, unit="HU", source="here")
    assert repr(image) == "Image((1, 5, 7, 3), 1.5 x 0.75 x 4 mm, HU, here)"
    write(image, tmp_path / "a.npy")
    assert repr(Images(tmp_path, axis=2)) == f"Images(3 from {tmp_path})"


def test_a_pair_is_two_files_and_one_image(tmp_path, oblique):
    image = Image(noise(2, 4, 5, 6), affine=oblique, unit="HU")
    again = read(write(image, tmp_path / "a.hdr"))
    assert sorted(os.listdir(tmp_path)) == ["a.hdr", "a.img"]
    assert torch.equal(again.pixels, image.pixels)
    assert np.allclose(again.affine, oblique, atol=1e-5)
    assert again.unit == "HU"
    assert torch.equal(read(tmp_path).pixels, image.pixels)  # the folder holds one image
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"a\.hdr"):
        read(tmp_path / "a.hdr")


def test_a_pair_cut_short_or_of_analyze_is_refused(tmp_path):
    write(noise(4, 5, 6), tmp_path / "a.hdr", like=Image(noise(1, 4, 5, 6)))
    pixels = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(pixels[:-4])
    with pytest.raises(InputError, match=r"a\.hdr"):
        read(tmp_path / "a.hdr")
    nib.save(nib.AnalyzeImage(np.zeros((2, 3, 4), np.float32), None), tmp_path / "b.hdr")
    with pytest.raises(InputError, match="convert it to NIfTI"):
        read(tmp_path / "b.hdr")
