"""ML-Decoder: a classification head in which each group of classes asks the image its own question.

Source: Ridnik et al. 2021, "ML-Decoder: Scalable and Versatile Classification Head". Parameters have the names of the
authors' file below `head.` (`decoder.embed_standart`, `decoder.layers.0`, ...), so that it loads as it is. The layer is
written out here: `nn.TransformerDecoder` calls a self-attention that these layers do not have, and fails.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM, HIDDEN, HEADS, QUERIES, DROPOUT = 768, 2048, 8, 100, 0.1


class MLDecoder(nn.Module):
    """Features [B,C,H,W] -> logits [B,A] of A classes.

    min(A, 100) fixed queries; each answers for A / queries classes, rounded up ("group fully-connected").
    """

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.decoder = _Decoder(classes, features)

    def forward(self, features: Tensor) -> Tensor:
        return self.decoder(features)


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

    def forward(self, features: Tensor) -> Tensor:
        memory = F.relu(self.embed_standart(features.flatten(2).transpose(1, 2)))  # [B,HW,D]
        x = self.query_embed.weight.expand(len(features), -1, -1)  # [B,Q,D]
        for layer in self.layers:
            x = layer(x, memory)
        groups = torch.einsum("bqd,qdg->bqg", x, self.duplicate_pooling)  # [B,Q,A/Q]
        return groups.flatten(1)[:, : self.classes] + self.duplicate_pooling_bias  # [B,A]


class _Layer(nn.Module):
    """Cross-attention and a feed-forward network, each with a residual and a norm after it, and no self-attention.

    Where the self-attention of an ordinary decoder layer would stand, the queries are added to themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(DIM) for _ in range(3))
        self.multihead_attn = nn.MultiheadAttention(DIM, HEADS, dropout=DROPOUT, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        x = self.norm1(queries + self.dropout(queries))
        x = self.norm2(x + self.dropout(self.multihead_attn(x, memory, memory, need_weights=False)[0]))
        return self.norm3(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))
