"""Small ISMRMRD files, written by h5py in the layout of the ISMRMRD library."""

# pyright: basic, reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

COUNTERS = ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition",
            "set", "segment")  # fmt: skip
IDX = [(name, "<u2") for name in COUNTERS] + [("user", "<u2", (8,))]
VECTORS = ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")
HEAD = np.dtype(
    [("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4"),
     ("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", (3,)), ("number_of_samples", "<u2"),
     ("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", (16,)), ("discard_pre", "<u2"),
     ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2"), ("trajectory_dimensions", "<u2"),
     ("sample_time_us", "<f4"), *[(name, "<f4", (3,)) for name in VECTORS], ("idx", IDX), ("user_int", "<i4", (8,)),
     ("user_float", "<f4", (8,))]
)  # fmt: skip
FLOATS = h5py.vlen_dtype(np.dtype("<f4"))
RECORD = np.dtype([("head", HEAD), ("traj", FLOATS), ("data", FLOATS)])
PATIENT = "Doe^Jane"


@dataclass
class Readout:
    """A readout: its samples (coils, n), and what its header states."""

    samples: np.ndarray
    line: int = 0
    flags: tuple[int, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    fields: dict[str, object] = field(default_factory=dict)


@dataclass
class File:
    """An ISMRMRD file.

    Args:
        encoded, image: size and mm of the two spaces, along readout, lines and partitions.
        center: the line of zero frequency.
        directions: of readout, lines and slices; zeros where they are unknown.
        extra: XML inside of the encoding.
    """

    encoded: tuple = ((16, 12, 1), (320.0, 240.0, 5.0))
    image: tuple = ((8, 12, 1), (160.0, 240.0, 5.0))
    trajectory: str = "cartesian"
    center: int | None = None
    position: tuple = (0.0, 0.0, 0.0)
    directions: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    bandwidth: float | None = None
    extra: str = ""
    readouts: list[Readout] = field(default_factory=list)

    def add(self, kspace: np.ndarray, lines=None, **options) -> File:
        """The lines of a k-space (coils, readout, lines)."""
        for line in range(kspace.shape[2]) if lines is None else lines:
            self.readouts.append(Readout(kspace[:, :, line], line, **options))
        return self

    def write(self, path: Path, change: Callable[[h5py.File], None] = lambda file: None) -> Path:
        records = np.array([self._record(r) for r in self.readouts], RECORD)
        with h5py.File(path, "w") as file:
            file.create_dataset("dataset/xml", data=np.array([self.xml.encode()], object), dtype=h5py.string_dtype())
            file.create_dataset("dataset/data", data=records, dtype=RECORD, chunks=(1,), maxshape=(None,))
            change(file)
        return path

    @property
    def xml(self) -> str:
        center = self.encoded[0][1] // 2 if self.center is None else self.center
        bandwidth = self.bandwidth
        system = f"<relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>" if bandwidth else ""
        limits = f"<minimum>0</minimum><maximum>{self.encoded[0][1] - 1}</maximum><center>{center}</center>"
        partitions = f"<minimum>0</minimum><maximum>{self.encoded[0][2] - 1}</maximum>"
        partitions += f"<center>{self.encoded[0][2] // 2}</center>"
        return (
            '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
            f"<subjectInformation><patientName>{PATIENT}</patientName></subjectInformation>"
            f"<acquisitionSystemInformation>{system}<systemVendor>Nobody</systemVendor></acquisitionSystemInformation>"
            "<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz>"
            "</experimentalConditions><encoding>"
            f"{_space('encodedSpace', *self.encoded)}{_space('reconSpace', *self.image)}"
            f"<encodingLimits><kspace_encoding_step_1>{limits}</kspace_encoding_step_1>"
            f"<kspace_encoding_step_2>{partitions}</kspace_encoding_step_2></encodingLimits>"
            f"<trajectory>{self.trajectory}</trajectory>{self.extra}</encoding></ismrmrdHeader>"
        )

    def _record(self, readout: Readout):
        head = np.zeros((), HEAD)
        coils, count = readout.samples.shape
        head["version"], head["number_of_samples"], head["center_sample"] = 1, count, count // 2
        head["active_channels"] = head["available_channels"] = coils
        head["sample_time_us"] = 5.0
        head["flags"] = sum(1 << (flag - 1) for flag in readout.flags)
        head["idx"]["kspace_encode_step_1"] = readout.line
        head["position"] = self.position
        head["read_dir"], head["phase_dir"], head["slice_dir"] = self.directions
        for name, value in readout.fields.items():
            head[name] = value
        for name, value in readout.counters.items():
            head["idx"][name] = value
        values = np.ascontiguousarray(readout.samples, np.complex64).view(np.float32).ravel()
        return head[()], np.zeros(0, np.float32), values


def _space(name: str, size, extent) -> str:
    sizes = "".join(f"<{axis}>{n}</{axis}>" for axis, n in zip("xyz", size, strict=True))
    extents = "".join(f"<{axis}>{mm}</{axis}>" for axis, mm in zip("xyz", extent, strict=True))
    return f"<{name}><matrixSize>{sizes}</matrixSize><fieldOfView_mm>{extents}</fieldOfView_mm></{name}>"


def noise_readouts(samples: np.ndarray, count: int, **fields) -> list[Readout]:
    """Samples (coils, m) of noise, cut into ``count`` readouts."""
    return [Readout(piece, flags=(19,), fields=fields) for piece in np.split(samples, count, axis=1)]


def complex_noise(*shape: int, seed: int = 0) -> np.ndarray:
    """White noise of level 1 per real component."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def centered_fft(image: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The orthonormal transform, zero at ``n // 2`` on both sides."""
    shifted = np.fft.ifftshift(image, axes=axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes=axes)
