"""Models of timm, with fresh weights."""

from torch import nn

from nodepath.errors import MissingExtraError, UnknownNameError
from nodepath.models.spec import ModelSpec, Recipe
from nodepath.models.suggestion import did_you_mean

__all__ = ["timm_recipe"]


def timm_recipe(full_name: str) -> Recipe:
    """How to build `timm:NAME` or `timm:NAME.TAG`, never with downloaded weights.

    `input_size` and `num_classes` are those of the model's `pretrained_cfg`; a model published without a classifier
    has `num_classes` None, and is built without one unless `num_classes` is asked for.

    Raises:
        MissingExtraError: timm cannot be imported.
        UnknownNameError: timm has no such model, or the model no such tag.
    """
    name = full_name.partition(":")[2]
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(
            f"model '{full_name}' needs timm, which cannot be imported ({error}); pip install nodepath[vision]"
        ) from error

    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        hint = did_you_mean(base, timm.list_models())
        raise UnknownNameError(f"unknown model '{full_name}'; {hint}timm.list_models() lists them")
    try:
        cfg = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # timm's answer to a tag that it does not know
        tags = [entry.partition(".")[2] for entry in timm.list_pretrained(f"{base}.*")]
        raise UnknownNameError(
            f"unknown tag '{tag}' of model '{full_name}'; known: {', '.join(tags) or 'none'}; "
            f"or leave it out: 'timm:{base}'"
        ) from error

    def build(*, num_classes: int | None = None, in_channels: int | None = None) -> nn.Module:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)
        return model

    size, classes = (cfg.input_size, cfg.num_classes or None) if cfg else (None, None)
    return Recipe(ModelSpec(full_name, size, classes, f"timm's {name} with fresh weights"), build)
