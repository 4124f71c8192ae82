"""Proof of the audit log: checkpoints, signatures, verification and exports."""
