"""Files whose header and bytes disagree, or that declare more than they can hold, are refused before decoding."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalSubscript=false

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import PIL.Image
import pytest
import torch

from scorefield.data import Images, read, write
from scorefield.data.formats.png_layout import SIGNATURE
from scorefield.errors import InputError

STORED = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def nifti(path, change=lambda raw: None, kind=nib.Nifti1Image):
    """A NIfTI of ``STORED`` whose bytes are changed by a function."""
    file = kind(STORED, np.diag([2.0, 2, 2, 1]))
    raw = bytearray(file.to_bytes())
    raw = change(raw) or raw
    path.write_bytes(gzip.compress(bytes(raw)) if path.suffix == ".gz" else bytes(raw))
    return path


def put(place, dtype, value):
    def change(raw):
        number = np.array(value, dtype).tobytes()
        raw[place : place + len(number)] = number

    return change


def both(*changes):
    def change(raw):
        for one in changes:
            one(raw)

    return change


NIFTI = [  # places in the header: nifti1.h of the NIFTI Data Format Working Group, 2003
    ("surplus bytes", lambda raw: raw + b"\0" * 4, "more"),
    ("missing bytes", lambda raw: raw[:-2], "cannot be all|cut short|fewer"),
    ("bits of a number", put(72, "<i2", 32), "which cannot both be"),
    ("type of a number", put(70, "<i2", 512), None),  # unsigned 16 bits agree with the size: not a contradiction
    ("fractional offset", put(108, "<f4", 352.5), "byte 352.5"),
    ("offset in the header", put(108, "<f4", 340), "byte 340"),
    ("no finite offset", put(108, "<f4", np.nan), "byte nan"),
    ("slope NaN", put(112, "<f4", np.nan), "scale nothing"),
    ("slope infinite", put(112, "<f4", np.inf), "scale nothing"),
    ("intercept NaN", put(116, "<f4", np.nan), "scale nothing"),
    ("slope 0 beside an intercept", both(put(112, "<f4", 0), put(116, "<f4", 3)), "scale nothing"),
    ("slope and intercept 0", both(put(112, "<f4", 0), put(116, "<f4", 0)), None),  # the standard: no scaling
    ("size 0", put(42, "<i2", 0), "sizes"),
    ("negative size", put(44, "<i2", -4), "sizes"),
    ("more axes than there are", put(40, "<i2", 9), "sizes|header"),
    ("another size", put(42, "<i2", 2), "more"),
]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("name", "change", "message"), NIFTI, ids=[case[0] for case in NIFTI])
def test_a_nifti_that_contradicts_itself(tmp_path, suffix, name, change, message):
    path = nifti(tmp_path / f"a{suffix}", change)
    if message is None:
        assert np.array_equal(read(path).pixels[0], STORED)
        return
    with pytest.raises(InputError, match=message):
        read(path)
    with pytest.raises(InputError):
        Images(path, axis=2, cache_bytes=0)[0]  # read slice by slice


def test_a_pair_with_surplus_bytes(tmp_path):
    path = write(torch.zeros(3, 4, 5), tmp_path / "a.hdr")
    with open(tmp_path / "a.img", "ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="1 bytes more"):
        read(path)


@pytest.mark.parametrize("axis", [0, 2])
def test_a_flipped_bit_in_a_streamed_volume_is_noticed(tmp_path, axis):
    pixels = torch.randn(1, 6, 7, 40, generator=torch.Generator().manual_seed(0))
    path = write(pixels, tmp_path / "a.nii.gz")
    raw = bytearray(path.read_bytes())
    stored = gzip.compress(gzip.decompress(bytes(raw)), 0)  # not compressed: a flipped bit is one wrong number
    damaged = bytearray(stored)
    damaged[len(damaged) - 100] ^= 1
    path.write_bytes(stored)
    images = Images(path, axis=axis, cache_bytes=0)
    assert torch.equal(images[1].pixels, pixels.select(axis + 1, 1))
    path.write_bytes(damaged)
    images = Images(path, axis=axis, cache_bytes=0)
    with pytest.raises(InputError, match="CRC check failed"):
        images[0]


def test_the_checksum_is_verified_once(tmp_path, monkeypatch):
    from scorefield.data.formats import nifti_layout

    path = write(torch.randn(1, 6, 7, 8), tmp_path / "a.nii.gz")
    passes = []
    pieces = nifti_layout._pieces
    monkeypatch.setattr(nifti_layout, "_pieces", lambda file: passes.append(1) or pieces(file))
    for _ in range(3):
        images = Images(path, axis=2, cache_bytes=0)
        for k in range(8):
            images[k]
    assert passes == [1]


@pytest.mark.parametrize("change", [lambda raw: raw + b"\0", lambda raw: raw[:-1], lambda raw: raw + raw])
def test_an_npy_ends_where_its_header_says(tmp_path, change):
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(3, 4))
    (tmp_path / "a.npy").write_bytes(change((tmp_path / "a.npy").read_bytes()))
    with pytest.raises(InputError, match=r"more than its header asks for|cannot be all|mmap length"):
        read(tmp_path / "a.npy")
    with pytest.raises(InputError):
        Images(tmp_path / "a.npy", axis=0)


# --- pictures


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(wide, high, pixels, *, interlaced=0, depth=8):
    header = wide.to_bytes(4, "big") + high.to_bytes(4, "big") + bytes([depth, 0, 0, 0, interlaced])
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_a_png_with_missing_rows(tmp_path):
    rows = [b"\0" + bytes(range(k, k + 9)) for k in range(8)]
    (tmp_path / "a.png").write_bytes(png(9, 8, b"".join(rows)))
    assert read(tmp_path / "a.png").pixels[0, 7, 8] == 15
    for count in (7, 1, 0, 9):
        (tmp_path / "a.png").write_bytes(png(9, 8, b"".join((rows + rows)[:count])))
        with pytest.raises(InputError, match=r"bytes of pixels than its size asks for|cannot be all"):
            read(tmp_path / "a.png")


def test_pixels_behind_the_end_of_the_stream(tmp_path):
    raw = png(9, 8, b"".join(b"\0" + bytes(range(k, k + 9)) for k in range(8)))
    second = len(raw) - 12  # in front of IEND
    for body, sound in ((b"", True), (b"more", False)):
        (tmp_path / "a.png").write_bytes(raw[:second] + chunk(b"IDAT", body) + raw[second:])
        if sound:
            assert read(tmp_path / "a.png").spatial == (8, 9)
            continue
        with pytest.raises(InputError, match="do not end where the file says"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(("wide", "high"), [(1, 1), (9, 8), (3, 17), (8, 8), (5, 1)])
@pytest.mark.parametrize("depth", [1, 8, 16])
def test_interlaced_pictures_are_counted_by_their_passes(tmp_path, wide, high, depth):
    """The seven passes of Adam 7 hold each pixel once; Pillow says what is in them."""
    starts = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    sizes = [(len(range(r, high, rs)), len(range(c, wide, cs))) for r, rs, c, cs in starts]
    pixels = b"".join(
        rows * (b"\0" + bytes([255]) * -(-columns * depth // 8)) for rows, columns in sizes if rows and columns
    )
    (tmp_path / "a.png").write_bytes(png(wide, high, pixels, interlaced=1, depth=depth))
    assert (read(tmp_path / "a.png").pixels == 2**depth - 1).all()
    (tmp_path / "a.png").write_bytes(png(wide, high, pixels[:-1], interlaced=1, depth=depth))
    with pytest.raises(InputError):
        read(tmp_path / "a.png")


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path):
    raw = bytearray(png(9, 8, b"".join(b"\0" + bytes(range(k, k + 9)) for k in range(8))))
    for place in range(8, len(raw)):
        damaged = bytearray(raw)
        damaged[place] ^= 4
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(InputError):
            read(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow warns and reads on
def test_a_tiff_whose_list_of_fields_ends_behind_the_file(tmp_path):
    path = tmp_path / "a.tif"
    PIL.Image.fromarray((np.add.outer(np.arange(24), np.arange(20)) * 5).astype(np.uint8)).save(path)
    raw = bytearray(path.read_bytes())
    start = int.from_bytes(raw[4:8], "little")
    assert raw[start] < 128  # the number of fields, in two bytes
    raw[start] |= 128
    path.write_bytes(raw)
    with pytest.raises(InputError, match="list of fields"):
        read(path)


def test_colors_that_are_not_rgb_are_no_volume(tmp_path):
    picture = PIL.Image.new("LAB", (5, 4), (128, 128, 128))
    picture.save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="of the kind LAB"):
        read(tmp_path / "a.tif")


# --- bombs: a small file that declares gigabytes


def bomb_nifti(path):
    header = nib.Nifti1Header()
    header.set_data_shape((32767, 32767, 4))
    header.set_data_dtype(np.float32)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    raw = header.binaryblock + bytes(4) + bytes(1300)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def bomb_npy(path):
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)})
        file.write(bytes(100))


def bomb_png(path):
    path.write_bytes(png(10_000, 8_000, bytes(80_000)))


def bomb_gzip(path):
    """Large enough to hold 4.3 GB of zeros."""
    header = nib.Nifti1Header()
    header.set_data_shape((32767, 32767, 1))
    header.set_data_dtype(np.float32)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    stream = zlib.compressobj(0, zlib.DEFLATED, 31)  # stored, so that the size alone does not give it away
    path.write_bytes(stream.compress(header.binaryblock + bytes(4)) + stream.compress(bytes(5_000_000)))


BOMBS = {"a.nii": bomb_nifti, "a.nii.gz": bomb_nifti, "a.npy": bomb_npy, "a.png": bomb_png, "b.nii.gz": bomb_gzip}


@pytest.mark.parametrize("name", BOMBS)
def test_what_cannot_be_in_a_file_is_not_allocated(tmp_path, name, monkeypatch):
    monkeypatch.setattr("scorefield.data.room.free_bytes", lambda device: 2 << 30)
    BOMBS[name](tmp_path / name)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"cannot be all|are free|mmap length|fewer"):
        read(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 25


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npy", ".png", ".tif", ".jpg", ".bmp"])
def test_more_memory_than_there_is(tmp_path, suffix, monkeypatch):
    path = write(torch.rand(30, 20), tmp_path / f"a{suffix}")
    assert read(path).spatial == (30, 20)
    monkeypatch.setattr("scorefield.data.room.free_bytes", lambda device: 600)
    with pytest.raises(InputError, match=r"of memory to read and 600 bytes are free"):
        read(path)


@pytest.mark.parametrize(("nbytes", "words"), [(3, "3 bytes"), (2_500, "2.5 KB"), (7.3e9, "7.3 GB"), (1e18, "1.0e+18")])
def test_sizes_in_words(nbytes, words):
    from scorefield.data.room import in_words

    assert in_words(nbytes).startswith(words)
