"""A folder of photographs, from fit to report: what `jaxad fit`, `score`, `evaluate` and `report` do, in Python.

    python folder_to_report.py [PHOTOGRAPHS]

Without a folder it writes one of drawn defects on bricks.
"""

import sys
from pathlib import Path

import jaxad
from jaxad.folders import evaluate_folder, fit_folder, inspect_folder, score_folder
from jaxad.protocols import demo
from jaxad.report import write_report

if len(sys.argv) > 1:
    photographs = Path(sys.argv[1])
else:
    photographs = Path("bricks")
    demo.write_textures("brick", photographs, count=20)

print(inspect_folder(photographs))
fit_folder(photographs, "bricks.jaxad", recipe="patch-components", rate=0.05)
pipeline = jaxad.load("bricks.jaxad")
print(score_folder(pipeline, photographs, "scored"))
print(evaluate_folder(pipeline, photographs))
print("look at", write_report("scored"))
