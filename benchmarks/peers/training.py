"""The five systems in Keras and in PyTorch, for benchmarks/training.py, which talks to this script over a pipe.

One line in, such as `keras conv-ae 20`, asks for that many updates; one line out holds the samples per second.
Both are written as a competent user would: Keras compiled by `tf.function` with its data in a `tf.data` pipeline,
PyTorch channels-last with all cores.
"""

import itertools
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

BATCH = {"conv-ae": 32, "ssim-ae": 128, "patch-vae": 128, "latent-ocsvm": 32, "dense-ae": 64}
IMAGES = np.random.default_rng(0).uniform(size=(8192, 28, 28, 1)).astype(np.float32)
ENCODERS = {"conv-ae": ((32, 2), (64, 2)), "ssim-ae": ((32, 1), (64, 2), (64, 2))}
DECODERS = {"conv-ae": ((64, 2), (32, 2)), "ssim-ae": ((64, 1), (64, 2), (32, 2))}


def images(system):
    """The training images of a system."""
    return IMAGES[:, :8, :8] if system == "patch-vae" else IMAGES


def keras_step(system):
    """A compiled update and a stream of batches."""
    import keras
    import tensorflow as tf
    from keras import layers

    def convolutional(x):
        activate = [layers.LeakyReLU(0.2), layers.BatchNormalization] if system == "conv-ae" else None
        for blocks, layer in ((ENCODERS[system], layers.Conv2D), (DECODERS[system], layers.Conv2DTranspose)):
            if layer is layers.Conv2DTranspose and activate:
                x = layers.Dense(16)(layers.Flatten()(x))
                x = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64)(x))
            for features, stride in blocks:
                x = layer(features, 3, strides=stride, padding="same")(x)
                if activate:
                    x = layers.BatchNormalization()(layers.LeakyReLU(0.2)(x))
                else:
                    x = layers.LeakyReLU(0.3)(layers.BatchNormalization()(x))
        return layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid")(x)

    def dense(x):
        x = layers.Flatten()(x)
        if system == "latent-ocsvm":
            for width in (128, 64, 32, 2, 32, 64, 128):
                x = layers.Dense(width, activation="relu")(x)
            x = layers.Dense(784, activation="sigmoid")(x)
        else:
            x = layers.BatchNormalization()(x)
            for width in (512, 256, 128, 64, 32, 16):
                x = layers.Dense(width, activation="relu")(x)
            for width in (32, 64, 128, 256, 512):
                x = layers.Dense(width, activation="tanh")(x)
            x = layers.Activation("tanh")(layers.BatchNormalization()(layers.Dense(784)(x)))
        return layers.Reshape((28, 28, 1))(x)

    def vae(x):
        for features in (16, 32):
            x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(features, 2, strides=2)(x)))
        x = layers.Flatten()(x)
        mean, log_variance = layers.Dense(2)(x), layers.Dense(2)(x)
        noise = layers.GaussianNoise(1.0)(0.0 * mean)
        z = mean + keras.ops.exp(0.5 * log_variance) * noise
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(4)(z)))
        x = layers.Reshape((2, 2, 1))(x)
        for features in (32, 16):
            x = layers.Conv2DTranspose(features, 2, strides=2, padding="same")(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        heads = [
            layers.Activation("sigmoid")(layers.BatchNormalization()(layers.Conv2DTranspose(1, 4, padding="same")(x)))
            for _ in range(2)
        ]
        return [*heads, mean, log_variance]

    source = keras.Input(images(system).shape[1:])
    build = vae if system == "patch-vae" else convolutional if system in ENCODERS else dense
    model = keras.Model(source, build(source))
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
    return lambda: step(next(stream)), lambda loss: float(loss)


def torch_step(system):
    """An update on random batches."""
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count())
    pixels = torch.from_numpy(images(system)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    def transposed(inside, features, size, stride):
        return nn.ConvTranspose2d(inside, features, size, stride, (size - stride + 1) // 2, (size - stride) % 2)

    def convolved(inside, features, size, stride):
        return nn.Conv2d(inside, features, size, stride, 1)

    def convolutional():
        parts, inside = [], 1
        for blocks, transpose in ((ENCODERS[system], False), (DECODERS[system], True)):
            if transpose and system == "conv-ae":
                parts += [nn.Flatten(), nn.Linear(3136, 16), nn.Linear(16, 3136), nn.Unflatten(1, (64, 7, 7))]
            for features, stride in blocks:
                layer = (
                    transposed(inside, features, 3, stride) if transpose else nn.Conv2d(inside, features, 3, stride, 1)
                )
                slope = 0.2 if system == "conv-ae" else 0.3
                tail = [nn.LeakyReLU(slope), nn.BatchNorm2d(features)]
                parts += [layer, *(tail if system == "conv-ae" else tail[::-1])]
                inside = features
        return nn.Sequential(*parts, nn.Conv2d(inside, 1, 3, 1, 1), nn.Sigmoid())

    def dense():
        if system == "latent-ocsvm":
            widths, parts = (784, 128, 64, 32, 2, 32, 64, 128), []
            for a, b in itertools.pairwise(widths):
                parts += [nn.Linear(a, b), nn.ReLU()]
            parts += [nn.Linear(128, 784), nn.Sigmoid()]
        else:
            widths, parts = (784, 512, 256, 128, 64, 32, 16, 32, 64, 128, 256, 512), [nn.BatchNorm1d(784)]
            for i, (a, b) in enumerate(itertools.pairwise(widths)):
                parts += [nn.Linear(a, b), nn.ReLU() if i < 6 else nn.Tanh()]
            parts += [nn.Linear(512, 784), nn.BatchNorm1d(784), nn.Tanh()]
        return nn.Sequential(nn.Flatten(), *parts, nn.Unflatten(1, (1, 28, 28)))

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            norm = nn.BatchNorm2d
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 16, 2, 2), norm(16), nn.ReLU(), nn.Conv2d(16, 32, 2, 2), norm(32), nn.ReLU(), nn.Flatten()
            )
            self.code = nn.Linear(128, 4)
            self.decoder = nn.Sequential(
                *[nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Unflatten(1, (1, 2, 2))],
                *[nn.ConvTranspose2d(1, 32, 2, 2), norm(32), nn.ReLU()],
                *[nn.ConvTranspose2d(32, 16, 2, 2), norm(16), nn.ReLU()],
                *[nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(16, 2, 4), norm(2), nn.Sigmoid()],
            )

        def forward(self, x):
            mean, log_variance = self.code(self.encoder(x)).chunk(2, 1)
            heads = self.decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
            return heads[:, :1], heads[:, 1:], mean, log_variance

    build = VAE if system == "patch-vae" else convolutional if system in ENCODERS else dense
    model = build().to(memory_format=torch.channels_last)
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
        return loss

    return step, lambda loss: float(loss.detach())


def main():
    """Answer requests until the pipe closes."""
    makers, steps = {"keras": keras_step, "torch": torch_step}, {}
    for line in sys.stdin:
        framework, system, updates = line.split()
        try:
            if (framework, system) not in steps:
                steps[framework, system] = step, wait = makers[framework](system)
                for _ in range(3):
                    wait(step())
            step, wait = steps[framework, system]
        except ImportError:
            print("absent", flush=True)
            continue
        began = time.perf_counter()
        for _ in range(int(updates)):
            loss = step()
        wait(loss)
        print(int(updates) * BATCH[system] / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
