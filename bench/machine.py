"""The machine: what the figures were measured on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor, cores, system and Python, in a line."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}, {python}"


def _processor() -> str:
    """Its name, where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
