"""Everything that computes with torch: models, sampling, tokens, erasing, pictures as tensors.

Importing any module of this package first prepares torch (see `torch_setup`), because some of
the settings only count before the first import of torch, torchvision or diffusers.
"""

from __future__ import annotations

from dafusion_core.engine import torch_setup

torch_setup.prepare()
