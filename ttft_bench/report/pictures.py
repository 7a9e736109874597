"""All renderings of a report's figures: files for papers and READMEs, and parts of the page."""

from __future__ import annotations

from dataclasses import dataclass

from ttft_bench.report.analysis import Analysis
from ttft_bench.report.figures import drawing_style, to_png, to_svg
from ttft_bench.report.plot_quality import draw_quality
from ttft_bench.report.plot_stages import draw_stages


@dataclass(frozen=True)
class Pictures:
    """SVG for the page (transparent; a wide and a narrow drawing of each figure)."""

    quality_wide: bytes
    quality_narrow: bytes
    stages_wide: bytes
    stages_narrow: bytes


def draw_files(analysis: Analysis) -> dict[str, bytes]:
    """File names under ``figures/`` with their content, on white."""
    with drawing_style():
        quality, stages = draw_quality(analysis), draw_stages(analysis)
        return {
            "quality_vs_time.png": to_png(quality),
            "quality_vs_time.svg": to_svg(quality, salt="quality"),
            "time_per_stage.png": to_png(stages),
            "time_per_stage.svg": to_svg(stages, salt="stages"),
        }


def draw_inline(analysis: Analysis) -> Pictures:
    """The figures for the page."""
    with drawing_style():
        return Pictures(
            quality_wide=to_svg(draw_quality(analysis), salt="quality", transparent=True),
            quality_narrow=to_svg(draw_quality(analysis, narrow=True), salt="quality-narrow", transparent=True),
            stages_wide=to_svg(draw_stages(analysis), salt="stages", transparent=True),
            stages_narrow=to_svg(draw_stages(analysis, narrow=True), salt="stages-narrow", transparent=True),
        )


__all__ = ["Pictures", "draw_files", "draw_inline"]
