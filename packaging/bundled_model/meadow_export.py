"""Assemble the meadow checkpoints into a stock Stable Diffusion folder with fp16 weights.

The names of the training species are written into the token table, and the folder is read back
through ``StableDiffusionPipeline.from_pretrained`` and compared.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
from pathlib import Path

import common
import torch
from diffusers import StableDiffusionPipeline
from meadow_models import (
    TOKENS,
    build_unet,
    conditioner,
    load_vae,
    sample_scheduler,
    tokenizer,
)


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


def verify(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Reload ``folder`` without any arguments and compare words, weights and behaviour."""
    again = StableDiffusionPipeline.from_pretrained(folder)
    text = "a close-up photo of a leafy spurge on gravel"
    if again.tokenizer.get_vocab() != pipe.tokenizer.get_vocab():
        common.fail("the saved tokenizer has another vocabulary")
    if again.tokenizer(text).input_ids != pipe.tokenizer(text).input_ids:
        common.fail("the saved tokenizer splits text differently")
    if again.tokenizer.model_max_length != TOKENS:
        common.fail("the saved tokenizer has another length")
    for name in ("unet", "text_encoder", "vae"):
        if getattr(again, name).dtype != torch.float32:
            common.fail(f"{name} loads as {getattr(again, name).dtype} by default")
        old = getattr(pipe, name).state_dict()
        for key, value in getattr(again, name).state_dict().items():
            if not torch.allclose(value.float(), old[key].float(), atol=2e-2, rtol=2e-3):
                common.fail(f"{name}.{key} changed on the way to disk")
    added = again.tokenizer.add_tokens(["<leafy_spurge>"])
    again.text_encoder.resize_token_embeddings(len(again.tokenizer))
    again.set_progress_bar_config(disable=True)
    out = again("a photo of a <leafy_spurge>", num_inference_steps=3, output_type="np").images
    if added != 1 or out.shape != (1, 64, 64, 3):
        common.fail(f"unexpected picture {out.shape}")


def write(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Put the pipeline into ``folder`` in fp16, keeping other files there, and verify it."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(part, safe_serialization=True)
    # transformers loads in the type that the configuration names: on a CPU it must be float32
    config = part / "text_encoder" / "config.json"
    settings = {**json.loads(config.read_text(encoding="utf-8")), "dtype": "float32"}
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for item in sorted(part.iterdir()):
        target = folder / item.name
        if target.is_dir():
            shutil.rmtree(target)
        item.replace(target)
    part.rmdir()
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)
    verify(pipe, folder)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    common.say(written=folder, megabytes=size / 1e6)


def main() -> None:
    """Write the diffusers folder to ``--to``, keeping other files such as the model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder with vae.pt and unet.pt")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    common.start(args.seed, 0)
    pipe = assemble(args.out)
    write(pipe, args.to)


if __name__ == "__main__":
    main()
