"""Where tensors live. The only file that knows device names: everything else goes through `torch.accelerator`."""

from __future__ import annotations

import torch

from allmend.kinds.errors import UsageError


def device_of(name: str | None = None) -> torch.device:
    """The device of a name as `Work.device` holds it.

    Args:
        name: `cpu`, an accelerator's type (with `:index` if there are several), or None: the accelerator if there is
            one.

    Raises:
        UsageError: no such accelerator here.
    """
    here = torch.accelerator.current_accelerator(check_available=True)
    if name is None:
        return here or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"the device `{name}` is not known: say cpu{f' or {here.type}' if here else ''}.") from error
    if device.type not in ("cpu", "meta") and (here is None or device.type != here.type):
        raise UsageError(f"there is no device `{name}` here; there is: cpu{f', {here.type}' if here else ''}.")
    return device


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; on a CPU that is always so."""
    if device.type not in ("cpu", "meta"):
        torch.accelerator.synchronize(device)
