"""ISMRMRD files: lines on their grid, averages, slices, volumes, and what is refused, by inspect and read alike."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from ismrmrd_files import PATIENT, File, Readout, centered_fft, complex_noise, noise_readouts

from scorefield import raw
from scorefield.errors import InputError
from scorefield.noise import Weighted

COILS, SIZE, LINES = 3, 16, 12
KSPACE = complex_noise(COILS, SIZE, LINES).astype(np.complex64)


def acquired(file: File, tmp_path, **choice) -> raw.Acquisition:
    return raw.acquire(file.write(tmp_path / "a.h5"), raw.Choice(**choice))


def test_each_line_is_at_its_place(tmp_path):
    found = acquired(File().add(KSPACE, [0, 3, 6, 7, 11]), tmp_path)
    expected = np.zeros_like(KSPACE)
    expected[:, :, [0, 3, 6, 7, 11]] = KSPACE[:, :, [0, 3, 6, 7, 11]]
    np.testing.assert_array_equal(found.kspace, expected)
    assert found.mask[0].any(0).nonzero().squeeze(1).tolist() == [0, 3, 6, 7, 11]
    assert found.width == 8


def test_the_center_of_a_partial_scan_is_at_the_middle_of_the_grid(tmp_path):
    """Line 2 is that of zero frequency, and the echo at sample 5: the first part of each is missing."""
    file = File(center=2).add(KSPACE[:, 3:, 4:])
    for readout in file.readouts:
        readout.fields["center_sample"] = 5
    found = acquired(file, tmp_path)
    np.testing.assert_array_equal(found.kspace[:, 3:, 4:], KSPACE[:, 3:, 4:])
    assert not found.kspace[:, :3].any()
    assert not found.kspace[:, :, :4].any()


def test_samples_to_discard_and_lines_from_right_to_left(tmp_path):
    file = File()
    for line in range(LINES):
        padded = np.pad(KSPACE[:, :, line], ((0, 0), (2, 1)), constant_values=9)
        fields = {"discard_pre": 2, "discard_post": 1, "center_sample": 10}
        file.readouts.append(Readout(padded, line, fields=fields))
    np.testing.assert_array_equal(acquired(file, tmp_path).kspace, KSPACE)
    file = File()
    for line in range(LINES):
        padded = np.pad(KSPACE[:, ::-1, line], ((0, 0), (2, 1)), constant_values=9)
        fields = {"discard_pre": 2, "discard_post": 1, "center_sample": 2 + SIZE - 1 - 8}
        file.readouts.append(Readout(padded, line, flags=(22,), fields=fields))
    np.testing.assert_array_equal(acquired(file, tmp_path).kspace, KSPACE)


def test_averages_are_combined_by_their_number(tmp_path):
    file = File()
    for k in range(3):
        file.add(KSPACE + k, range(4 if k else 0, LINES), counters={"average": k})
    found = acquired(file, tmp_path)
    np.testing.assert_allclose(found.kspace[:, :, 4:], KSPACE[:, :, 4:] + 1, rtol=1e-6)
    np.testing.assert_array_equal(found.kspace[:, :, :4], KSPACE[:, :, :4])
    assert found.counts[0].tolist() == [1.0] * 4 + [3.0] * 8
    preparation = raw.prepare(found)
    assert isinstance(preparation.scan.noise, Weighted)
    levels = preparation.scan.noise.std.reshape(8, LINES)
    torch.testing.assert_close(levels[0], torch.tensor([1.0] * 4 + [3**-0.5] * 8))
    assert "Averages combined: each sample was measured 1 to 3 times." in preparation.notes


def test_slice_echo_and_repetition_are_chosen(tmp_path):
    file, expected = File(), {}
    for number, key in enumerate(np.ndindex(3, 2, 2)):
        expected[key] = KSPACE * (number + 1)
        slice_, echo, repetition = key
        file.add(expected[key], counters={"slice": slice_, "contrast": echo, "repetition": repetition})
    path = file.write(tmp_path / "a.h5")
    contents = raw.inspect(path)
    assert (contents.slices, contents.echoes, contents.repetitions) == (3, 2, 2)
    for slice_, echo, repetition in ((0, 0, 0), (2, 1, 0), (1, 0, 1)):
        found = raw.acquire(path, raw.Choice(slice_, echo, repetition))
        np.testing.assert_array_equal(found.kspace, expected[slice_, echo, repetition])
    np.testing.assert_array_equal(raw.acquire(path).kspace, expected[1, 0, 0])
    for choice, words in (({"slice": 3}, "slice 3"), ({"echo": 2}, "echo 2"), ({"repetition": 2}, "repetition 2")):
        with pytest.raises(InputError, match=words):
            raw.acquire(path, raw.Choice(**choice))
    with pytest.raises(InputError, match="slice -1"):
        raw.Choice(slice=-1)


def test_a_slice_across_the_readout_of_a_volume(tmp_path):
    """It is the slice of the whole volume's transform, and lies where its column does."""
    image = complex_noise(COILS, SIZE, 6, 5, seed=4)
    kspace = centered_fft(image, (1, 2, 3))
    turn = np.linalg.qr(complex_noise(3, 3).real)[0]
    file = File(encoded=((SIZE, 6, 5), (32.0, 18.0, 20.0)), image=((8, 6, 5), (16.0, 18.0, 20.0)), directions=turn)
    for partition in range(5):
        file.add(kspace[..., partition], counters={"kspace_encode_step_2": partition})
    path = file.write(tmp_path / "a.h5")
    assert raw.inspect(path).slices == 8
    found = raw.acquire(path, raw.Choice(slice=1))
    expected = centered_fft(image[:, 4 + 1], (1, 2))
    np.testing.assert_allclose(found.kspace, expected, atol=1e-5)
    frame = found.geometry.frame((6, 5), "a")
    assert frame.spacing == pytest.approx((3.0, 4.0))
    at_zero = np.diag([-1, -1, 1]) @ (frame.affine @ [3, 2, 0, 1])[:3]  # in DICOM's axes
    np.testing.assert_allclose(at_zero, turn[0] * (1 - 4) * 2.0, atol=1e-5)


def test_the_noise_scan_is_brought_to_the_bandwidth_of_the_image(tmp_path):
    """Readouts of 20 us a sample have a quarter of the noise of those of 5 us; the receiver's filter passes .8."""
    noise = complex_noise(COILS, 400, seed=1).astype(np.complex64)
    file = File(bandwidth=0.8).add(KSPACE)
    file.readouts[:0] = noise_readouts(noise, 4, sample_time_us=20.0)
    found = acquired(file, tmp_path)
    assert found.noise is not None
    np.testing.assert_allclose(found.noise, noise * np.sqrt(20 / 5 / 0.8), rtol=1e-5)
    assert found.kspace.shape == KSPACE.shape


def test_calibration_lines_serve_the_maps_and_belong_to_the_image_where_the_header_says_so(tmp_path):
    extra = "<parallelImaging><calibrationMode>{}</calibrationMode></parallelImaging>"
    for mode, lines in (("embedded", [0, 2, 4, 5, 6, 7, 8, 10]), ("separate", [0, 2, 4, 6, 8, 10])):
        file = File(extra=extra.format(mode)).add(KSPACE, [0, 2, 10])
        file.add(KSPACE, [4, 6, 8], flags=(21,)).add(KSPACE, [5, 7], flags=(20,))
        found = acquired(file, tmp_path)
        assert found.mask[0].any(0).nonzero().squeeze(1).tolist() == lines
        assert found.calibration is not None
        assert found.calibration.any(0).any(0).nonzero().squeeze(1).tolist() == [4, 5, 6, 7, 8]


def with_epi(file: File) -> None:
    file.trajectory = "epi"


def with_radial_volume(file: File) -> None:
    file.trajectory, file.encoded = "radial", ((16, 12, 4), (320.0, 240.0, 20.0))


def with_multiband(file: File) -> None:
    band = "<multiband><multiband_factor>3</multiband_factor></multiband>"
    file.extra = f"<parallelImaging>{band}</parallelImaging>"


def with_alternating_readouts(file: File) -> None:
    for readout in file.readouts[::2]:
        readout.flags = (22,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_epi, "echo-planar"),
        (with_radial_volume, "3-D and radial"),
        (with_multiband, "3 slices at once"),
        (with_alternating_readouts, "alternate in direction"),
    ],
)
def test_what_is_refused_is_refused_by_name_by_inspect_and_by_read(tmp_path, change, words):
    file = File().add(KSPACE)
    change(file)
    path = file.write(tmp_path / "a.h5")
    contents = raw.inspect(path)
    assert words in contents.refusal
    with pytest.raises(InputError, match="cannot be reconstructed") as refusal:
        raw.acquire(path)
    assert contents.refusal in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.readouts.clear(), "its table is empty"),
        (lambda file: file.readouts[3].fields.update(active_channels=5), "readout 3 holds"),
        (lambda file: file.readouts[0].fields.update(center_sample=15), "does not fit"),
        (lambda file: file.readouts[2].counters.update(kspace_encode_step_1=99), "line 99"),
        (lambda file: setattr(file, "encoded", ((60000, 60000, 1), (1.0, 1.0, 1.0))), "cut short"),
        (lambda file: setattr(file, "encoded", ((0, 12, 1), (1.0, 1.0, 1.0))), "matrix of 0"),
        (lambda file: setattr(file, "extra", "<broken>"), "mismatched tag"),
        (lambda file: setattr(file, "extra", "<!DOCTYPE a>"), "document type"),
    ],
)
def test_what_contradicts_itself_is_one_sentence(tmp_path, change, words):
    file = File().add(KSPACE)
    change(file)
    path = file.write(tmp_path / "a.h5")
    with pytest.raises(InputError) as refusal:
        raw.acquire(path)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_nothing_that_names_a_patient_is_carried_on(tmp_path):
    path = File().add(KSPACE).write(tmp_path / "a.h5")
    contents = raw.inspect(path)
    assert contents.rows["scanner"] == "Nobody"
    assert PATIENT.encode() in path.read_bytes()
    assert PATIENT not in repr(contents) + repr(raw.acquire(path))


def test_files_of_the_reference_tools(shared):
    """They hold the phantom that they were made of, lines first."""
    for name, coils, width in (("64_4coil", 4, 64), ("48_2coil_acc2_noise_2rep", 2, 48)):
        path = shared / f"reader-formats/ismrmrd_shepp_logan_{name}.h5"
        scan = raw.read(path).scan
        assert scan.spatial == (width, width)
        assert len(scan.data) == coils
        image = scan.operator().H(scan.data[None])[0, 0].abs()
        with h5py.File(path) as file:
            phantom = torch.from_numpy(np.abs(file["dataset/phantom"][0]["real"])).T  # pyright: ignore
        match = [float(torch.corrcoef(torch.stack([image.flatten(), p.flatten()]))[0, 1])
                 for p in (phantom, phantom.T, phantom.flip(0), phantom.flip(1))]  # fmt: skip
        assert match[0] > 0.5
        assert match[0] > max(match[1:]) + 0.02


def test_a_file_of_the_ismrmrd_package(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd", reason="the package ismrmrd (extra [mri]) is not installed")
    data = ismrmrd.Dataset(str(tmp_path / "a.h5"), create_if_needed=True)
    data.write_xml_header(File().xml.encode())
    for line in range(LINES):
        acquisition = ismrmrd.Acquisition.from_array(KSPACE[:, :, line])
        acquisition.idx.kspace_encode_step_1 = line
        acquisition.center_sample = SIZE // 2
        data.append_acquisition(acquisition)
    data.close()
    np.testing.assert_array_equal(raw.acquire(tmp_path / "a.h5").kspace, KSPACE)
