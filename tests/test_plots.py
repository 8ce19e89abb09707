import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from jaxad import plots
from jaxad._check import InputError
from jaxad.metrics import Confusion

pytestmark = pytest.mark.usefixtures("compile_fast")

generator = np.random.default_rng(0)
GREY = generator.random((12, 28, 28, 1), np.float32)
COLOUR = generator.random((4, 20, 60, 3), np.float32)
MAPS = generator.random((12, 28, 28), np.float32)
LOSSES = generator.random((3, 12), np.float32)
CODES = np.array([[0, 0], [0, 5], [3, 0], [80, 2]], np.float32)
TRUTH, PREDICTION = np.array([0, 0, 1, 1]), np.array([False, True, True, True])
LOW, HIGH = np.linspace(1, 4, 100), np.linspace(700, 900, 50)
LONG = "a title that is far too long to stand in the one line over the axis that it was given"

DRAWN: dict[str, Callable[[], Figure]] = {
    "rows": lambda: plots.reconstruction_rows(GREY, GREY[::-1]),
    "rows in colour": lambda: plots.reconstruction_rows(COLOUR, COLOUR[::-1]),
    "columns": lambda: plots.reconstruction_columns(GREY, GREY[::-1]),
    "one column": lambda: plots.reconstruction_columns(GREY[:1], GREY[1:2]),
    "columns in colour": lambda: plots.reconstruction_columns(COLOUR, COLOUR[::-1]),
    "triples": lambda: plots.reconstruction_triples(GREY, GREY[::-1], 2 * GREY - 1, 1e-6 * LOSSES),
    "one triple": lambda: plots.reconstruction_triples(GREY[:1], GREY[1:2], GREY[:1], LOSSES[:, :1], loss_name=LONG),
    "triples in colour": lambda: plots.reconstruction_triples(COLOUR, COLOUR, 2 * COLOUR - 0.5, LOSSES[:, :4]),
    "losses": lambda: plots.loss_curves({"loss": [3, 2, 1], "noise": [4, 4]}, title=LONG, log=True),
    "one epoch": lambda: plots.loss_curves({"loss": [3]}, title="one"),
    "no finite loss": lambda: plots.loss_curves({"loss": [np.nan, np.nan]}, title="all lost", log=True),
    "scatter": lambda: plots.code_scatter(CODES, TRUTH, title=LONG, names=["sandal", "sneaker", "no such"]),
    "scatters": lambda: scatters(CODES),
    "dead codes": lambda: scatters(0 * CODES),
    "histogram": lambda: plots.error_histogram({"a": LOW, "b": 2 * LOW}, title=LONG, label="error"),
    "wide histogram": lambda: wide_histogram(),
    "one value": lambda: plots.error_histogram({"a": [2.0]}, title="one", label="x", thresholds={"far": -9}),
    "confusion": lambda: plots.confusion_matrix(Confusion(tp=5, fp=2, tn=6734, fn=62), names=["good", "bad"]),
    "confusion, long": lambda: plots.confusion_matrix(Confusion(tp=5, fp=0, tn=0, fn=0), names=[LONG[:40], "x"]),
    "pairs": lambda: plots.heatmap_pairs(GREY[:2], MAPS[:2], ["normal", "anomaly"], label="score"),
    "detections": lambda: detections(COLOUR, MAPS[:4, :20, :28].repeat(3, axis=2)[:, :, :60]),
    "roc": lambda: plots.roc(np.array([0, 1, 0, 1]), {"a": LOW[:4], "b": -LOW[:4]}, title=LONG),
}


def scatters(codes: np.ndarray) -> Figure:
    return plots.code_scatters(
        codes, TRUTH, PREDICTION, truth_names=["sandal", "sneaker"], prediction_names=["passed", "flagged"]
    )


def wide_histogram() -> Figure:
    return plots.error_histogram(
        {"normal": LOW, "noise": HIGH}, title="errors", label="summed error", thresholds={"0.999": 3.5, "p": 9}
    )


def detections(images: np.ndarray, maps: np.ndarray) -> Figure:
    return plots.detections(images, maps, maps > 0.9, ["a"] * len(images), limits=(0.1, 0.9), label="score")


def shown(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes]


def legend(axis) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_figure_renders_without_a_warning_and_nothing_is_cut_off(name, caplog):
    figure = DRAWN[name]()
    assert type(figure) is Figure
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    assert not caplog.records  # matplotlib logs what it clips
    inside, ink = figure.bbox_inches, figure.get_tightbbox()
    assert min(ink.x0, ink.y0) >= -0.01
    assert ink.x1 <= inside.x1 + 0.01
    assert ink.y1 <= inside.y1 + 0.01


@pytest.mark.parametrize("name", ["losses", "wide histogram", "scatters", "scatter"])
def test_legend_lies_below_the_name_of_the_axis(name):
    figure = DRAWN[name]()
    figure.savefig(io.BytesIO())
    for axis in figure.axes:
        assert axis.get_legend().get_window_extent().y1 < axis.xaxis.label.get_window_extent().y0


def test_every_public_figure_is_drawn_here(monkeypatch):
    called = set()
    for name in plots.__all__:
        monkeypatch.setattr(plots, name, lambda *_, name=name, **__: called.add(name))
    for draw in DRAWN.values():
        draw()
    assert called == set(plots.__all__)


def test_rows_are_pairs_of_the_first_images():
    figure = plots.reconstruction_rows(GREY, GREY[::-1])
    pairs = np.stack(shown(figure)).reshape(10, 2, 28, 28)
    np.testing.assert_array_equal(pairs[:, 0], GREY[:10, ..., 0])
    np.testing.assert_array_equal(pairs[:, 1], GREY[::-1][:10, ..., 0])
    assert [axis.get_title() for axis in figure.axes] == ["original", "reconstruction"] + [""] * 18
    assert len(plots.reconstruction_rows(GREY, GREY, rows=3).axes) == 6


def test_columns_are_originals_over_reconstructions():
    figure = plots.reconstruction_columns(COLOUR, COLOUR[::-1], columns=3)
    np.testing.assert_array_equal(shown(figure), np.concatenate([COLOUR[:3], COLOUR[::-1][:3]]))
    assert [axis.get_ylabel() for axis in figure.axes] == ["original", "", "", "reconstruction", "", ""]
    above, below = figure.axes[0].get_position(), figure.axes[3].get_position()
    assert above.y0 > below.y1


def test_triples_carry_their_losses():
    losses = np.array([[0, 0.00123456], [0.25, 0.5], [1.5, 1234.0]])
    figure = plots.reconstruction_triples(GREY[:2], GREY[2:4], GREY[4:6], losses)
    np.testing.assert_array_equal(shown(figure), GREY[:6, ..., 0])
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["0", "0.00123", "0.25", "0.5", "1.5", "1.23e+03"]
    assert figure.get_suptitle().endswith("1 - SSIM")
    rows = [axis.get_ylabel() for axis in figure.axes[::2]]
    assert rows == ["original", "reconstruction", "reconstruction\nof an anomaly"]


@pytest.mark.parametrize("name", ["rows", "columns", "triples"])
def test_compared_images_share_one_scale(name):
    assert {axis.images[0].get_clim() for axis in DRAWN[name]().axes} == {(0, 1)}


def test_loss_curves_count_epochs_from_one():
    terms = {"loss": [3.0, 2.0, 1.0], "val": np.array([4.0, np.nan])}
    axis = plots.loss_curves(terms, title="losses", labels={"val": "validation"}, log=True).axes[0]
    np.testing.assert_array_equal(axis.lines[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(axis.lines[1].get_xydata(), [[1, 4], [2, np.nan]])
    assert legend(axis) == ["loss", "validation"]
    assert (axis.get_title(), axis.get_xlabel(), axis.get_ylabel()) == ("losses", "epoch", "loss")
    assert axis.get_yscale() == "log"
    assert plots.loss_curves(terms, title="losses").axes[0].get_yscale() == "linear"


def test_one_epoch_has_one_tick_and_a_visible_point():
    axis = DRAWN["one epoch"]().axes[0]
    low, high = axis.get_xlim()
    assert [tick for tick in axis.get_xticks() if low <= tick <= high] == [1]
    assert axis.lines[0].get_marker() == "o"


def test_scatters_differ_in_colour_alone():
    figure = scatters(CODES)
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("truth", "prediction")
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert legend(left) == ["sandal (2)", "sneaker (2)"]
    assert legend(right) == ["passed (1)", "flagged (3)"]
    for axis, groups in ((left, TRUTH), (right, PREDICTION)):
        for group, points in enumerate(axis.collections):
            np.testing.assert_array_equal(points.get_offsets(), CODES[groups == group])
            assert to_rgba(f"C{group}")[:3] == tuple(points.get_facecolor()[0][:3])
    assert left.get_xlim()[0] < 0 < 80 < left.get_xlim()[1]


def test_scatter_limits_do_not_depend_on_the_groups():
    names = ["sandal", "sneaker"]
    axes = [plots.code_scatter(CODES, groups, title="t", names=names).axes[0] for groups in (TRUTH, 1 - TRUTH)]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_title() == "t"


@pytest.mark.parametrize(
    ("high", "thresholds", "scale"),
    [
        (HIGH, {}, "log"),
        (HIGH, {"t": 5.0}, "log"),
        (HIGH, {"t": 0.0}, "linear"),  # a logarithmic axis could not show it
        (HIGH - 700, {}, "linear"),  # one score is 0
        (LOW * 50, {}, "linear"),
    ],
)
def test_histogram_axis(high, thresholds, scale):
    axis = plots.error_histogram({"a": LOW, "b": high}, title="t", label="x", thresholds=thresholds).axes[0]
    assert axis.get_xscale() == scale


@pytest.mark.parametrize("high", [HIGH, 2 * LOW])
def test_histogram_holds_every_score_in_common_bins(high):
    axis = plots.error_histogram({"a": LOW, "b": high.astype(np.float32)}, title="t", label="x").axes[0]
    filled = [bars for bars in axis.containers if len(bars) > 1]
    assert len(filled) == 2
    edges = [[bar.get_x() for bar in bars] for bars in filled]
    np.testing.assert_array_equal(*edges)
    np.testing.assert_allclose([sum(bar.get_height() for bar in bars) for bars in filled], 1)


@pytest.mark.parametrize("values", [[1.0, np.nextafter(1.0, 2)], [1e9, 1e9 + 1e-6], [1e17, 1e17], [-1e-320, 1e-320]])
def test_scores_that_are_nearly_the_same_are_drawn(values):
    axis = plots.error_histogram({"a": values}, title="t", label="x").axes[0]
    np.testing.assert_allclose(sum(bar.get_height() for bar in axis.containers[0]), 1.0)


def test_heatmaps_may_span_all_of_single_precision():
    figure = plots.heatmap_pairs(GREY[:2, :1, :2], np.float32([[[-3e38, 0]], [[1e38, 3e38]]]), ["a", "b"], label="x")
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images and axis.get_title() == "x"]
    np.testing.assert_allclose(np.stack(shown).ravel(), [1, 5.5, 7, 10])


def test_histogram_names_sets_and_thresholds():
    axis = wide_histogram().axes[0]
    assert set(legend(axis)) == {"normal (100)", "noise (50)", "0.999: 3.5", "p: 9"}
    assert [line.get_xdata()[0] for line in axis.lines] == [3.5, 9]
    assert len({line.get_linestyle() for line in axis.lines}) == 2
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("summed error", "share of the set")


def test_confusion_matrix_has_truth_in_rows():
    axis = plots.confusion_matrix(Confusion(tp=30, fp=1, tn=1999, fn=10), names=["good", "bad"]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axis.texts}
    assert cells == {(0, 0): "1,999\n99.95 %", (1, 0): "1\n0.05 %", (0, 1): "10\n25.00 %", (1, 1): "30\n75.00 %"}
    np.testing.assert_allclose(axis.images[0].get_array(), [[0.9995, 0.0005], [0.25, 0.75]])
    assert [text.get_text() for text in axis.get_xticklabels()] == ["good", "bad"]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["good", "bad"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("prediction", "truth")


def test_confusion_matrix_shows_no_share_of_nothing():
    axis = plots.confusion_matrix(Confusion(tp=5, fp=0, tn=0, fn=0), names=["good", "bad"]).axes[0]
    assert [text.get_text() for text in axis.texts] == ["0", "0", "0\n0.00 %", "5\n100.00 %"]


def test_heatmap_pairs_keep_their_unit_within_limits():
    figure = plots.heatmap_pairs(GREY[:2], MAPS[:2], ["normal", "anomaly"], label="deviations", limits=(0.0, 4.0))
    drawn = [axes.images[0] for axes in figure.axes if axes.get_title() == "deviations"]
    assert [image.get_clim() for image in drawn] == [(0.0, 4.0)] * 2
    for image, score_map in zip(drawn, MAPS[:2], strict=True):
        np.testing.assert_array_equal(image.get_array(), score_map)


def test_heatmap_pairs_are_scaled_together():
    figure = plots.heatmap_pairs(GREY[:2], np.stack([MAPS[0], MAPS[1] + 1]), ["normal", "anomaly"], label="score")
    first, second = (np.asarray(figure.axes[i].images[0].get_array()) for i in (1, 3))
    np.testing.assert_allclose((first.min(), second.max()), (1, 10), rtol=1e-6)
    assert first.max() < 6
    assert [axis.get_title() for axis in figure.axes[:4]] == ["normal", "score", "anomaly", "score"]


def test_detections_show_image_map_and_mask():
    maps = MAPS[:4, :20, :20].repeat(3, axis=2)
    figure = detections(COLOUR, maps)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), COLOUR[1])
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), maps[0])
    assert {axis.images[0].get_clim() for axis in figure.axes[4:8]} == {(0.1, 0.9)}
    np.testing.assert_array_equal(figure.axes[8].images[0].get_array(), maps[0] > 0.9)


NO_CODES = np.zeros((0, 2), np.float32), np.zeros(0, int)
REFUSED: list[tuple[Callable[[], Figure], str]] = [
    (lambda: plots.reconstruction_rows(GREY[:0], GREY[:0]), "at least one image"),
    (lambda: plots.reconstruction_rows(GREY, GREY, rows=0), "rows must be at least 1"),
    (lambda: plots.reconstruction_rows(GREY, GREY[:3]), "same shape"),
    (lambda: plots.reconstruction_columns(GREY[:0], GREY[:0]), "at least one image"),
    (lambda: plots.reconstruction_columns(GREY, GREY, columns=0), "columns must be at least 1"),
    (lambda: plots.reconstruction_columns(*[np.zeros((1, 8, 8, 2), np.float32)] * 2), "1 channel or 3, got 2"),
    (lambda: plots.reconstruction_triples(GREY[:0], GREY[:0], GREY[:0], LOSSES[:, :0]), "at least one image"),
    (lambda: plots.reconstruction_triples(GREY, GREY, GREY[:2], LOSSES), "same shape"),
    (lambda: plots.reconstruction_triples(GREY, GREY, GREY, LOSSES.T), "same shape"),
    (lambda: plots.heatmap_pairs(GREY[:2], MAPS[:1], ["a"], label="x"), "maps must be as many as the images, 2, got 1"),
    (
        lambda: plots.heatmap_pairs(GREY[:2], MAPS[:2], ["a"], label="x"),
        "titles must be as many as the images, 2",
    ),
    (lambda: detections(COLOUR, MAPS[:1]), "masks must be as many as the images, 4, got 1"),
    (lambda: plots.loss_curves({}, title="t"), "at least one"),
    (lambda: plots.loss_curves({"loss": []}, title="t"), "not empty, got shape (0,) in 'loss'"),
    (lambda: plots.loss_curves({"loss": [1, 0]}, title="t", log=True), "above 0, got 0 in 'loss'"),
    (lambda: plots.code_scatter(*NO_CODES, title="t", names=["a"]), "at least one code"),
    (lambda: plots.code_scatter(CODES, TRUTH, title="t", names=["a"]), "from 0 to 0, one name each, got 0 to 1"),
    (lambda: plots.code_scatter(CODES, TRUTH - 1, title="t", names=["a"]), "got -1 to 0"),
    (lambda: plots.code_scatter(CODES, TRUTH[:2], title="t", names=["a", "b"]), "one a code"),
    (lambda: plots.code_scatter(CODES * np.float32(np.nan), TRUTH, title="t", names=["a", "b"]), "finite"),
    (lambda: plots.code_scatters(*NO_CODES, NO_CODES[1], truth_names="ab", prediction_names="ab"), "one code"),
    (lambda: plots.code_scatters(CODES, TRUTH, PREDICTION, truth_names="ab", prediction_names="a"), "one name each"),
    (lambda: plots.error_histogram({}, title="t", label="x"), "at least one"),
    (lambda: plots.error_histogram({"a": []}, title="t", label="x"), "not empty"),
    (lambda: plots.error_histogram({"a": [1, np.inf]}, title="t", label="x"), "scores of 'a' must be finite"),
    (lambda: plots.error_histogram({"a": [1]}, title="t", label="x", thresholds={"t": np.nan}), "thresholds must"),
    (lambda: plots.confusion_matrix(Confusion(tp=0, fp=0, tn=0, fn=0), names=["a", "b"]), "at least one"),
    (lambda: plots.confusion_matrix(Confusion(tp=1, fp=0, tn=0, fn=0), names=["a"]), "two"),
    (lambda: plots.heatmap_pairs(GREY[:0], MAPS[:0], [], label="x"), "at least one"),
    (lambda: detections(GREY[:0], MAPS[:0]), "at least one"),
    (lambda: plots.roc(TRUTH, {}, title="t"), "at least one"),
]


@pytest.mark.parametrize(("draw", "reason"), REFUSED)
def test_bad_input_is_refused(draw, reason, unchecked):
    with pytest.raises(InputError) as error:
        draw()
    assert reason in str(error.value)


def test_import_loads_no_matplotlib_and_drawing_no_pyplot():
    code = (
        "import sys, numpy as np\n"
        "from jaxad import plots\n"
        "plots.heatmap_pairs\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.reconstruction_rows(np.zeros((1, 8, 8, 1), 'f'), np.zeros((1, 8, 8, 1), 'f'))\n"
        "plots.loss_curves({'loss': [1.0]}, title='t')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
