"""The memory of the machine: what a process has used, and what is free; on Linux, macOS and Windows.

The three systems say it in three ways: Linux in ``/proc/meminfo`` and, in kilobytes, by ``getrusage``; macOS by
``getrusage`` in bytes, and not how much is free; Windows by functions of its own.

References:
    getrusage(2) of Linux and of macOS; "GlobalMemoryStatusEx" and "GetProcessMemoryInfo", Microsoft Learn.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import torch

MEMINFO = Path("/proc/meminfo")
UNKNOWN = 2 << 30  # bytes that are taken to be free where the system says nothing


def peak_memory_mb() -> float:
    """The largest memory of this process so far, in MiB: of the GPU where it is used, else resident; 0 if unknown."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return _windows_peak() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def free_bytes(device: torch.device) -> int:
    """Memory that can still be allocated on ``device``; a guess where the system does not say it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:  # MemAvailable includes the file cache, which the system frees on demand; the number of free pages does not
        lines = MEMINFO.read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(kilobytes)
    except (OSError, ValueError, IndexError):
        return _free_without_proc()


def _free_without_proc() -> int:
    """Free memory on macOS (half of what there is: it does not tell how much is free) and on Windows."""
    return _pages("SC_AVPHYS_PAGES") or _pages("SC_PHYS_PAGES") // 2 or _windows_free() or UNKNOWN


def _pages(name: str) -> int:
    """A number of pages, in bytes; 0 where the system has no such number."""
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, and macOS no number of free pages
        return 0


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX."""

    _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64)
        for name in ("total", "available", "total_page", "free_page", "total_virtual", "free_virtual", "extended")
    ]


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS."""

    _fields_ = [("length", ctypes.c_uint32), ("faults", ctypes.c_uint32)] + [
        (f"size_{number}", ctypes.c_size_t) for number in range(8)
    ]  # the first is the peak of the working set


def _windows_free() -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    done = _ask_windows(lambda system: system.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)))
    return int(status.available) if done else 0


def _windows_peak() -> int:
    counters = _Counters(length=ctypes.sizeof(_Counters))

    def ask(system: Any) -> int:
        process = ctypes.c_void_p(system.kernel32.GetCurrentProcess())
        return system.kernel32.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.length)

    return int(counters.size_0) if _ask_windows(ask) else 0


def _ask_windows(question: Any) -> bool:
    """Ask a function of Windows; False where there is no Windows, or it does not answer."""
    system = getattr(ctypes, "windll", None)
    if system is None:
        return False
    try:
        return bool(question(system))
    except (OSError, AttributeError, ctypes.ArgumentError):
        return False
