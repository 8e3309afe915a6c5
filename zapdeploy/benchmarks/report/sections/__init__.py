"""The report's sections, in the order in which they are read."""

from __future__ import annotations

from zapdeploy.benchmarks.report.blocks import Section
from zapdeploy.benchmarks.report.data import ReportData
from zapdeploy.benchmarks.report.sections.accuracy import accuracy
from zapdeploy.benchmarks.report.sections.answer import answer
from zapdeploy.benchmarks.report.sections.cores import cores
from zapdeploy.benchmarks.report.sections.energy import energy
from zapdeploy.benchmarks.report.sections.events import events
from zapdeploy.benchmarks.report.sections.latency import latency
from zapdeploy.benchmarks.report.sections.layers import layers
from zapdeploy.benchmarks.report.sections.not_run import not_run
from zapdeploy.benchmarks.report.sections.provenance import provenance
from zapdeploy.benchmarks.report.sections.reproduce import reproduce
from zapdeploy.benchmarks.report.sections.roofline import roofline
from zapdeploy.benchmarks.report.sections.summary import summary
from zapdeploy.benchmarks.report.sections.values import values

_SECTIONS = (
    *(answer, summary, energy, values, latency, accuracy, events, roofline, cores, layers),
    *(provenance, reproduce, not_run),
)


def all_sections(data: ReportData) -> tuple[Section, ...]:
    """Those that the folder has something for."""
    made = (section(data) for section in _SECTIONS)
    return tuple(section for section in made if section is not None)
