"""From a trained model: ancestral sampling, cached or naive; ways through a latent space; lossless codes.

sampling    `cached`, `naive`, and what chooses each number
latent      `slerp`, `lerp`, `interpolate`, `traverse`, `attribute`, `invert`
codec       `compress`, `decompress`
"""
