"""Joining results and page to one file: the data as JSON, the pictures as base64, style and script inside."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jaxad import metrics
from jaxad._files import replacing
from jaxad.results import Results, picture_path, read_results

CURVE_STEP = 0.002
"""Points of a curve closer than this to the last one, along both axes, are left out: less than half a pixel."""


def write_report(
    folder: str | os.PathLike[str],
    *,
    run: dict[str, Any] | None = None,
    last: int | None = None,
    on_missing: Callable[[str, Path], None] = lambda *_: None,
) -> Path:
    """Write `report.html` into a folder that `jaxad score` wrote, and return its path.

    The page holds its data, pictures, style and script, and asks for nothing else. A picture that is missing or empty
    leaves words in its place, and `on_missing` is called with the name of the image and the picture's path. Of a run
    that still goes on, `run` is what its run.json will hold; `last` shows so many of its newest images alone, and says
    how many there are.

    Raises:
        InputError: the folder is none, or a file of it is missing, damaged or contradicts another.
    """
    results = read_results(folder, run=run)
    before = 0 if last is None else max(0, len(results.images) - last)
    results = replace(results, images=results.images[before:])
    style, script = _part("page.css"), "".join(map(_part, ("charts.js", "facts.js", "page.js")))
    page = _part("page.html").replace("STYLE_HASH", _hash(style)).replace("SCRIPT_HASH", _hash(script))
    # The rest is data: cut the page first, so that nothing in a name can be taken for a mark.
    head, after_style, after_data, after_pictures, tail = re.split("<!-- (?:style|data|pictures|script) -->", page)
    path = results.folder / "report.html"
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as out:
        out.write(f"{head}<style>{style}</style>{after_style}")
        out.write(f'<script type="application/json" id="data">{_json(_data(results, before))}</script>{after_data}')
        _write_pictures(results, before, out, on_missing)
        out.write(f"{after_pictures}<script>{script}</script>{tail}")
    return path


def _data(results: Results, before: int) -> dict[str, Any]:
    return {
        "before": before,
        # Thousands of names would bury the card; run.json has them.
        "run": {name: value for name, value in results.run.items() if name != "not_used"},
        "judgedBy": results.judged_by,
        "threshold": results.threshold,
        "images": results.images,
        "errors": results.errors,
        "curves": _curves(results),
    }


def _curves(results: Results) -> dict[str, Any] | None:
    """The score curves of the labelled images, or None where they are not of both kinds."""
    labelled = [image for image in results.images if image["defect"]]
    labels = np.array([image["defect"] != "good" for image in labelled])
    if not labels.any() or labels.all():
        return None
    scores = np.array([image[results.judged_by] for image in labelled])
    false_positives, found, _ = metrics.roc(labels, scores)
    precision, recall, _ = metrics.precision_recall(labels, scores)
    return {
        "auroc": metrics.auroc(labels, scores),
        "averagePrecision": metrics.average_precision(labels, scores),
        "roc": _thinned(false_positives, found),
        "precisionRecall": _thinned(recall, precision),
    }


def _thinned(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    """Points [x, y] of a curve [k], [k] without those that no eye could tell from the one before; both ends stay."""
    points = np.stack([x, y], axis=1).round(5).tolist()
    kept = points[:1]
    for point in points[1:-1]:
        if max(abs(point[0] - kept[-1][0]), abs(point[1] - kept[-1][1])) >= CURVE_STEP:
            kept.append(point)
    return [*kept, points[-1]]


def _write_pictures(results: Results, before: int, out: TextIO, on_missing: Callable[[str, Path], None]) -> None:
    """Write one element an image, empty where its picture is missing: a template's content is neither run nor shown."""
    out.write('<template id="pictures">')
    for row, image in enumerate(results.images, start=before):
        picture = picture_path(results.folder, row)
        text = base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else ""
        if not text:
            on_missing(image["file"], picture)
        out.write(f"<i>{text}</i>")
    out.write("</template>")


def _json(data: dict[str, Any]) -> str:
    """JSON that a script element may hold; bytes of a name that are no text are shown as their escapes."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return re.sub("[\ud800-\udfff]", lambda found: rf"\\u{ord(found[0]):04x}", text)


def _hash(text: str) -> str:
    """What the page's own policy calls this text: it alone may run or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _part(name: str) -> str:
    return resources.files("jaxad.report").joinpath(name).read_text(encoding="utf-8")
