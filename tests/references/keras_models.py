"""The five published architectures in plain flax.linen, with module names in order of creation, as an oracle."""

import flax.linen as nn
import jax.numpy as jnp

KERAS_NORM = {"use_running_average": True, "epsilon": 1e-3}
TORCH_NORM = {"use_running_average": True, "epsilon": 1e-5}


class ConvAE(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features in (32, 64):
            x = nn.Conv(features, (3, 3), (2, 2), padding="SAME")(x)
            x = nn.BatchNorm(**KERAS_NORM)(nn.leaky_relu(x, 0.2))
        latent = nn.Dense(16)(x.reshape(x.shape[0], -1))
        x = nn.Dense(7 * 7 * 64)(latent).reshape(-1, 7, 7, 64)
        for features in (64, 32):
            x = nn.ConvTranspose(features, (3, 3), (2, 2), padding="SAME")(x)
            x = nn.BatchNorm(**KERAS_NORM)(nn.leaky_relu(x, 0.2))
        return {"latent": latent, "reconstruction": nn.sigmoid(nn.ConvTranspose(1, (3, 3), padding="SAME")(x))}


class SsimAE(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features, stride in ((32, 1), (64, 2), (64, 2)):
            x = nn.Conv(features, (3, 3), (stride, stride), padding="SAME")(x)
            x = nn.leaky_relu(nn.BatchNorm(**KERAS_NORM)(x), 0.3)
        for features, stride in ((64, 1), (64, 2), (32, 2)):
            x = nn.ConvTranspose(features, (3, 3), (stride, stride), padding="SAME")(x)
            x = nn.leaky_relu(nn.BatchNorm(**KERAS_NORM)(x), 0.3)
        return {"reconstruction": nn.sigmoid(nn.ConvTranspose(1, (3, 3), padding="SAME")(x))}


class PatchVAE(nn.Module):
    """One head of two features stands for the published two heads of one."""

    @nn.compact
    def __call__(self, x):
        for features in (16, 32):
            x = nn.Conv(features, (2, 2), (2, 2), padding="VALID")(x)
            x = nn.relu(nn.BatchNorm(**KERAS_NORM)(x))
        flat = x.reshape(x.shape[0], -1)
        mean, log_variance = nn.Dense(2)(flat), nn.Dense(2)(flat)
        x = nn.relu(nn.BatchNorm(**KERAS_NORM)(nn.Dense(4)(mean))).reshape(-1, 2, 2, 1)
        for features in (32, 16):
            x = nn.ConvTranspose(features, (2, 2), (2, 2), padding="SAME")(x)
            x = nn.relu(nn.BatchNorm(**KERAS_NORM)(x))
        heads = nn.sigmoid(nn.BatchNorm(**KERAS_NORM)(nn.ConvTranspose(2, (4, 4), padding="SAME")(x)))
        return {"z_mean": mean, "z_log_var": log_variance, "mean": heads[..., :1], "variance": heads[..., 1:]}


class LatentAE(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features in (128, 64, 32, 2):
            x = nn.relu(nn.Dense(features)(x))
        latent = x
        for features in (32, 64, 128):
            x = nn.relu(nn.Dense(features)(x))
        return {"latent": latent, "reconstruction": nn.sigmoid(nn.Dense(784)(x))}


class DenseAE(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(**TORCH_NORM)(x)
        for features in (512, 256, 128, 64, 32, 16):
            x = nn.relu(nn.Dense(features)(x))
        latent = x
        for features in (32, 64, 128, 256, 512):
            x = jnp.tanh(nn.Dense(features)(x))
        return {"latent": latent, "reconstruction": jnp.tanh(nn.BatchNorm(**TORCH_NORM)(nn.Dense(784)(x)))}


def numbered(name: str, kind: str, count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"{name}_{i}", kind) for i in range(count))


AUTOENCODER = (*numbered("Conv", "Conv", 2), *numbered("Dense", "Dense", 2))
MODELS = {
    "conv_ae": (
        ConvAE(),
        (*AUTOENCODER, *numbered("ConvTranspose", "ConvTranspose", 3), *numbered("BatchNorm", "BatchNorm", 4)),
    ),
    "ssim_ae": (
        SsimAE(),
        (
            *numbered("Conv", "Conv", 3),
            *numbered("ConvTranspose", "ConvTranspose", 4),
            *numbered("BatchNorm", "BatchNorm", 6),
        ),
    ),
    "patch_vae": (
        PatchVAE(),
        (
            *numbered("Conv", "Conv", 2),
            *numbered("Dense", "Dense", 3),
            *numbered("ConvTranspose", "ConvTranspose", 2),
            ("ConvTranspose_2", ("ConvTranspose", "ConvTranspose")),
            *numbered("BatchNorm", "BatchNorm", 5),
            ("BatchNorm_5", ("BatchNorm", "BatchNorm")),
        ),
    ),
    "latent_ae": (LatentAE(), numbered("Dense", "Dense", 8)),
    "dense_bn_ae": (DenseAE(), (*numbered("Dense", "Dense", 12), *numbered("BatchNorm", "BatchNorm", 2))),
}
