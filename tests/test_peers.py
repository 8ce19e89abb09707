"""Peers of the benchmarks: each in a process of its own, and one that cannot take part is named with the reason."""

import os
import sys
from pathlib import Path

import pytest

measure = pytest.importorskip("benchmarks.measure")

FAKE = """#!{python}
import json, os, sys
for line in sys.stdin:
    framework = line.split()[0]
    if framework == "keras":
        print("terminate called", file=sys.stderr, flush=True)
        os._exit(7)
    if framework == "torch":
        print(json.dumps({{"absent": "No module named 'torch'"}}), flush=True)
        continue
    if framework == "broken":
        print(json.dumps({{"failed": "RuntimeError: out of memory"}}), flush=True)
        continue
    print("a word of its own")
    print(json.dumps({{"rate": 1.0, "versions": {{framework: str(os.getpid())}}}}), flush=True)
"""


def test_a_process_for_each_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = tmp_path / "python"
    fake.write_text(FAKE.format(python=sys.executable))
    fake.chmod(0o755)
    peers = measure.Peers(os.fspath(fake))
    jobs = {name: f"{name} train x" for name in ("keras", "torch", "broken", "sklearn", "other")}
    ready = peers.contestants(jobs, 3)
    assert {name: run() for name, run in ready.items()} == {"sklearn": 1.0, "other": 1.0}
    assert peers.versions["sklearn"] != peers.versions["other"]
    said = capsys.readouterr().err
    assert "keras is left out of 'keras train x': its process ended with code 7 and said:\nterminate called" in said
    assert "torch is left out of 'torch train x': is not installed: No module named 'torch'" in said
    assert "broken is left out of 'broken train x': failed:\nRuntimeError: out of memory" in said
    for peer in peers.running.values():
        peer.close()
    assert measure.Peers(None).contestants(jobs, 3) == {}
