"""Other people's weights fit a network in every tensor, or one sentence says where they do not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gcbench.core.errors import UserError
from gcbench.evaluators.strict_loading import load_strictly

STATE = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}


def test_every_tensor_arrives_in_the_networks_precision() -> None:
    network = nn.Linear(2, 3)
    load_strictly(
        network, {"weight": torch.full((3, 2), 0.5, dtype=torch.float16), "bias": torch.ones(3)}, Path("w.pth"), "it"
    )
    assert network.weight.dtype == torch.float32
    assert torch.equal(network(torch.ones(1, 2)), torch.full((1, 3), 2.0))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"bias": None}, "it lacks the tensor 'bias'"),
        ({"bias": "text"}, "it lacks the tensor 'bias'"),
        ({"weight": torch.ones(4, 2)}, "'weight' is 4×2 where 3×2 is expected"),
        ({"bias": torch.tensor(0.0)}, "'bias' is a single number where 3 is expected"),
        ({"bias": torch.tensor([0.0, torch.nan, 0.0])}, "'bias' has values that are not finite"),
        ({"weight": torch.full((3, 2), torch.inf)}, "'weight' has values that are not finite"),
        ({"head": torch.ones(1)}, "it has 'head' beside them"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(change: dict[str, Any], fault: str) -> None:
    network = nn.Linear(2, 3)
    before = network.weight.clone()
    state = {key: value for key, value in {**STATE, **change}.items() if value is not None}
    with pytest.raises(UserError) as error:
        load_strictly(network, state, Path("there/w.pth"), "a line")
    assert str(error.value) == f"there/w.pth does not hold weights of a line: {fault}; give another file"
    assert torch.equal(network.weight, before)
