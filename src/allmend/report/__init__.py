"""The only room that writes HTML: site, leaderboard, transparency page, cards, summaries, exports; no torch, recomputes nothing."""  # noqa: E501

from allmend.kinds import Step
from allmend.report.site import SiteConfig, site

STEPS = {"site": Step(site, version=1)}

__all__ = ["STEPS", "SiteConfig", "site"]
