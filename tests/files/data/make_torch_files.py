"""How the files beside this one were made, with PyTorch 2.13 and safetensors 0.8: ``python make_torch_files.py``."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent
torch.manual_seed(0)


class Named(nn.Module):  # type: ignore[misc]  # Any, where PyTorch is not installed
    """Modules whose names, sorted as a file does it, come in another order than they are used in."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 4)
        self.body = nn.Sequential(nn.Tanh(), nn.Linear(4, 4))
        self.decoder = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.decoder(self.body(self.encoder(x)))
        return y


MODELS = {
    "sequential": nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.PReLU(6),
        nn.Linear(6, 6),
        nn.LayerNorm(6),
        nn.Tanh(),
        nn.GroupNorm(2, 6),
        nn.Linear(6, 6, bias=False),
        nn.RMSNorm(6, eps=1e-6),
        nn.PReLU(),
        nn.Linear(6, 6),
        nn.Sigmoid(),
        nn.Linear(6, 3),
    ),
    "embedding": nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)),
    "named": Named(),
}

outputs = {}
for name, model in MODELS.items():
    x = torch.randint(5, (4, 2)) if name == "embedding" else torch.randn(4, 4)
    for parameter in model.parameters():  # away from the first values that norms and slopes start at
        parameter.data += 0.1 * torch.randn_like(parameter)
    if name == "sequential":
        for _ in range(3):
            model(torch.randn(16, 4))  # for the running averages
    model.eval()
    save_file(model.state_dict(), FOLDER / f"torch_{name}.safetensors")
    outputs[name] = {"x": x.tolist(), "y": model(x).tolist()}
left, right, bilinear = torch.randn(2, 3), torch.randn(2, 2), nn.Bilinear(3, 2, 4)
save_file(bilinear.state_dict(), FOLDER / "torch_bilinear.safetensors")
outputs["bilinear"] = {"x": torch.cat([left, right], 1).tolist(), "y": bilinear(left, right).tolist()}
(FOLDER / "torch_outputs.json").write_text(json.dumps(outputs, indent=1))
