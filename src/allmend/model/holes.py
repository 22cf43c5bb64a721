"""Documents, holes and padding in windows of tokens, told apart by ids alone: segments, positions, labels that count.

Shapes: B windows, S inputs a window, T = S + 1 tokens a window. A withdrawn document's tokens, BoD and EoD included,
are all `<withdrawn>`: a hole. NumPy only, since the loader runs this for every window.
"""

from __future__ import annotations

import numpy as np

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN

IGNORED = -100
"""A label that doesn't count; the value that `torch.nn.functional.cross_entropy` and transformers leave out."""


def segments_of(tokens_BS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each token's segment starts, and its place in it. Attention stays inside a segment.

    A segment starts at the window's first token, at BoD, and where a run of `<withdrawn>` or of `<pad>` starts.

    Args:
        tokens_BS: ids [B, S].

    Returns:
        segments_BS: int32, index of the first token of the token's segment: equal in a segment, never falling along a
            window.
        positions_BS: int32, 0 at the start of each segment.
    """
    idle = (tokens_BS == WITHDRAWN) | (tokens_BS == PAD)
    starts = tokens_BS == BOD
    starts[:, :1] = True
    starts[:, 1:] |= idle[:, 1:] & (tokens_BS[:, 1:] != tokens_BS[:, :-1])
    index = np.arange(tokens_BS.shape[1], dtype=np.int32)
    segments = np.maximum.accumulate(np.where(starts, index, np.int32(0)), axis=1)
    return segments, index - segments


def labels_of(tokens_BT: np.ndarray) -> np.ndarray:
    """The next token of each input, or IGNORED where it doesn't count.

    A label counts unless its input is EoD, `<withdrawn>` or `<pad>`, or its target BoD, `<withdrawn>` or `<pad>`. EoD
    is learnt.

    Args:
        tokens_BT: ids [B, S + 1]; the last is only a label.

    Returns:
        int64 [B, S].
    """
    idle = (tokens_BT == WITHDRAWN) | (tokens_BT == PAD)
    out = idle[:, :-1] | idle[:, 1:]
    out |= (tokens_BT[:, :-1] == EOD) | (tokens_BT[:, 1:] == BOD)
    return np.where(out, IGNORED, tokens_BT[:, 1:].astype(np.int64))
