"""What is wrong with a database, and what to do about it: one short function a check.

A check looks and gives a Verdict; a mend beside it puts right what is safe to put right: it
destroys nothing, and is whole or not at all.
"""

from model_pipeline.store.diagnosis.run import Finding, diagnose

__all__ = ["Finding", "diagnose"]
