"""The architectures of released CLIPs, by the names their programs give them."""

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.tower_records import ModifiedResNet, TextTransformer, VisionTransformer


def _released(embed_dim, image_size, text_width, vision, text_layers=12, activation="quick_gelu"):
    text = TextTransformer(
        context_length=77,
        vocab_size=49408,
        width=text_width,
        layers=text_layers,
        heads=text_width // 64,
        mlp_width=4 * text_width,
        activation=activation,
    )
    return Architecture(embed_dim=embed_dim, vision=vision(image_size), text=text)


def _vit(patch_size, width, layers, *, heads=None, mlp_width=None, activation="quick_gelu"):
    return lambda image_size: VisionTransformer(
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        layers=layers,
        heads=heads or width // 64,
        mlp_width=mlp_width or 4 * width,
        activation=activation,
    )


def _resnet(width, *blocks):
    return lambda image_size: ModifiedResNet(
        image_size=image_size, width=width, blocks=blocks, heads=width // 2
    )


def _open_clip(embed_dim, image_size, text_width, text_layers, *tower, **options):
    vision = _vit(*tower, **options, activation="gelu")
    return _released(embed_dim, image_size, text_width, vision, text_layers, "gelu")


# OpenAI's nine models; then those that OpenCLIP trained (mlfoundations/open_clip, model_configs),
# with another activation and in part with wider heads.
RELEASED = {
    "ViT-B/32": _released(512, 224, 512, _vit(32, 768, 12)),
    "ViT-B/16": _released(512, 224, 512, _vit(16, 768, 12)),
    "ViT-L/14": _released(768, 224, 768, _vit(14, 1024, 24)),
    "ViT-L/14@336px": _released(768, 336, 768, _vit(14, 1024, 24)),
    "RN50": _released(1024, 224, 512, _resnet(64, 3, 4, 6, 3)),
    "RN101": _released(512, 224, 512, _resnet(64, 3, 4, 23, 3)),
    "RN50x4": _released(640, 288, 640, _resnet(80, 4, 6, 10, 6)),
    "RN50x16": _released(768, 384, 768, _resnet(96, 6, 8, 18, 8)),
    "RN50x64": _released(1024, 448, 1024, _resnet(128, 3, 15, 36, 10)),
    "ViT-B-32": _open_clip(512, 224, 512, 12, 32, 768, 12),
    "ViT-B-32-256": _open_clip(512, 256, 512, 12, 32, 768, 12),
    "ViT-B-16": _open_clip(512, 224, 512, 12, 16, 768, 12),
    "ViT-L-14": _open_clip(768, 224, 768, 12, 14, 1024, 24),
    "ViT-L-14-336": _open_clip(768, 336, 768, 12, 14, 1024, 24),
    "ViT-H-14": _open_clip(1024, 224, 1024, 24, 14, 1280, 32, heads=16),
    "ViT-g-14": _open_clip(1024, 224, 1024, 24, 14, 1408, 40, heads=16, mlp_width=6144),
    "ViT-bigG-14": _open_clip(1280, 224, 1280, 32, 14, 1664, 48, heads=16, mlp_width=8192),
}
