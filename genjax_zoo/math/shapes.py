"""The shape of one example, without the batch axis."""

Shape = tuple[int, ...]
ImageShape = tuple[int, int, int]  # [H, W, C]
