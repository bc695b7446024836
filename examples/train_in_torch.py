"""From text to a training loop of your own: stages as functions, then shards in plain PyTorch, and an exact resume.

Takes the documentation of Python's own modules, and less than a minute. Needs `pip install 'corpusmill[train]'`.
"""

# %% Texts to shards; a stage called again finds that all is done
import json
import pydoc
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from corpusmill import ShardLoader, Tokenizer
from corpusmill.pipelines.calls import dedup, filter, ingest, pack, tokenizer

names = ["argparse", "ast", "asyncio", "bisect", "csv", "datetime", "decimal", "email", "heapq", "json", "logging"]
lines = [json.dumps({"id": name, "text": pydoc.plain(pydoc.render_doc(name))}) for name in names]
Path("modules.jsonl").write_text("\n".join(lines))

ingest("modules.jsonl", output="documents", source="python", kind="docs")
print("kept:", filter("documents", output="clean", rules=["gopher-quality/words"])["counts"]["kept"])
dedup("clean", output="unique")
tokenizer("unique", output="tokenizer", vocab_size=512, special="compact")
pack("unique", output="shards", tokenizer="tokenizer", sequence_length=128, shard_tokens=16384)

# %% A sequence, read back
loader = ShardLoader("shards", micro_batch=8, seed=1)
batch = next(loader)
print("first tokens:", repr(Tokenizer.load("tokenizer").decode(batch.tokens[0, :24].tolist())))

# %% A small model and a loop; documents in a sequence do not see each other
torch.manual_seed(0)
rows = int(batch.tokens.max()) + 600


class Model(torch.nn.Module):
    """One layer of attention over embeddings."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(rows, width)
        self.layer = torch.nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, dropout=0.0)
        self.head = torch.nn.Linear(width, rows)

    def forward(self, tokens: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.embedding(tokens), src_mask=hidden))


model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
loader = ShardLoader("shards", micro_batch=8, seed=1)
for step, batch in enumerate(DataLoader(loader, batch_size=None, num_workers=0)):
    hidden = ~batch.document_mask.reshape(len(batch.tokens), *batch.document_mask.shape[-2:]).repeat_interleave(4, 0)
    logits = model(batch.tokens, hidden)
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=-100
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0:
        print(f"step {step}: {loss.item():.2f} nats a token")
    state = loader.state_after(batch)
    if step == 20:
        break

# %% Resuming is exact: the next batch is the one that would have come
again = ShardLoader("shards", micro_batch=8, seed=1)
again.load_state(state)
print("resumes behind sequence", state["sequences_consumed"], "with", tuple(next(again).tokens.shape), "tokens")
