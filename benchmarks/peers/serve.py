"""Keras, PyTorch and scikit-learn at work, for the benchmarks, which talk to this script over a pipe.

One line in, such as `keras train conv-ae 20` or `torch heatmap compiled 3`, names a framework, a task, its variant and
how often to do it. One line of JSON out holds the rate, samples or windows per second, with the versions of what was
imported; or, under `absent`, what is not installed, or under `failed` what went wrong. Each framework has a process of
this script to itself. Everything is written as a competent user would: Keras compiled by `tf.function` and fed by
`tf.data`, PyTorch channels-last with all cores, eager or by `torch.compile`.
"""

import json
import os
import sys
import time
import traceback

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
from models import keras_model, torch_lite0, torch_model

BATCH = {"conv-ae": 32, "ssim-ae": 128, "patch-vae": 128, "latent-ocsvm": 32, "dense-ae": 64}
IMAGES = np.random.default_rng(0).uniform(size=(8192, 28, 28, 1)).astype(np.float32)
HEATMAP_IMAGES, WINDOW, STRIDE, GRID = IMAGES[:200], 8, 2, 11
CHUNKS = (512, 2048, 8192)
LOOP_WINDOWS = 24
PACKAGES = ("keras", "tensorflow", "torch", "sklearn")


def images(system):
    """The training images of a system."""
    return IMAGES[:, :8, :8] if system == "patch-vae" else IMAGES


def keras_train(system):
    """A compiled update on a stream of batches; how many samples it takes."""
    import keras
    import tensorflow as tf

    model = keras_model(system)
    optimizer = keras.optimizers.Adam(1e-3)

    def loss_of(x, output):
        if system == "patch-vae":
            mean, variance, z_mean, z_log = output
            spread = tf.reduce_sum((x - mean) ** 2 / variance + tf.math.log(2 * np.pi * variance), (1, 2, 3))
            return tf.reduce_mean(0.5 * spread - 0.5 * tf.reduce_sum(1 + z_log - z_mean**2 - tf.exp(z_log), 1))
        if system == "ssim-ae":
            return tf.reduce_mean(1 - tf.image.ssim(x, output, 1.0))
        return tf.reduce_mean((x - output) ** 2)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = loss_of(x, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    data = tf.data.Dataset.from_tensor_slices(images(system)).shuffle(4096).repeat()
    stream = iter(data.batch(BATCH[system], drop_remainder=True).prefetch(2))
    return lambda: step(next(stream)), BATCH[system]


def torch_train(system):
    """An update on random batches; how many samples it takes."""
    import torch

    torch.set_num_threads(os.cpu_count())
    pixels = torch.from_numpy(images(system)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    model = torch_model(system)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    bell = torch.exp(-0.5 * ((torch.arange(11.0) - 5) / 1.5) ** 2)
    window = torch.outer(bell, bell)[None, None] / bell.sum() ** 2

    def ssim(x, y):
        blur = torch.nn.functional.conv2d
        a, b = blur(x, window), blur(y, window)
        xx, yy, xy = blur(x * x, window) - a * a, blur(y * y, window) - b * b, blur(x * y, window) - a * b
        return ((2 * a * b + 1e-4) * (2 * xy + 9e-4) / ((a * a + b * b + 1e-4) * (xx + yy + 9e-4))).mean()

    def step():
        x = pixels[torch.randint(len(pixels), (BATCH[system],))]
        output = model(x)
        if system == "patch-vae":
            mean, variance, z_mean, z_log = output
            spread = ((x - mean) ** 2 / variance + torch.log(2 * torch.pi * variance)).sum((1, 2, 3))
            loss = (0.5 * spread - 0.5 * (1 + z_log - z_mean**2 - z_log.exp()).sum(1)).mean()
        else:
            loss = 1 - ssim(x, output) if system == "ssim-ae" else ((x - output) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, BATCH[system]


def keras_heatmap(variant):
    """Scores of all windows, extracted and run through the model in chunks; or the published loop."""
    import tensorflow as tf

    model = keras_model("patch-vae")
    if variant == "loop":

        def loop():
            image, total = HEATMAP_IMAGES[0], 0.0
            for i in range(LOOP_WINDOWS):
                window = image[None, i % 20 : i % 20 + WINDOW, :WINDOW]
                mean, variance, _, _ = model.predict(window, verbose=0)
                total += float((0.5 * (window - mean) ** 2 / variance).sum())
            return total

        return loop, LOOP_WINDOWS

    @tf.function
    def score(windows):
        mean, variance, _, _ = model(windows, training=False)
        return 0.5 * tf.reduce_sum((windows - mean) ** 2 / variance, (1, 2, 3))

    sizes, strides = [1, WINDOW, WINDOW, 1], [1, STRIDE, STRIDE, 1]

    def batched(chunk):
        patches = tf.image.extract_patches(HEATMAP_IMAGES, sizes, strides, [1, 1, 1, 1], "VALID")
        windows = tf.reshape(patches, (-1, WINDOW, WINDOW, 1))
        return np.concatenate([score(windows[i : i + chunk]).numpy() for i in range(0, len(windows), chunk)])

    return fastest(batched), len(HEATMAP_IMAGES) * GRID**2


def torch_heatmap(variant):
    """Scores of all windows, extracted and run through the model in chunks, eager or compiled."""
    import torch

    torch.set_num_threads(os.cpu_count())
    model = torch_model("patch-vae").eval()
    pixels = torch.from_numpy(HEATMAP_IMAGES).permute(0, 3, 1, 2)

    def score(windows):
        mean, variance, _, _ = model(windows)
        return 0.5 * ((windows - mean) ** 2 / variance).sum((1, 2, 3))

    if variant == "compiled":
        score = torch.compile(score, dynamic=False)

    def batched(chunk):
        with torch.inference_mode():
            patches = pixels.unfold(2, WINDOW, STRIDE).unfold(3, WINDOW, STRIDE).reshape(-1, 1, WINDOW, WINDOW)
            windows = patches.contiguous(memory_format=torch.channels_last)
            return torch.cat([score(windows[i : i + chunk]) for i in range(0, len(windows), chunk)]).numpy()

    return fastest(batched), len(HEATMAP_IMAGES) * GRID**2


def torch_backbone(variant):
    """The classes of photographs by EfficientNet-Lite0; the variant is weights:side:count."""
    import torch

    torch.set_num_threads(os.cpu_count())
    path, side, count = variant.rsplit(":", 2)
    forward = torch_lite0(torch.load(path, weights_only=True))
    pixels = np.random.default_rng(0).random((int(count), int(side), int(side), 3), np.float32)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # channels last in memory

    def run():
        with torch.inference_mode():
            return forward(images)

    return run, int(count)


def neighbours(_):
    """The mean distance to 5 exact neighbours."""
    from sklearn.neighbors import NearestNeighbors

    bank, rows = vectors()
    index = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(bank)
    return lambda: index.kneighbors(rows)[0].mean(1), len(rows)


def components(_):
    """Principal components by the covariance matrix, the fastest solver for so many rows."""
    from sklearn.decomposition import PCA

    bank, _ = vectors()
    return lambda: PCA(32, svd_solver="covariance_eigh").fit(bank).components_, len(bank)


def vectors():
    """Rows to learn from and rows to score, as `benchmarks.closed_form` draws them."""
    draw = np.random.default_rng(0)
    return [draw.random((count, 588), dtype=np.float32) for count in (6000, 2000)]


def fastest(batched):
    """`batched` at the chunk that is fastest here."""
    times = {}
    for chunk in CHUNKS:
        for _ in range(3):  # the first ones compile
            began = time.perf_counter()
            batched(chunk)
            times[chunk] = time.perf_counter() - began
    best = min(times, key=times.get)
    return lambda: batched(best)


MAKERS = {
    ("keras", "train"): keras_train,
    ("torch", "train"): torch_train,
    ("keras", "heatmap"): keras_heatmap,
    ("torch", "heatmap"): torch_heatmap,
    ("torch", "backbone"): torch_backbone,
    ("sklearn", "neighbours"): neighbours,
    ("sklearn", "components"): components,
}


def main(makers):
    """Answer requests until the pipe closes; one for no times makes its job ready.

    A maker takes the variant, and gives a function and how many samples or windows one call of it handles.
    """
    jobs = {}
    for line in sys.stdin:
        framework, task, variant, times = line.split()
        try:
            if (framework, task, variant) not in jobs:
                jobs[framework, task, variant] = run, count = makers[framework, task](variant)
                for _ in range(3):
                    last = run()
                fetched(last)
            run, count = jobs[framework, task, variant]
            began = time.perf_counter()
            for _ in range(int(times)):
                last = run()
            fetched(last)
        except ImportError as error:
            print(json.dumps({"absent": str(error)}), flush=True)
            continue
        except Exception:
            print(json.dumps({"failed": traceback.format_exc()[-2000:].strip()}), flush=True)
            continue
        rate = int(times) * count / (time.perf_counter() - began)
        versions = {name: sys.modules[name].__version__ for name in PACKAGES if name in sys.modules}
        print(json.dumps({"rate": rate, "versions": versions}), flush=True)


def fetched(result):
    """The result on the host, which waits for the last call."""
    return np.asarray(result.cpu() if getattr(result, "is_cuda", False) else result)


if __name__ == "__main__":
    main(MAKERS)
