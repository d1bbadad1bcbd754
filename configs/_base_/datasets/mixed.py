"""NYUv2, KITTI, VOID and C3VD in turn, 8 pictures at a time, one of their 15 descriptions drawn at every visit.

Pictures are stretched to the size of their relative depth, which the stage `relative_depth` computes at the sizes that
the protocol `release` gives the datasets (`input_size`): 434 x 560, and for KITTI 350 x 1204. Datasets that the index
lacks are not missed.
"""

data_root = "{{$TR2M_DATA_ROOT:work/paper}}"
datasets = ["nyu", "kitti", "void", "c3vd"]

# The release's augmentation, of which the paper says nothing: flips, and in every second picture other colours.
# The release computes relative depth of the changed picture. Here it was computed of the plain one and is flipped
# along, which is not the same: of seven photographs, mini_depth_anything's moves with these colours by 0.2 to 0.3 of
# its standard deviation and, mirrored, by 0.2; Depth Anything's was not measured. The config of that network in
# model = dict(relative_depth=...) has it computed of the changed picture in the step.
train_pipeline = [
    dict(type="LoadDepthInputs", text="random"),
    dict(type="MaskDepthBorder", box=(45, 472, 43, 608), datasets=["nyu"]),
    dict(type="ResizeDepthInputs", aligned=True),
    dict(type="RandomFlipDepth", prob=0.5),
    dict(type="RandomColor", brightness=(0.75, 1.25), datasets=["nyu"]),
    dict(type="RandomColor", datasets=["kitti", "void"]),
    dict(type="RandomColorJitter", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, datasets=["c3vd"]),
    dict(type="PackDepthInputs"),
]
test_pipeline = [
    dict(type="LoadDepthInputs", text="first"),
    dict(type="ResizeDepthInputs", depth=False, aligned=True),
    dict(type="PackDepthInputs"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    worker_init_fn=dict(type="tr2m_plugin.seed_worker"),
    sampler=dict(type="mmengine.DefaultSampler", shuffle=True),
    # The release's order; the paper says nothing of it. Others: ProportionalBatchSampler, WeightedBatchSampler.
    batch_sampler=dict(type="RoundRobinBatchSampler"),
    dataset=dict(type="TableDataset", data_root=data_root, split="train", datasets=datasets, pipeline=train_pipeline),
)
# These datasets have no split for validation. One picture at a time: their sizes differ.
val_dataloader = test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="mmengine.DefaultSampler", shuffle=False),
    dataset=dict(
        type="TableDataset",
        data_root=data_root,
        split="test",
        datasets=datasets,
        pipeline=test_pipeline,
        test_mode=True,
        max_error_share=0.2,
    ),
)
val_evaluator = test_evaluator = dict(type="DepthMetric")
