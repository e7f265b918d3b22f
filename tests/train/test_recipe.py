import json

import pytest

from nodepath.errors import ArgumentError
from nodepath.train import Recipe


def test_a_recipe_needs_nothing_but_epochs_and_defaults_to_the_papers():
    recipe = Recipe(epochs=160)
    assert (recipe.batch_size, recipe.lr, recipe.momentum, recipe.weight_decay) == (128, 0.1, 0.9, 1e-4)
    assert (recipe.schedule, recipe.milestones, recipe.gamma) == ("step", (0.5, 0.75), 0.1)
    assert recipe.crop * 32 == 4


def test_values_from_toml_and_json_make_equal_recipes():
    recipe = Recipe(epochs=3, lr=1, milestones=(0.25, 0.5), crop=0)
    assert Recipe(epochs=3, lr=1.0, milestones=[0.25, 0.5], crop=None) == recipe
    assert Recipe(**json.loads(recipe.model_dump_json())) == recipe


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Recipe(epochs=1).epochs = 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "'epochs' is missing"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"epochs": "2"}, "epochs='2'"),
        ({"epochs": True}, "epochs=True"),
        ({"epochs": 1, "epoch": 3}, "'epoch'; did you mean 'epochs'"),
        ({"epochs": 1, "batch_size": 0}, "batch_size=0"),
        ({"epochs": 1, "lr": 0}, "lr=0"),
        ({"epochs": 1, "lr": float("inf")}, "lr=inf"),
        ({"epochs": 1, "lr": float("nan")}, "lr=nan"),
        ({"epochs": 1, "momentum": 1.0}, "momentum=1.0"),
        ({"epochs": 1, "weight_decay": -1e-4}, "weight_decay=-0.0001"),
        ({"epochs": 1, "schedule": "cos"}, "schedule='cos'.*'cosine'"),
        ({"epochs": 1, "milestones": [0.75, 0.5]}, r"milestones=\(0.75, 0.5\) do not ascend"),
        ({"epochs": 1, "milestones": [80, 120]}, "milestones.0=80"),
        ({"epochs": 1, "gamma": 2.0}, "gamma=2.0"),
        ({"epochs": 1, "schedule": "cosine", "gamma": 0.2}, "gamma=0.2 with schedule='cosine'"),
        ({"epochs": 2, "warmup_epochs": 2}, "warmup_epochs=2"),
        ({"epochs": 1, "nesterov": True, "momentum": 0.0}, "nesterov=True with momentum=0.0"),
        ({"epochs": 1, "crop": 4}, "crop=4"),
        ({"epochs": 1, "flip": "no"}, "flip='no'"),
        ({"epochs": 1, "label_smoothing": 1}, "label_smoothing=1"),
        ({"epochs": 0, "lr": -1}, "epochs=0.*; lr=-1"),
    ],
)
def test_a_bad_field_is_named_with_its_value_in_one_line(fields, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        Recipe(**fields)
    assert "\n" not in str(caught.value)


def test_the_json_schema_names_every_field_with_type_and_description():
    schema = Recipe.model_json_schema()
    assert schema["required"] == ["epochs"]
    assert not schema["additionalProperties"]
    properties = schema["properties"]
    assert list(properties) == list(Recipe.model_fields)
    assert len(properties) == 13
    assert all(entry["description"] for entry in properties.values())
    assert properties["schedule"]["enum"] == ["step", "cosine", "constant"]
    assert properties["epochs"]["type"] == "integer"
