"""Layers out of nothing."""

from hypothesis import strategies as st

from nodepath.paths.layer import Layer


def layer_of(
    name: str, shape: tuple[int, ...], *, groups: int = 1, transposed: bool = False, rows: tuple[int, ...] = ()
) -> Layer:
    linear = len(shape) == 2
    return Layer(name, shape, groups, transposed, linear, rows=rows or (shape[0],), positions=(1,), shortcut=False)


@st.composite
def layers(draw):
    """A list of layers: Linears, plain, grouped and transposed convolutions."""
    made = []
    for i in range(draw(st.integers(1, 8))):
        groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
        kernel = draw(st.sampled_from([(), (1,), (3, 3), (1, 1), (2, 3, 1)]))
        groups = groups if kernel else 1
        inner, outer = draw(st.integers(1, 40)), draw(st.integers(1, 40))
        transposed = bool(kernel) and draw(st.booleans())
        shape = (inner * groups, outer, *kernel) if transposed else (outer * groups, inner, *kernel)
        made.append(layer_of(f"layer{i}", shape, groups=groups, transposed=transposed))
    return made


@st.composite
def layers_and_keep(draw):
    made = draw(layers())
    total = sum(layer.size for layer in made)
    return made, draw(st.integers(0, total) | st.floats(0.0, 1.0).map(lambda f: round(f * total)))
