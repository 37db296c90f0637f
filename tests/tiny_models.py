"""Writes tiny random checkpoints of every class that the diffusers editor knows, offline and the same each time.

    python -m tests.tiny_models FOLDER [CLASS ...]

Their pictures mean nothing. Layout, tokenizers, schedulers and loops are those of the real ones.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from worker.editors.diffusers_editor import pictures_only

WIDTH = 16  # of the texts' hidden states
CLIP_FILES = Path(__file__).parents[1] / "checkpoints" / "micro" / "tokenizer"
SPECIAL = "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|image_pad|> <|video_pad|>".split()
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.content is string %}"
    "{{ message.content }}{% else %}{% for part in message.content %}{% if part.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
UNET = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 2,
    "in_channels": 8,
    "sample_size": 32,
}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def clip_tokenizer() -> Any:
    return transformers.CLIPTokenizer.from_pretrained(CLIP_FILES)


def clip(kind: type, **settings: Any) -> Any:
    words = len(clip_tokenizer())
    ends = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    config = transformers.CLIPTextConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        **ends,
        **settings,
    )
    return kind(config)


def qwen_tokenizer() -> Any:
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *sorted(ByteLevel.alphabet())])}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen_config(kind: type, patch: int) -> Any:
    tokenizer = qwen_tokenizer()
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (("image", "image_pad"), ("video", "video_pad"))
    } | {f"vision_{side}_token_id": tokenizer.convert_tokens_to_ids(f"<|vision_{side}|>") for side in ("start", "end")}
    text = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default"},
        "vocab_size": len(tokenizer),
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    vision = {"depth": 2, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_heads": 2, "out_hidden_size": WIDTH}
    return kind(text_config=text, vision_config=vision | {"patch_size": patch}, **ids)


def qwen_processor(kind: type, patch: int) -> Any:
    few = {"min_pixels": 4 * patch**2, "max_pixels": 16 * patch**2, "patch_size": patch}
    pictures = transformers.Qwen2VLImageProcessorPil(**few)
    return pictures_only(kind)(pictures, qwen_tokenizer(), chat_template=CHAT)


def qwen_vl() -> dict[str, Any]:
    config = qwen_config(transformers.Qwen2_5_VLConfig, 14)
    return {
        "text_encoder": transformers.Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": qwen_tokenizer(),
        "processor": qwen_processor(transformers.Qwen2VLProcessor, 14),
    }


def flow() -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler()


def sd_instruct() -> dict[str, Any]:
    return {
        "unet": diffusers.UNet2DConditionModel(**UNET, cross_attention_dim=WIDTH),
        "vae": diffusers.AutoencoderKL(**VAE, block_out_channels=(8, 16)),
        "text_encoder": clip(transformers.CLIPTextModel),
        "tokenizer": clip_tokenizer(),
        "scheduler": diffusers.EulerAncestralDiscreteScheduler(**NOISE, steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def sdxl_instruct() -> dict[str, Any]:
    unet = diffusers.UNet2DConditionModel(
        **UNET,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    return {
        "unet": unet,
        "vae": diffusers.AutoencoderKL(**VAE, block_out_channels=(8, 16)),
        "text_encoder": clip(transformers.CLIPTextModel, projection_dim=WIDTH),
        "text_encoder_2": clip(transformers.CLIPTextModelWithProjection, projection_dim=WIDTH),
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": clip_tokenizer(),
        "scheduler": diffusers.EulerDiscreteScheduler(**NOISE, steps_offset=1, timestep_spacing="leading"),
    }


def flux_kontext() -> dict[str, Any]:
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    )
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(chr(code), -3.0) for code in range(33, 127)]
    t5 = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    config = transformers.T5Config(
        vocab_size=128, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=2, tie_word_embeddings=False
    )
    return {
        "transformer": transformer,
        "vae": vae,
        "text_encoder": clip(transformers.CLIPTextModel, projection_dim=WIDTH),
        "tokenizer": clip_tokenizer(),
        "text_encoder_2": transformers.T5EncoderModel(config),
        "tokenizer_2": t5,
        "scheduler": flow(),
        "image_encoder": None,
        "feature_extractor": None,
    }


def flux2_klein() -> dict[str, Any]:
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    tokenizer = qwen_tokenizer()
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=28,  # the pipeline reads its 9th, 18th and 27th
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=0,
    )
    return {
        "transformer": transformer,
        "vae": vae,
        "text_encoder": transformers.Qwen3ForCausalLM(config),
        "tokenizer": tokenizer,
        "scheduler": flow(),
    }


def qwen_image() -> dict[str, Any]:
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return {"transformer": transformer, "vae": vae, "scheduler": flow(), **qwen_vl()}


def dreamlite() -> dict[str, Any]:
    unet = diffusers.DreamLiteUNetModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DreamLiteCrossAttnNoSelfAttnDownBlock2D", "DreamLiteCrossAttnDownBlock2D"),
        up_block_types=("DreamLiteCrossAttnUpBlock2D", "DreamLiteUpBlock2D"),
        block_out_channels=(16, 32),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        layers_per_block=1,
        norm_num_groups=8,
        transformer_layers_per_block=1,
    )
    blocks = {
        f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in (("block_out_channels", (8, 8)),)
    } | {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    return {
        "unet": unet,
        "vae": diffusers.AutoencoderTiny(**blocks, latent_channels=4),
        "text_encoder": transformers.Qwen3VLForConditionalGeneration(qwen_config(transformers.Qwen3VLConfig, 16)),
        "tokenizer": qwen_tokenizer(),
        "processor": qwen_processor(transformers.Qwen3VLProcessor, 16),
        "scheduler": flow(),
    }


def longcat() -> dict[str, Any]:
    transformer = diffusers.LongCatImageTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    )
    given = {"transformer": transformer, "vae": vae, "scheduler": flow(), **qwen_vl()}
    given["text_processor"] = given.pop("processor")
    return given


MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "StableDiffusionInstructPix2PixPipeline": sd_instruct,
    "StableDiffusionXLInstructPix2PixPipeline": sdxl_instruct,
    "FluxKontextPipeline": flux_kontext,
    "Flux2KleinPipeline": flux2_klein,
    "QwenImageEditPipeline": qwen_image,
    "QwenImageEditPlusPipeline": qwen_image,
    "DreamLitePipeline": dreamlite,
    "DreamLiteMobilePipeline": dreamlite,
    "LongCatImageEditPipeline": longcat,
}


def make(kind: str, folder: Path) -> Path:
    """Write the checkpoint of a class. Returns its folder."""
    torch.manual_seed(0)
    shutil.rmtree(folder, ignore_errors=True)
    getattr(diffusers, kind)(**MAKERS[kind]()).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    for name in sys.argv[2:] or MAKERS:
        make(name, Path(sys.argv[1]) / name)
