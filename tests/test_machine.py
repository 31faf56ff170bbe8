"""Memory of the machine on systems that are not at hand: each says it in another way, and none makes it fail."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from scorefield import machine

CPU = torch.device("cpu")


def test_free_memory_is_what_linux_says(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1234 kB\n")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    assert machine.free_bytes(CPU) == 1234 * 1024


@pytest.mark.parametrize("content", [None, "", "MemAvailable:\n", "MemAvailable: much\n"])
def test_without_that_file_free_pages_are_counted(tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / "meminfo").write_text(content)
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(os, "sysconf", {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__, raising=False)
    assert machine.free_bytes(CPU) == 40960


def test_half_the_memory_of_a_mac_is_taken_to_be_free(tmp_path, monkeypatch):
    def sysconf(name):
        if name == "SC_AVPHYS_PAGES":
            raise ValueError("unrecognized configuration name")
        return {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 16384}[name]

    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "missing")
    monkeypatch.setattr(os, "sysconf", sysconf, raising=False)
    assert machine.free_bytes(CPU) == 50 * 16384


def test_free_memory_is_some_of_this_machines():
    assert 0 < machine.free_bytes(CPU) <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def windows(monkeypatch, tmp_path, kernel):
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "missing")
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)


def test_windows_says_it_in_structures(tmp_path, monkeypatch):
    class Kernel:
        """Writes the two numbers at their places in the structures of Windows."""

        def GlobalMemoryStatusEx(self, pointer):
            assert ctypes.cast(pointer, ctypes.POINTER(ctypes.c_uint32))[0] == 64
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_uint64))[2] = 777
            return 1

        def GetCurrentProcess(self):
            return -1

        def K32GetProcessMemoryInfo(self, process, pointer, length):
            assert length == 72
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_uint64))[1] = 3 << 20
            return 1

    windows(monkeypatch, tmp_path, Kernel())
    assert machine.free_bytes(CPU) == 777
    assert machine.peak_memory_mb() == 3.0


def test_a_system_that_says_nothing_gets_a_guess(tmp_path, monkeypatch):
    windows(monkeypatch, tmp_path, SimpleNamespace())
    assert machine.free_bytes(CPU) == machine.UNKNOWN
    assert machine.peak_memory_mb() == 0.0


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_is_in_the_unit_of_the_system(monkeypatch, platform, unit):
    used = SimpleNamespace(ru_maxrss=5 << 20)
    monkeypatch.setitem(sys.modules, "resource", SimpleNamespace(getrusage=lambda who: used, RUSAGE_SELF=0))
    monkeypatch.setattr(sys, "platform", platform)
    assert machine.peak_memory_mb() == 5 * unit


def test_the_package_is_imported_where_there_is_no_resource():
    code = (
        "import sys; sys.modules['resource'] = None; import scorefield, scorefield.cli.reconstruct; scorefield.sample"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
