"""The report's plots: SVG text for the page, PNG and SVG files for papers. No pyplot, no global figure.

    scatter      safety over over-refusal, a point for each target
    radar        over-refusal over categories
    categories   bars by category and target
    roc          thresholds of targets that give a score
    remedy       refusal won against meaning lost by rewriting
    boundaries   boundary scores by language
    NAME         lines of a section of a suite of many turns
    calibration  over-refusal against what is let through, on both splits, with the chosen threshold

Those that are wider than a telephone have a second drawing, NAME-narrow, with their panels below each other.
Targets are told apart by colour, marker, dash and a label beside the line or point, so that neither
print nor colour blindness loses one. What all plots share is in `drawing.py`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from overt.data.results.boundaries import Boundaries
from overt.data.results.calibration import Calibration
from overt.data.results.episodes import Section
from overt.data.results.plan import Plan
from overt.data.results.plan_row import RowPlan
from overt.data.results.remedy import Remedy
from overt.data.results.summary import Summary
from overt.data.run.files import text_bytes, write_atomic
from overt.report.plots.boundaries import draw_boundaries
from overt.report.plots.calibration import draw_calibration
from overt.report.plots.drawing import GRID, INKS, PAPER, QUIET, TEXT
from overt.report.plots.lines import draw_lines
from overt.report.plots.needs import draw_plan
from overt.report.plots.plan_row import draw_row_plan
from overt.report.plots.rates import draw_categories, draw_radar, draw_roc, draw_scatter
from overt.report.plots.remedy import draw_remedy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

NARROW = "-narrow"
NOTHING: Mapping[str, Section] = MappingProxyType({})
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def draw_plots(
    summary: Summary,
    *,
    remedy: Remedy | None = None,
    boundaries: Boundaries | None = None,
    calibrations: Sequence[Calibration] = (),
    sections: Mapping[str, Section] = NOTHING,
) -> dict[str, str]:
    """The plots that there are data for, as SVG text by name."""
    return {
        name: _svg(figure) for name, figure in _figures(summary, remedy, boundaries, calibrations, sections)
    }


def write_plots(
    summary: Summary,
    folder: Path,
    *,
    remedy: Remedy | None = None,
    boundaries: Boundaries | None = None,
    calibrations: Sequence[Calibration] = (),
    sections: Mapping[str, Section] = NOTHING,
    dpi: int = 160,
) -> dict[str, str]:
    """Like `draw_plots`, and writes NAME.svg and NAME.png into `folder` (made if missing).

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, figure in _figures(summary, remedy, boundaries, calibrations, sections):
        made[name] = _svg(figure)
        write_atomic(folder / f"{name}.svg", text_bytes(made[name]))
        sink = io.BytesIO()
        with _quiet_drawing():
            figure.savefig(sink, format="png", dpi=dpi, facecolor=PAPER[0], metadata={"Software": None})
        write_atomic(folder / f"{name}.png", sink.getvalue())
    return made


def draw_needs(plan: Plan) -> str | None:
    """What a planned run needs, as SVG text; None where there is nothing to draw."""
    with _quiet_drawing():
        figure = draw_plan(plan.needs) if plan.needs is not None else None
    return _svg(figure) if figure is not None else None


def draw_row(row: RowPlan) -> str | None:
    """How many servers a power budget carries, as SVG text; None where there is nothing to draw."""
    with _quiet_drawing():
        figure = draw_row_plan(row)
    return _svg(figure) if figure is not None else None


def for_dark_page(svg: str) -> str:
    """The same drawing in the colours of a dark page."""
    for light, dark in (*INKS, TEXT, QUIET, GRID, PAPER):
        svg = svg.replace(light, dark)
    return svg


def _figures(
    summary: Summary,
    remedy: Remedy | None,
    boundaries: Boundaries | None,
    calibrations: Sequence[Calibration],
    sections: Mapping[str, Section],
) -> Iterator[tuple[str, Figure]]:
    plots: dict[str, Callable[[], Figure | None]] = {
        "scatter": lambda: draw_scatter(summary),
        "radar": lambda: draw_radar(summary),
        "categories": lambda: draw_categories(summary),
        "roc": lambda: draw_roc(summary),
        "remedy": lambda: draw_remedy(remedy) if remedy else None,
        "boundaries": lambda: draw_boundaries(boundaries) if boundaries else None,
        "calibration": lambda: draw_calibration(calibrations),
        f"calibration{NARROW}": lambda: draw_calibration(calibrations, narrow=True),
        f"radar{NARROW}": lambda: draw_radar(summary, narrow=True),
        f"categories{NARROW}": lambda: draw_categories(summary, narrow=True),
        f"remedy{NARROW}": lambda: draw_remedy(remedy, narrow=True) if remedy else None,
        f"boundaries{NARROW}": lambda: draw_boundaries(boundaries, narrow=True) if boundaries else None,
    }
    for name, section in sections.items():
        plots[name] = partial(draw_lines, section)
        plots[f"{name}{NARROW}"] = partial(draw_lines, section, narrow=True)
    for name, draw in plots.items():
        with _quiet_drawing():
            figure = draw()
        if figure is not None:
            yield name, figure


@contextmanager
def _quiet_drawing() -> Iterator[None]:
    """Drawing settings, without warnings of missing glyphs: the browser has fonts that Matplotlib lacks."""
    import matplotlib

    settings: dict[RcKeyType, object] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "overt",
        "font.family": ["DejaVu Sans"],
        "font.size": 9.5,
        "text.parse_math": False,
        "text.usetex": False,
        "axes.edgecolor": GRID[0],
        "axes.labelcolor": QUIET[0],
        "axes.unicode_minus": True,
        "text.color": TEXT[0],
        "xtick.color": QUIET[0],
        "ytick.color": QUIET[0],
        "grid.color": GRID[0],
        "grid.linewidth": 0.7,
        "axes.linewidth": 0.8,
        "path.simplify": True,
        # The layout of a polar plot does not account for its labels.
        "savefig.bbox": "tight",
        "savefig.pad_inches": 0.06,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from font.*")
        yield


def _svg(figure: Figure) -> str:
    sink = io.StringIO()
    with _quiet_drawing():
        figure.savefig(
            sink,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = sink.getvalue()
    # Without the prolog, whose document type names an outside address.
    return text[text.index("<svg") :].replace("'DejaVu Sans'", _FONTS)
