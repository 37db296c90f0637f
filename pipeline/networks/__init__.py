"""The networks: tokenizer and CLIP read the prompt, the VAE maps pictures to latents and back, the UNet denoises."""
