"""The results of a scored folder as one page that opens without a network.

`write_report` reads what `jaxad score` wrote and scores nothing itself. A higher score is more anomalous.
"""

from jaxad.report.page import write_report

__all__ = ["write_report"]
