"""What a layer deserves where its density follows its dimensions, as in an Erdős-Rényi graph."""

from nodepath.paths.layer import Layer

__all__ = ["deserved"]


def deserved(layer: Layer, *, kernel: bool) -> float:
    """Density times size, up to a factor that is the same for all layers.

    Of one group for a grouped convolution and of q, k or v for a packed projection, times how many there are.

    Args:
        layer: The layer.
        kernel: Whether the sides of the kernel are dimensions too, as in ERK, or its cells so many copies of one
            matrix, as in ER.
    """
    inputs, outputs = layer.inputs // layer.groups, layer.outputs // layer.groups
    # density x size: the product of the dimensions that the density is divided by cancels
    if kernel:
        return layer.groups * float(len(layer.rows) * (inputs + sum(layer.shape[2:])) + outputs)
    return layer.groups * float(layer.cells * (len(layer.rows) * inputs + outputs))
