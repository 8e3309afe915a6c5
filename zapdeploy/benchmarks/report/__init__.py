"""report.html: one file with all that a folder of results says, readable without a network.

data.py       what the folder holds, joined
blocks.py     what a page is made of: sections of tables, charts, and the map of cores
words.py      numbers as text, each with its kind
sections/     one file per section: data -> blocks
page.py       blocks -> HTML, by page.html, style.css and charts.js
"""

from zapdeploy.benchmarks.report.data import ReportData, load_report_data
from zapdeploy.benchmarks.report.page import report_html

__all__ = ["ReportData", "load_report_data", "report_html"]
