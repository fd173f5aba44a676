"""The Inception network of FID: InceptionV3 of 2015-12-05 as ported from TensorFlow, of torch-fidelity's blocks.

It is not torchvision's InceptionV3: pools leave padding out, one block pools by maximum, and it has 1008 classes.
torch-fidelity's own class is not used, because its constructor runs whatever code a weights file holds.
"""

from collections import OrderedDict

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity import feature_extractor_inceptionv3 as blocks

SIZE = (299, 299)


def inception_v3() -> nn.Sequential:
    """Images [B,3,299,299] in [-1,1) -> logits [B,1008]; its state dict has the 566 keys of the official file."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            Conv2d_1a_3x3=blocks.BasicConv2d(3, 32, kernel_size=3, stride=2),  # [B,32,149,149]
            Conv2d_2a_3x3=blocks.BasicConv2d(32, 32, kernel_size=3),
            Conv2d_2b_3x3=blocks.BasicConv2d(32, 64, kernel_size=3, padding=1),
            MaxPool_1=nn.MaxPool2d(3, 2),  # [B,64,73,73]
            Conv2d_3b_1x1=blocks.BasicConv2d(64, 80, kernel_size=1),
            Conv2d_4a_3x3=blocks.BasicConv2d(80, 192, kernel_size=3),
            MaxPool_2=nn.MaxPool2d(3, 2),  # [B,192,35,35]
            Mixed_5b=blocks.InceptionA(192, pool_features=32),
            Mixed_5c=blocks.InceptionA(256, pool_features=64),
            Mixed_5d=blocks.InceptionA(288, pool_features=64),
            Mixed_6a=blocks.InceptionB(288),  # [B,768,17,17]
            Mixed_6b=blocks.InceptionC(768, channels_7x7=128),
            Mixed_6c=blocks.InceptionC(768, channels_7x7=160),
            Mixed_6d=blocks.InceptionC(768, channels_7x7=160),
            Mixed_6e=blocks.InceptionC(768, channels_7x7=192),
            Mixed_7a=blocks.InceptionD(768),  # [B,1280,8,8]
            Mixed_7b=blocks.InceptionE_1(1280),
            Mixed_7c=blocks.InceptionE_2(2048),
            AvgPool=nn.AdaptiveAvgPool2d(1),
            Flatten=nn.Flatten(),  # [B,2048]
            fc=nn.Linear(2048, 1008),
        )
    )


def feature_network(network: nn.Sequential) -> nn.Sequential:
    """The same without its classifier: [B,3,299,299] -> [B,2048], batch normalisation folded into the convolutions.

    Folded in float64, features move by 2e-7 of their size, as rounding does. `network` is used up.
    """
    network = network[:-1].eval().double()
    for block in network.modules():
        if isinstance(block, blocks.BasicConv2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    return network.float().requires_grad_(False)
