"""Whole runs: data, training, scores, figures and `results.json` in one folder."""

from jaxad.protocols.demo import run_demo
from jaxad.protocols.experiment import Protocol
from jaxad.protocols.published import PROTOCOLS, as_published, need_protocol, with_protocol_settings
from jaxad.protocols.run import run_recipe

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "as_published",
    "need_protocol",
    "run_demo",
    "run_recipe",
    "with_protocol_settings",
]
