"""Depth Anything, ViT-L, as a network for metric depth: the inverse of its output is trained to be depth."""

model = dict(
    type="HFDepthModel",
    pretrained="LiheYoung/depth-anything-large-hf",
    output="disparity",
    max_depth=100.0,  # the farthest of all datasets, in the unit of each: C3VD's is in millimetres
    # ZoeDepth's loss, 10 · sqrt(var(ε) + 0.15 · mean(ε)²), with which Depth Anything was fine-tuned too.
    loss=dict(lam=0.85, sqrt=True, scale=10.0, per_image=False),
)
