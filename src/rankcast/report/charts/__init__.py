"""Pictures of a report. Each has the same numbers in a table beside it."""

from rankcast.report.charts.agreement import kept, scatter
from rankcast.report.charts.cascade import funnel, waterfall
from rankcast.report.charts.differences import by_day, forest
from rankcast.report.charts.examination import examination
from rankcast.report.charts.spread import histogram, lorenz

__all__ = ["by_day", "examination", "forest", "funnel", "histogram", "kept", "lorenz", "scatter", "waterfall"]
