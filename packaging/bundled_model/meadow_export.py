"""Assemble the meadow checkpoints into a stock Stable Diffusion folder with fp16 weights.

The names of the training species are written into the token table, and the folder is read back
through ``StableDiffusionPipeline.from_pretrained`` and compared.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import common
import torch
from diffusers import StableDiffusionPipeline
from export import write
from meadow_models import TOKENS, build_unet, conditioner, load_vae, tokenizer
from models import sample_scheduler


def assemble(folder: Path) -> StableDiffusionPipeline:
    """Pipeline in float32 from the averaged weights of ``folder``'s vae.pt and unet.pt.

    ``vae-polished.pt`` (same encoder, better decoder) is preferred to ``vae.pt``.
    """
    polished = folder / "vae-polished.pt"
    state = torch.load(folder / "unet.pt", map_location="cpu", weights_only=True)
    built = tokenizer()
    both = torch.nn.ModuleDict({"unet": build_unet(state["size"]), "words": conditioner(built)})
    both.load_state_dict({**state["model"], **state["average"]})
    words = both["words"]
    words.write_names(built)
    plain = copy.deepcopy(words.text)  # without the hook that knows genomes
    plain.get_input_embeddings()._forward_hooks.clear()
    return StableDiffusionPipeline(
        vae=load_vae(polished if polished.exists() else folder / "vae.pt"),
        text_encoder=plain.eval(),
        tokenizer=built,
        unet=both["unet"].eval(),
        scheduler=sample_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def main() -> None:
    """Write the diffusers folder to ``--to``, keeping other files such as the model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder with vae.pt and unet.pt")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    common.start(args.seed, 0)
    pipe = assemble(args.out)
    write(pipe, args.to, TOKENS)


if __name__ == "__main__":
    main()
