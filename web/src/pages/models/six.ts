/** What no field of `/v1/models` says of them: why each is there. */
export const PURPOSES: Record<string, string> = {
  "pix2pix-base": "The yardstick. What the others do by their own code is held against it.",
  "pix2pix-full": "The one to use. Fewest steps, every control, and nothing of it borrowed.",
  "pix2pix-full-no-ddim": "Takes the same way with fresh noise at every step: what chance adds, and what it costs.",
  "pix2pix-full-no-cfg-no-ddim": "Leaves out guidance by the picture: how far an edit drifts without it.",
  "pix2pix-1": "Our UNet alone, in borrowed surroundings: the denoiser on trial.",
  "pix2pix-2": "Our UNet and autoencoder: the text encoder is all that is borrowed.",
};

export const PARTS = [
  ["text_encoder", "Text encoder"],
  ["vae", "VAE"],
  ["unet", "UNet"],
] as const;
