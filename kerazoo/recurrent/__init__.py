"""Networks that read a sequence step by step, and those that write one."""
