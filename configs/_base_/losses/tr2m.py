"""L = 1 L_si + 0.5 L_tp-si + 0.1 L_soc + 0.01 L_es (paper, eq. 9); L_soc is added by the hook of the model's config."""

model = dict(
    # Eq. 4 has no square root, and one lambda for all datasets. The release also shows 0.6 (NYUv2, VOID) and 1.0
    # (KITTI, C3VD) without saying what they trained: the paper's is taken.
    loss_si=dict(type="SILogLoss", lam=0.15, loss_weight=1.0),
    # Neither states the threshold. Eq. 5 fits depth to relative depth, which is disparity-like; here inverse depth is
    # fitted, as in eq. 3, since a line in depth cannot follow a street (space="depth" is the letter of eq. 5).
    loss_pseudo=dict(type="PseudoDepthLoss", threshold=0.8, space="disparity", lam=0.15, loss_weight=0.5),
    loss_smooth=dict(type="SmoothnessLoss", loss_weight=0.01),
)
