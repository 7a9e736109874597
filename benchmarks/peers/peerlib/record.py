"""What a benchmark row says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

Note = Callable[[str], None]

#: The column that a run without a GPU says it lacks.
GPU_COLUMN = "select_many on a GPU"


@dataclass(frozen=True)
class Row:
    """One ratio of one run.

    Attributes:
        against: the peer.
        at: the setting.
        ours: spec of what is timed against it.
        road: "NumPy", "numba", "torch cuda", ...
        peer_us: median microseconds of the peer.
        ours_us: median microseconds of ours.
        ratio: ``peer_us / ours_us``.
        ratio_p20: 20th percentile of the ratios of single pools; None where there is one measurement.
        ratio_p80: 80th percentile.
        target: what the ratio was to be; None for a figure that is only reported.
        quality: what was checked to be the same or better, with figures.
        equal_or_better: whether it was.
        pools: number of pools.
        floor_us: microseconds to read the float32 pool once.
        note: what a reader must know.
    """

    against: str
    at: str
    ours: str
    road: str
    peer_us: float
    ours_us: float
    target: float | None
    quality: str
    equal_or_better: bool
    pools: int
    floor_us: float
    ratio_p20: float | None = None
    ratio_p80: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer_us / self.ours_us

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or ``reported`` where there is no target."""
        if self.target is None:
            return "reported"
        return "met" if self.equal_or_better and self.ratio >= self.target else "missed"

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict}


@dataclass
class Findings:
    """Rows in the making.

    Attributes:
        rows: finished ones.
        missing: columns that could not be filled, each with what would fill it.
        growth: times by K and N, and slopes.
        device: the GPU, the rate of its bus, and the stages of a batch; empty without one.
    """

    rows: list[Row] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    growth: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        pools: pools per row.
        large_pools: pools of the K = 2,000 row.
        repetitions: interleaved rounds per pool.
        budgets: budgets of the mean over N.
        many: prompts of the batched row.
        sizes: pool sizes of the growth curves.
        steps: budgets of the growth curves.
        large_k: size of the larger quadratic program.
    """

    pools: int = 50
    large_pools: int = 12
    repetitions: int = 3
    budgets: tuple[int, ...] = tuple(range(1, 51))
    many: int = 256
    sizes: tuple[int, ...] = (200, 1_000, 10_000, 100_000)
    steps: tuple[int, ...] = (10, 50, 200)
    large_k: int = 2_000


#: Enough to see that everything runs.
QUICK = Scale(
    pools=3, large_pools=1, repetitions=1, budgets=(1, 10, 50), many=6, sizes=(200, 1_000), steps=(10, 50), large_k=400
)
