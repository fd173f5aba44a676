"""The perceptual loss: how far apart two images are in the eyes of VGG-19 (Johnson et al. 2016, Wang et al. 2018).

Σ_l w_l mean |φ_l(x) - φ_l(y)|, φ_l the first ReLU of each of the five blocks, w = 1/32, 1/16, 1/8, 1/4, 1.
The weights are ImageNet's, in the file that torchvision gives (`vgg19-dcbb9e9d.pth`, or the same as safetensors).
"""

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers

from gcbench.core.draws import moved
from gcbench.core.errors import UserError

LAYERS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}
"""Place in torchvision's `features` -> weight."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def perceptual_loss(path: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of two images [B,3,H,W] in [-1,1]; a function, so that its frozen network is nobody's to train.
    UserError: the file is missing or holds no VGG-19."""
    vgg = make_layers(cfgs["E"])[: max(LAYERS) + 1].requires_grad_(False).eval()
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        wanted = vgg.state_dict()
        vgg.load_state_dict({name: state[f"features.{name}"] for name in wanted})
    except OSError as error:
        raise UserError(f"the weights of VGG-19 in {path} cannot be read: {error.strerror or error}") from None
    except (EOFError, KeyError, RuntimeError, TypeError, SafetensorError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} does not hold the weights of torchvision's VGG-19 ({type(error).__name__})") from None
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        vgg.to(x.device)
        x, y = ((image * 0.5 + 0.5 - moved(mean, x.device)) / moved(std, x.device) for image in (x, y))
        total = torch.zeros((), device=x.device)
        for i, layer in enumerate(vgg):
            x, y = layer(x), layer(y)
            if i in LAYERS:
                total = total + LAYERS[i] * F.l1_loss(x, y)
        return total

    return loss
