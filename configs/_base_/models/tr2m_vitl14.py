"""TR2M at the paper's size: 18,959,746 trainable parameters on DINOv2-L, CLIP ViT-L/14 and Depth Anything."""

_base_ = ["../losses/tr2m.py"]

# `aligned` is how the release stretches pictures, the offset how its networks place position embeddings.
relative_depth = dict(
    type="RelativeDepth",
    pretrained="LiheYoung/depth-anything-small-hf",
    size=(434, 560),
    aligned=True,
    position_offset=0.1,
)
# The relative depth networks of Table 9: MiDaS 3.1 Swin2-L 384 and DPT-Hybrid, as RSA chose them.
relative_networks = dict(midas="Intel/dpt-swinv2-large-384", dpt="Intel/dpt-hybrid-midas")
text_encoder = dict(type="CLIPTextEncoder", pretrained="openai/clip-vit-large-patch14")
# C3VD and SimCol are in millimetres; everything else is in metres.
# fmt: off
units = dict(mm=[
    "medical", "surgical", "endoscop*", "colonoscop*", "gastroscop*", "laparoscop*", "bronchoscop*", "cystoscop*",
    "hysteroscop*", "arthroscop*", "laryngoscop*", "otoscop*", "duodenoscop*", "colon", "colonic", "cecum", "cecal",
    "caecum", "caecal", "haustra*", "ileum", "ileal", "ileocecal", "appendiceal", "intestin*", "bowel", "rectum",
    "rectal", "sigmoid", "duoden*", "jejun*", "esophag*", "oesophag*", "gastric", "stomach", "antrum", "pylor*",
    "mucosa*", "submucosa*", "polyp", "polyps", "intraoperative",
])
# fmt: on

model = dict(
    type="TR2M",
    data_preprocessor=dict(
        type="mmengine.ImgDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    image_encoder=dict(type="DINOv2Encoder", pretrained="facebook/dinov2-large"),
    # The paper gives the parts and their 19 M parameters; widths, heads and c are the release's.
    rescale_net=dict(
        type="RescaleNet",
        image_channels=1024,
        text_channels=768,
        out_channels=192,
        features=128,
        num_heads=8,
        coef_scale=0.01,
        coef_shift=0.01,
    ),
)
# The paper contrasts F_out and gives the projector 0.19 M parameters: two 1x1 convolutions of width 160 have as many.
# The release starts the contrast in the second epoch, of which the paper says nothing: the release's is taken. `start`
# counts epochs from 0; 0.01 of new weights is the paper's and the release's EMA coefficient of 0.99.
custom_hooks = [
    dict(
        type="SOCHook",
        feature="rescale_net.fusion",
        branch="rescale_net.fusion",
        in_channels=1024,
        projector=dict(hidden_channels=160, out_channels=160, pool=2),
        num_classes=20,
        loss_weight=0.1,
        momentum=0.01,
        start=1,
    ),
]
