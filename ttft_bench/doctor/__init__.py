"""Is this installation well? Libraries, devices, storage and plug-ins, each fault with its remedy.

Nothing here may need what it examines: libraries are imported and devices are timed in child processes, so that one
that is missing, broken or stuck is a finding; a check that fails is one too.
"""

from __future__ import annotations

from ttft_bench.doctor.finding import Finding
from ttft_bench.doctor.sections import diagnose

__all__ = ["Finding", "diagnose"]
