"""Pipelines of diffusers with random weights, a few hundred kilobytes, saved in the official format."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

LETTERS = [chr(code) for code in range(97, 123)]
WORDS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
SIDE = 32
"""Of the images: latents of 8 × 8, a factor of 4."""


def clip_tokenizer() -> Any:
    return CLIPTokenizer(
        vocab={word: place for place, word in enumerate(WORDS)}, merges=[], model_max_length=16, pad_token=WORDS[-1]
    )


def clip(projection: int | None = None, width: int = 16) -> Any:
    cfg = CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=width, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, projection_dim=projection or width, bos_token_id=52, eos_token_id=53,
        pad_token_id=53,
    )  # fmt: skip
    return (CLIPTextModel if projection is None else CLIPTextModelWithProjection)(cfg).eval()


def t5_tokenizer() -> Any:
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *(("▁" + c, -2.0) for c in LETTERS),
        *((c, -3.0) for c in LETTERS),
    ]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64)


def t5(width: int = 16) -> Any:
    return T5EncoderModel(T5Config(vocab_size=64, d_model=width, d_kv=8, d_ff=24, num_layers=1, num_heads=2)).eval()


def vae(channels: int = 4, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), layers_per_block=1, latent_channels=channels, norm_num_groups=4, sample_size=SIDE,
        **more,
    ).eval()  # fmt: skip


def unet(width: int, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // 4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, **more,
    ).eval()  # fmt: skip


def stable_diffusion(checker: bool = False, **more: Any) -> Any:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
    if checker:
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPConfig, CLIPImageProcessor, CLIPVisionConfig

        sees = CLIPVisionConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=30, patch_size=15
        )
        cfg = CLIPConfig(vision_config=sees.to_dict(), projection_dim=8)
        net = StableDiffusionSafetyChecker(cfg).eval()
        net.concept_embeds_weights.data.fill_(-2.0)  # everything is unsafe
        parts = {"safety_checker": net, "feature_extractor": CLIPImageProcessor(size=30, crop_size=30)}
    return StableDiffusionPipeline(
        vae=vae(), unet=unet(16, **more), text_encoder=clip(), tokenizer=clip_tokenizer(),
        scheduler=PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
                                set_alpha_to_one=False, steps_offset=1),
        requires_safety_checker=checker, **parts,
    )  # fmt: skip


def stable_diffusion_xl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    net = unet(32, addition_embed_type="text_time", addition_time_embed_dim=8,
               projection_class_embeddings_input_dim=16 + 6 * 8, transformer_layers_per_block=(1, 1))  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=vae(), unet=net, text_encoder=clip(), tokenizer=clip_tokenizer(), text_encoder_2=clip(16),
        tokenizer_2=clip_tokenizer(), scheduler=EulerDiscreteScheduler(),
    )  # fmt: skip


def stable_diffusion_3() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    net = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32,
        pos_embed_max_size=16,
    ).eval()  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=net, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.0), text_encoder=clip(16),
        tokenizer=clip_tokenizer(), text_encoder_2=clip(16), tokenizer_2=clip_tokenizer(), text_encoder_3=t5(32),
        tokenizer_3=t5_tokenizer(),
    )  # fmt: skip


def pixart() -> Any:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    net = PixArtTransformer2DModel(
        sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, caption_channels=16,
        in_channels=4, cross_attention_dim=16, out_channels=8, norm_type="ada_norm_single", num_embeds_ada_norm=1000,
    ).eval()  # fmt: skip
    return PixArtAlphaPipeline(
        transformer=net, vae=vae(), scheduler=DPMSolverMultistepScheduler(), text_encoder=t5(), tokenizer=t5_tokenizer()
    )


def flux(embeds: bool = True) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    net = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=embeds,
    ).eval()  # fmt: skip
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.0), text_encoder=clip(),
        tokenizer=clip_tokenizer(), text_encoder_2=t5(), tokenizer_2=t5_tokenizer(), transformer=net,
    )  # fmt: skip


def lcm() -> Any:
    """A Stable Diffusion whose U-Net takes guidance as an input."""
    return stable_diffusion(time_cond_proj_dim=8)


def aura_flow() -> Any:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
    from transformers import UMT5Config, UMT5EncoderModel

    net = AuraFlowTransformer2DModel(
        sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, caption_projection_dim=16, pos_embed_max_size=64,
    ).eval()  # fmt: skip
    text = UMT5EncoderModel(UMT5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)).eval()
    return AuraFlowPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=text,
        vae=vae(),
        transformer=net,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def chroma() -> Any:
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    net = ChromaTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 4, 8), approximator_num_channels=8, approximator_hidden_dim=16,
        approximator_layers=1,
    ).eval()  # fmt: skip
    return ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.0), text_encoder=t5(),
        tokenizer=t5_tokenizer(), transformer=net,
    )  # fmt: skip


def z_image() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    net = ZImageTransformer2DModel(
        in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
        axes_dims=[4, 4, 8], axes_lens=[256, 32, 32],
    ).eval()  # fmt: skip
    text = Qwen3Model(
        Qwen3Config(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, head_dim=8, bos_token_id=52, eos_token_id=53, pad_token_id=53,
        )
    ).eval()  # fmt: skip
    tokenizer = clip_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.0), text_encoder=text, tokenizer=tokenizer,
        transformer=net,
    )  # fmt: skip


MAKERS = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "pixart": pixart,
    "flux": flux,
}
FURTHER = {"auraflow": aura_flow, "chroma": chroma, "z-image": z_image, "lcm": lcm}


def random_pipeline(kind: str = "sd", seed: int = 0, **more: Any) -> Any:
    """Weights from a seed; output layers that start at zero are made loud, so that images differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipe = {**MAKERS, **FURTHER}[kind](**more)
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                for parameter in part.parameters():
                    if not parameter.any():
                        parameter.data.normal_(std=0.2)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def saved(folder: Path, kind: str = "sd", seed: int = 0, **more: Any) -> Path:
    random_pipeline(kind, seed, **more).save_pretrained(folder)
    return folder
