"""Pure decisions: values in, a decision or a refusal out. No I/O, no clock."""
