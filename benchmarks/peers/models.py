"""The five systems in Keras and in PyTorch, as a competent user would write them."""

import itertools

ENCODERS = {"conv-ae": ((32, 2), (64, 2)), "ssim-ae": ((32, 1), (64, 2), (64, 2))}
DECODERS = {"conv-ae": ((64, 2), (32, 2)), "ssim-ae": ((64, 1), (64, 2), (32, 2))}


def keras_model(system):
    """The system in Keras."""
    import keras
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

    source = keras.Input((8, 8, 1) if system == "patch-vae" else (28, 28, 1))
    build = vae if system == "patch-vae" else convolutional if system in ENCODERS else dense
    return keras.Model(source, build(source))


def torch_model(system):
    """The system in PyTorch, channels-last."""
    import torch
    from torch import nn

    def transposed(inside, features, size, stride):
        return nn.ConvTranspose2d(inside, features, size, stride, (size - stride + 1) // 2, (size - stride) % 2)

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
            noise = torch.exp(0.5 * log_variance) * torch.randn_like(mean) if self.training else 0.0
            heads = self.decoder(mean + noise)
            return heads[:, :1], heads[:, 1:], mean, log_variance

    build = VAE if system == "patch-vae" else convolutional if system in ENCODERS else dense
    return build().to(memory_format=torch.channels_last)


LITE0 = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
"""Repeats, kernel, stride and expansion of the rows of EfficientNet-Lite0."""


def torch_lite0(state):
    """EfficientNet-Lite0 in PyTorch, from images [n, 3, h, w] in [0, 1] to logits; BatchNorms folded."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    def folded(convolution, norm):
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-3)
        weight = state[f"{convolution}.weight"] * scale[:, None, None, None]
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        return weight.contiguous(memory_format=torch.channels_last), bias

    def same(x, layer, stride=1, groups=1):
        weight, bias = layer
        size = weight.shape[-1]
        if stride == 1:
            return F.conv2d(x, weight, bias, padding=size // 2, groups=groups)
        spare = [max((-(-length // stride) - 1) * stride + size - length, 0) for length in x.shape[2:]]
        x = F.pad(x, [spare[1] // 2, spare[1] - spare[1] // 2, spare[0] // 2, spare[0] - spare[0] // 2])
        return F.conv2d(x, weight, bias, stride=stride, groups=groups)

    stem, head = folded("_conv_stem", "_bn0"), folded("_conv_head", "_bn1")
    blocks = []
    for repeats, _, first, expansion in LITE0:
        for i in range(repeats):
            name = f"_blocks.{len(blocks)}"
            expand = folded(f"{name}._expand_conv", f"{name}._bn0") if expansion > 1 else None
            depthwise = folded(f"{name}._depthwise_conv", f"{name}._bn1")
            blocks.append((expand, depthwise, folded(f"{name}._project_conv", f"{name}._bn2"), first if i == 0 else 1))

    def forward(images):
        x = F.relu6(same((255 * images - 127) / 128, stem, 2))
        for expand, depthwise, project, stride in blocks:
            inner = x if expand is None else F.relu6(same(x, expand))
            inner = F.relu6(same(inner, depthwise, stride, inner.shape[1]))
            y = same(inner, project)
            x = x + y if x.shape == y.shape else y
        x = F.relu6(same(x, head)).mean((2, 3))
        return F.linear(x, state["_fc.weight"], state["_fc.bias"])

    return forward
