"""Where the learned threshold starts for encoders that are known. Numbers only.

Made by `bench/prior.py` from public sets of questions (CLINC150, BANKING77, Quora, COVID-Q), each
played as a stream with nothing served. A deployment's own labels take over as they come.
"""

from __future__ import annotations

from policies.lessons import Prior

# In the order of `features.NAMES`.
COEFFICIENTS = {
    "all-MiniLM-L6-v2": (-0.29, 0.48, 0.55, 1.03, 1.02, 0.22, 0.10, 0.44, -0.36, -0.02),
}


def of(encoder: str) -> Prior:
    """The prior of an encoder by its id, `name/…`; an unknown one starts without, more strictly."""
    return Prior(COEFFICIENTS.get(encoder.partition("/")[0].rpartition(":")[2], ()))
