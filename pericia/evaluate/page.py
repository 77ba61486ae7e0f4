"""The Report as one HTML file that needs nothing else."""

from pericia.types import Report


def render_page(report: Report) -> str:
    """Return the page."""
    return report.recommendation.sentence
