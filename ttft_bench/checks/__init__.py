"""The contract of a selector as named checks, for built-ins and third parties alike.

With pytest::

    from ttft_bench.checks import selector_checks

    @pytest.mark.parametrize("check", selector_checks("my-strategy"), ids=str)
    def test_contract(check):
        check()

On the command line: ``ttft-bench check my-strategy``. A check that fails raises
:class:`~ttft_bench.errors.ContractError` with a one-line reason. Checks see small synthetic pools only, so the
whole suite takes well under a second for a fast strategy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ttft_bench.checks.claims import CHECKS
from ttft_bench.registry import build_selector
from ttft_bench.selector import Selector


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check; ``reason`` is empty if ``ok``."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """One named check of one selector; call it, it raises if the contract is broken."""

    name: str
    make: Callable[[], Selector]

    def __call__(self) -> None:
        """Run the check.

        Raises:
            ContractError: with a one-line reason.
        """
        CHECKS[self.name](self.make())

    def run(self) -> CheckResult:
        """Run the check; its failure is a result, not an exception."""
        try:
            self()
        except Exception as error:
            return CheckResult(self.name, False, " ".join(str(error).split()) or type(error).__name__)
        return CheckResult(self.name, True)

    def __str__(self) -> str:
        return self.name


def selector_checks(selector: str | Selector | type[Selector]) -> list[Check]:
    """The checks for a selector, given by spec, as an instance, or as a class (built from its defaults)."""

    def make() -> Selector:
        if isinstance(selector, str):
            return build_selector(selector)
        return selector() if isinstance(selector, type) else selector

    return [Check(name, make) for name in CHECKS]


def run_checks(selector: str | Selector | type[Selector]) -> list[CheckResult]:
    """Run every check, whatever the others say."""
    return [check.run() for check in selector_checks(selector)]


__all__ = ["Check", "CheckResult", "run_checks", "selector_checks"]
