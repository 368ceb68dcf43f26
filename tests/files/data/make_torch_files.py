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

# Of images and sequences, whose channels lie along the first axis there.
images = nn.Sequential(
    *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
    nn.Conv2d(4, 6, (2, 3), stride=(1, 2), groups=2, bias=False),
    nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, groups=2),
    nn.Conv2d(4, 8, 2, groups=4),
    *(nn.Flatten(), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 32), nn.Linear(32, 2)),
)
sequences = nn.Sequential(
    *(nn.Conv1d(2, 3, 3, dilation=2), nn.MaxPool1d(2), nn.ConvTranspose1d(3, 2, 2, stride=2)),
    *(nn.Flatten(), nn.Linear(8, 3)),
)
for name, model, shape in (("images", images, (2, 3, 6, 10)), ("sequences", sequences, (2, 2, 9))):
    for _ in range(3):
        model(torch.randn(16, *shape[1:]))
    x = torch.randn(shape)
    model.eval()
    save_file(model.state_dict(), FOLDER / f"torch_{name}.safetensors")
    outputs[name] = {"x": x.movedim(1, -1).tolist(), "y": model(x).tolist()}
(FOLDER / "torch_outputs.json").write_text(json.dumps(outputs, indent=1))
