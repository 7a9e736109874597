"""A stranger's plug-in as a complete distribution: project file, a plug-in that works, its tests, a README, CI.

Templates are files under ``templates/``: ``common/`` and one folder for each kind. ``{{ ... }}`` is filled in by
jinja2; a file's place in the distribution is in :data:`ttft_bench.scaffold.write.LAYOUT`.
"""

from __future__ import annotations

from ttft_bench.scaffold.names import Names, check_name
from ttft_bench.scaffold.write import KINDS, next_steps, write_distribution

__all__ = ["KINDS", "Names", "check_name", "next_steps", "write_distribution"]
