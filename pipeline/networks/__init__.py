"""The four networks: tokenizer and CLIP read the prompt, the VAE makes latents and pictures, the U-Net denoises."""
