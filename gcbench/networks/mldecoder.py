"""ML-Decoder: a classification head in which each group of classes asks the image its own question.

Source: Ridnik et al. 2021, "ML-Decoder: Scalable and Versatile Classification Head". Parameters have the names of the
authors' file below `head.` (`decoder.embed_standart`, `decoder.layers.0`, ...), so that it loads as it is. The layer is
written out here: `nn.TransformerDecoder` calls a self-attention that these layers do not have, and fails.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.core.draws import dropout

DIM, HIDDEN, HEADS, QUERIES, DROPOUT = 768, 2048, 8, 100, 0.1


class MLDecoder(nn.Module):
    """Features [B,C,H,W] -> logits [B,A] of A classes.

    min(A, 100) fixed queries; each answers for A / queries classes, rounded up ("group fully-connected").
    """

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.decoder = _Decoder(classes, features)

    def forward(self, features: Tensor, drawn: torch.Generator | None = None) -> Tensor:
        """drawn: of the dropout in training; without it nothing is left out."""
        return self.decoder(features, drawn if self.training else None)


class _Decoder(nn.Module):
    def __init__(self, classes: int, features: int):
        super().__init__()
        queries = min(classes, QUERIES)
        self.classes = classes
        self.embed_standart = nn.Linear(features, DIM)
        self.query_embed = nn.Embedding(queries, DIM).requires_grad_(False)
        self.layers = nn.ModuleList([_Layer()])
        self.duplicate_pooling = nn.Parameter(torch.empty(queries, DIM, -(-classes // queries)))
        self.duplicate_pooling_bias = nn.Parameter(torch.zeros(classes))
        nn.init.xavier_normal_(self.duplicate_pooling)

    def forward(self, features: Tensor, drawn: torch.Generator | None) -> Tensor:
        memory = F.relu(self.embed_standart(features.flatten(2).transpose(1, 2)))  # [B,HW,D]
        x = self.query_embed.weight.expand(len(features), -1, -1)  # [B,Q,D]
        for layer in self.layers:
            x = layer(x, memory, drawn)
        groups = torch.einsum("bqd,qdg->bqg", x, self.duplicate_pooling)  # [B,Q,A/Q]
        return groups.flatten(1)[:, : self.classes] + self.duplicate_pooling_bias  # [B,A]


class _Layer(nn.Module):
    """Cross-attention and a feed-forward network, each with a residual and a norm after it, and no self-attention.

    Where the self-attention of an ordinary decoder layer would stand, the queries are added to themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(DIM) for _ in range(3))
        self.multihead_attn = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)

    def forward(self, queries: Tensor, memory: Tensor, drawn: torch.Generator | None = None) -> Tensor:
        drop = partial(dropout, p=DROPOUT, generator=drawn)
        x = self.norm1(queries + drop(queries))
        x = self.norm2(x + drop(self._attended(x, memory, drawn)))
        return self.norm3(x + drop(self.linear2(drop(F.relu(self.linear1(x))))))

    def _attended(self, queries: Tensor, memory: Tensor, drawn: torch.Generator | None) -> Tensor:
        """Cross-attention; written out where some of its weights are to be left out."""
        attention = self.multihead_attn
        if drawn is None:
            return attention(queries, memory, memory, need_weights=False)[0]
        projections = zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
        q, k, v = (
            F.linear(x, *projection).unflatten(-1, (HEADS, -1)).transpose(1, 2)  # [B,heads,Q or HW,D/heads]
            for x, projection in zip((queries, memory, memory), projections, strict=True)
        )
        weights = dropout((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1), DROPOUT, drawn)  # [B,heads,Q,HW]
        return attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
